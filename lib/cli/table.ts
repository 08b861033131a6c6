import { textWidth, toPrintable, type Style } from './text';

/** Formats a text as one field: printable, and in quotes if it is empty or has blanks or quotes. */
export function toField(text: string, style: Pick<Style, 'utf8'>): string {
  const printable = toPrintable(text, style);
  return /^$|[\s"]/u.test(printable) ? `"${printable.replaceAll('"', '""')}"` : printable;
}

/**
 * Formats rows of fields in columns that are as wide as their widest field, separated by two blanks.
 *
 * @param isNumber - whether a column is aligned at the right.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  isNumber: (column: number) => boolean,
): string[] {
  const widths = (rows[0] ?? []).map((_, i) =>
    rows.reduce((most, row) => Math.max(most, textWidth(row[i] ?? '')), 0),
  );
  return rows.map((row) =>
    row
      .map((text, i) => {
        const padding = ' '.repeat(Math.max(0, (widths[i] ?? 0) - textWidth(text)));
        return isNumber(i) ? padding + text : text + padding;
      })
      .join('  ')
      .trimEnd(),
  );
}
