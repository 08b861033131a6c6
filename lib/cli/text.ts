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

/**
 * Returns whether stdout takes UTF-8: a file or a pipe does, and a terminal if that is the locale's encoding,
 * by the C library's order of the variables.
 */
export function takesUtf8(): boolean {
  if (!process.stdout.isTTY) return true;
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return /utf-?8/i.test([LC_ALL, LC_CTYPE, LANG].find((it) => it !== undefined && it !== '') ?? '');
}
