import type { Figures } from './figures';
import { selectRows, type GuestRow, type Selection } from './rows';
import type { Sample } from './sampler';
import { filterUnsupported } from './unsupported';

/** The figures of a record, named as in the interface. */
export const FIGURES = [
  'rPerSec',
  'wPerSec',
  'rkBPerSec',
  'wkBPerSec',
  'rareqSz',
  'wareqSz',
  'rAwait',
  'wAwait',
  'aquSz',
  'util',
  'fPerSec',
  'dPerSec',
  'ooPerSec',
] as const satisfies readonly (keyof Figures)[];

/** Formats a sample as a line of JSON. Unknown figures are null. */
export function formatJsonLine({ time, rows, unsupported }: Sample, selection: Selection): string {
  const { by } = selection;
  const records = selectRows(rows, selection).map(({ domid, domain, disk, figures, note }) => ({
    domid,
    domain,
    ...(by === 'disk' ? { disk } : { disks: Number(disk) }),
    ...Object.fromEntries(FIGURES.map((name) => [name, known(figures?.[name])])),
    note: note === '' ? undefined : note,
  }));
  return `${JSON.stringify({
    timestamp: time.toISOString(),
    [by === 'disk' ? 'disks' : 'domains']: records,
    unsupported: filterUnsupported(unsupported, selection.filter).map(
      ({ domid, domain = String(domid), name, driver }) => ({ domid, domain, disk: name, driver }),
    ),
  })}\n`;
}

/** Returns the first line of CSV: the names of the fields. */
export function csvHeader({ by }: Pick<Selection, 'by'>): string {
  const disk = by === 'disk' ? 'disk' : 'disks';
  return toCsv(['timestamp', 'domid', 'domain', disk, ...FIGURES, 'note']);
}

/** Formats a sample as lines of CSV, one a row. Unknown figures are empty. */
export function formatCsv({ time, rows }: Sample, selection: Selection): string {
  const toRecord = ({ domid, domain, disk, figures, note }: GuestRow) => [
    time.toISOString(),
    String(domid),
    domain,
    disk,
    ...FIGURES.map((name) => String(known(figures?.[name]) ?? '')),
    note,
  ];
  return selectRows(rows, selection)
    .map((row) => toCsv(toRecord(row)))
    .join('');
}

/** Rounds a figure to three decimals; null if it is unknown. */
export function known(figure = -1): number | null {
  return figure < 0 ? null : Number(figure.toFixed(3));
}

/** Formats a record of CSV, with the quotes of RFC 4180. */
export function toCsv(fields: readonly string[]): string {
  const quoted = fields.map((text) =>
    /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text,
  );
  return `${quoted.join(',')}\n`;
}
