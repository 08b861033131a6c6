/** What a terminal can show. */
export interface Style {
  /** Whether it knows more characters than ASCII's. */
  readonly utf8: boolean;
  readonly colours: boolean;
}

/** Marks and joiners: they take no room of their own. */
const COMBINING = /^[\p{Mn}\p{Me}\u{1160}-\u{11ff}]$/u;

/** What changes the direction of a line, breaks it, or has no picture. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** Characters that take two columns. */
const WIDE =
  /^[\u{1100}-\u{115f}\u{2e80}-\u{303e}\u{3041}-\u{a4cf}\u{a960}-\u{a97c}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

/** Most names: nothing has to be looked at closely. */
const PLAIN = /^[\x20-\x7e]*$/;

/** Text from elsewhere as a terminal may be given it: one line, written as it is read. */
export function toPrintable(text: string, { utf8 }: Pick<Style, 'utf8'>): string {
  if (PLAIN.test(text)) return text;
  return utf8 ? text.replaceAll(INVISIBLE, '\u{fffd}') : text.replaceAll(/[^\x20-\x7e]/gu, '?');
}

/** How many columns printable text takes. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  return Array.from(text).reduce((sum, character) => sum + characterWidth(character), 0);
}

function characterWidth(character: string): number {
  if (COMBINING.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Printable text in just so many columns: cut, or filled up with blanks. */
export function fit(text: string, width: number, { utf8 }: Pick<Style, 'utf8'>): string {
  const missing = width - textWidth(text);
  if (missing >= 0) return text + ' '.repeat(missing);
  if (width <= 0) return '';
  let kept = '';
  let room = width - 1;
  for (const character of text) {
    room -= characterWidth(character);
    if (room < 0) break;
    kept += character;
  }
  // a wide character that was cut leaves a column
  return `${kept}${utf8 ? '…' : '~'}`.padEnd(kept.length + width - textWidth(kept));
}

const BARS = '▁▂▃▄▅▆▇█';
const ASCII_BARS = '_.-=+*#@';

/** The newest values as bars, as high as they are beside the largest; blank where nothing is known. */
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

/** Millions, and a thousand times more each. */
const UNITS = 'MGTPE';

/** A figure in at most six characters; `-` if it is not known. */
export function formatFigure(value: number | undefined): string {
  if (value === undefined || value < 0) return '-';
  // as it will be rounded: 99.996 must not become 100.00
  if (value < 99.995) return value.toFixed(2);
  if (value < 9999.95) return value.toFixed(1);
  if (value < 999999.5) return value.toFixed(0);
  let scaled = value / 1e6;
  let unit = 0;
  for (; scaled >= 999.95 && unit < UNITS.length - 1; unit++) scaled /= 1000;
  return `${scaled.toFixed(scaled < 99.995 ? 2 : 1)}${UNITS.charAt(unit)}`;
}
