import { formatTable, toField } from '../table';
import type { Style } from '../text';
import { columnsOf } from './figures';
import { filterRows, selectRows, totalRow, type Row, type Selection } from './rows';
import type { Sample } from './sampler';
import { formatFixed, headingOf, type Unit } from './units';
import { describeUnsupported, filterUnsupported } from './unsupported';

/**
 * Formats a sample for a pipe or a log: a line with the time, the headings, the rows, their total, and the
 * disks that cannot be read.
 */
export function formatReport(
  { time, rows, unsupported }: Sample,
  selection: Selection,
  unit: Unit,
  style: Pick<Style, 'utf8'>,
): string {
  const shown = selectRows(rows, selection);
  const columns = columnsOf(
    shown.map(({ figures }) => figures),
    selection.sort,
  );
  const toCells = ({ domain, disk, figures, note }: Row) => [
    toField(domain, style),
    toField(disk, style),
    ...columns.map((column) => formatFixed(figures ? column.of(figures) : -1, column, unit)),
    ...(note === '' ? [] : [toField(note, style)]),
  ];
  const table = formatTable(
    [
      [
        'DOMAIN',
        selection.by === 'disk' ? 'DISK' : 'DISKS',
        ...columns.map((column) => headingOf(column, unit)),
      ],
      ...shown.map(toCells),
      toCells(totalRow(filterRows(rows, selection.filter))),
    ],
    (column) => column >= 2 && column < 2 + columns.length,
  );
  const hidden = describeUnsupported(filterUnsupported(unsupported, selection.filter));
  const lines = [time.toISOString(), ...table, ...(hidden === '' ? [] : [hidden])];
  return `${lines.join('\n')}\n\n`;
}
