import type { Column, Quantity } from './figures';

/**
 * The unit of throughput: kilobytes (1024 bytes), megabytes (1024 kB), or one that suits each figure,
 * which is then printed with it.
 */
export type Unit = 'kB' | 'MB' | 'human';

/** The units of bytes, each 1024 times the one before. */
const BYTES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
/** The suffixes of counts, each 1000 times the one before. */
const THOUSANDS = ['', 'k', 'M', 'G', 'T', 'P', 'E'];

/** A figure from here on would have seven digits. */
const SEVEN_DIGITS = 999999.5;

/** Returns the heading of a column: `rkB/s` is `rMB/s` in megabytes, `rB/s` with a unit for each figure. */
export function headingOf({ heading, quantity }: Column, unit: Unit): string {
  return quantity === 'throughput' ? heading.replace('kB', unit === 'human' ? 'B' : unit) : heading;
}

/** Returns the greatest width of {@link formatFigure}, in characters. */
export function figureWidth(quantity: Quantity): number {
  return { count: 6, time: 6, size: 7, throughput: 9 }[quantity];
}

/**
 * Formats a figure in at most {@link figureWidth} characters; `-` if it is unknown. Bytes of more than six
 * digits have their unit: `19.1 GB/s`.
 */
export function formatFigure(value: number, { quantity }: Column, unit: Unit): string {
  if (value < 0) return '-';
  const scaled = convert(value, quantity, unit);
  if (isBytes(quantity) && (unit === 'human' || scaled >= SEVEN_DIGITS)) {
    return withUnit(value, quantity);
  }
  return formatNumber(scaled);
}

/** Formats a figure with two decimals, in the same unit whatever its size; `-` if it is unknown. */
export function formatFixed(value: number, { quantity }: Column, unit: Unit): string {
  if (value < 0) return '-';
  if (isBytes(quantity) && unit === 'human') return withUnit(value, quantity);
  return convert(value, quantity, unit).toFixed(2);
}

/** Formats a number of bytes with three digits and a letter: `1.50T`. */
export function formatSize(bytes: number): string {
  const [text, unit] = scale(bytes, 1024, BYTES);
  return text + unit.charAt(0).toUpperCase();
}

/** Request sizes are in kilobytes in every unit, as in iostat. */
function convert(value: number, quantity: Quantity, unit: Unit): number {
  return quantity === 'throughput' && unit === 'MB' ? value / 1024 : value;
}

function isBytes(quantity: Quantity): boolean {
  return quantity === 'throughput' || quantity === 'size';
}

function withUnit(kilobytes: number, quantity: Quantity): string {
  const [text, unit] = scale(kilobytes * 1024, 1024, BYTES);
  return `${text} ${unit}${quantity === 'throughput' ? '/s' : ''}`;
}

/** Formats a number in at most six characters. */
function formatNumber(value: number): string {
  // the limits allow for rounding: 99.996 must not become 100.00
  if (value < 99.995) return value.toFixed(2);
  if (value < 9999.95) return value.toFixed(1);
  if (value < SEVEN_DIGITS) return value.toFixed(0);
  return scale(value, 1000, THOUSANDS).join('');
}

/** Divides a value until it has three digits before the point at most. Returns it with its unit. */
function scale(value: number, factor: number, units: string[]): [text: string, unit: string] {
  let scaled = value;
  let i = 0;
  for (; scaled >= 999.5 && i < units.length - 1; i++) scaled /= factor;
  const decimals = scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0;
  return [scaled.toFixed(decimals), units[i] ?? ''];
}
