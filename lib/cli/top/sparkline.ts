import type { Style } from '../text';

const BARS = '▁▂▃▄▅▆▇█';
const ASCII_BARS = '_.-=+*#@';

/** Renders the newest values as bars, relative to the largest of them; unknown values are blank. */
export function sparkline(
  values: readonly (number | undefined)[],
  width: number,
  { utf8 }: Pick<Style, 'utf8'>,
): string {
  if (width <= 0) return '';
  const bars = utf8 ? BARS : ASCII_BARS;
  const shown = values.slice(-width);
  const largest = Math.max(Number.MIN_VALUE, ...shown.map((value) => value ?? 0));
  return shown
    .map((value) =>
      value === undefined ? ' ' : bars.charAt(Math.ceil((value / largest) * (bars.length - 1))),
    )
    .join('')
    .padStart(width);
}
