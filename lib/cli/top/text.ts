/** The capabilities of a terminal. */
export interface Style {
  /** Whether it shows characters beyond ASCII. */
  readonly utf8: boolean;
  readonly colours: boolean;
}

/** Combining marks and joiners: they have no width of their own. */
const COMBINING = /^[\p{Mn}\p{Me}\u{1160}-\u{11ff}]$/u;

/** Characters that change the direction of a line, break it, or have no glyph. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

/** Characters that take two columns. */
const WIDE =
  /^[\u{1100}-\u{115f}\u{2e80}-\u{303e}\u{3041}-\u{a4cf}\u{a960}-\u{a97c}\u{ac00}-\u{d7a3}\u{f900}-\u{faff}\u{fe30}-\u{fe6f}\u{ff01}-\u{ff60}\u{ffe0}-\u{ffe6}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

/** Printable ASCII, one column each. Most names need no other check. */
const PLAIN = /^[\x20-\x7e]*$/;

/**
 * Makes untrusted text safe for a terminal: one line, without escape sequences and changes of
 * direction. Replaces other characters by U+FFFD, without UTF-8 by a question mark.
 */
export function toPrintable(text: string, { utf8 }: Pick<Style, 'utf8'>): string {
  if (PLAIN.test(text)) return text;
  return utf8 ? text.replaceAll(INVISIBLE, '\u{fffd}') : text.replaceAll(/[^\x20-\x7e]/gu, '?');
}

/** Returns the width of printable text, in columns. */
export function textWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  return Array.from(text).reduce((sum, character) => sum + characterWidth(character), 0);
}

function characterWidth(character: string): number {
  if (COMBINING.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Returns printable text in exactly this many columns: cut, or padded with blanks. */
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
  // a wide character that does not fit leaves a column, which is padded
  return `${kept}${utf8 ? '…' : '~'}`.padEnd(kept.length + width - textWidth(kept));
}

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

/** The units from a million, each 1000 times the one before. */
const UNITS = 'MGTPE';

/** Formats a figure in at most six characters; `-` if it is unknown. */
export function formatFigure(value: number | undefined): string {
  if (value === undefined || value < 0) return '-';
  // the limits allow for rounding: 99.996 must not become 100.00
  if (value < 99.995) return value.toFixed(2);
  if (value < 9999.95) return value.toFixed(1);
  if (value < 999999.5) return value.toFixed(0);
  let scaled = value / 1e6;
  let unit = 0;
  for (; scaled >= 999.95 && unit < UNITS.length - 1; unit++) scaled /= 1000;
  return `${scaled.toFixed(scaled < 99.995 ? 2 : 1)}${UNITS.charAt(unit)}`;
}
