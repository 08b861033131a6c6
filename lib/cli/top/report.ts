import { COLUMNS } from './figures';
import { filterRows, totalRow } from './rows';
import { visibleRows, type Picture } from './screen';
import { toPrintable, type Style } from './text';

/** Formats a sample for a pipe or a log: a line with the time, the headings, the rows, and their total. */
export function renderReport(
  { view, rows, time }: Pick<Picture, 'view' | 'rows' | 'time'>,
  style: Pick<Style, 'utf8'>,
): string {
  const table = [
    ['DOMAIN', view.by === 'disk' ? 'DISK' : 'DISKS', ...COLUMNS.map(({ heading }) => heading)],
    ...[...visibleRows({ view, rows }), totalRow(filterRows(rows, view.filter))].map((row) => [
      toField(row.domain, style),
      toField(row.disk, style),
      ...COLUMNS.map(({ figure }) => {
        const value = row.figures?.[figure] ?? -1;
        return value < 0 ? '-' : value.toFixed(2);
      }),
      toPrintable(row.note, style),
    ]),
  ];
  const widths = (table[0] ?? []).map((_, i) =>
    table.reduce((most, cells) => Math.max(most, cells[i]?.length ?? 0), 0),
  );
  const lines = table.map((cells) =>
    cells
      .map((text, i) => (i < 2 ? text.padEnd(widths[i] ?? 0) : text.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return [time, ...lines, '', ''].join('\n');
}

/** Replaces the blanks of a name, so that each line has the same fields. */
function toField(name: string, style: Pick<Style, 'utf8'>): string {
  return toPrintable(name, style).replaceAll(/\s/gu, '_');
}
