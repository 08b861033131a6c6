import type { DiskInfo, DiskRates, DiskSet } from '../..';
import { COLUMNS, sumFigures, throughput, type Figures } from './figures';

/** The throughput in the last samples, in kB/s, the newest last; undefined where it is unknown. */
export type History = readonly (number | undefined)[];

/** The maximum number of samples in a history. */
export const HISTORY_LENGTH = 60;

/** One line of a screen or a report. */
export interface Row {
  readonly domain: string;
  /** The name of the disk; for several disks, their number. */
  readonly disk: string;
  /** Undefined if they are unknown. */
  readonly figures: Figures | undefined;
  readonly history: History;
  /** Why figures are unknown; usually empty. */
  readonly note: string;
}

/** The row of one disk in one sample. It does not change with the disk. */
export interface DiskRow extends Row {
  readonly domid: number;
}

/** Samples a set, and keeps the histories of its disks. */
export class Sampler {
  readonly #set: DiskSet;
  /** By the disk's backend. */
  readonly #histories = new Map<string, History>();

  constructor(set: DiskSet) {
    this.#set = set;
    set.on('remove', ({ backend }) => this.#histories.delete(backend));
  }

  sample(): DiskRow[] {
    const { disks, errors } = this.#set.sample();
    return this.#set.rates().flatMap((rates, i) => {
      const disk = disks[i];
      return disk === undefined ? [] : [this.#row(disk, rates, errors.get(disk)?.message)];
    });
  }

  #row(disk: DiskInfo, rates: DiskRates | undefined, error: string | undefined): DiskRow {
    // the rates of an interval with a reset are unknown
    const figures = rates?.reset === true ? undefined : rates;
    const past = this.#histories.get(disk.backend) ?? [];
    const history = [...past, figures && throughput(figures)].slice(-HISTORY_LENGTH);
    this.#histories.set(disk.backend, history);
    return {
      domid: disk.domid,
      domain: disk.domain ?? String(disk.domid),
      disk: disk.name,
      figures,
      history,
      note: error ?? (rates?.reset === true ? 'counters were reset' : ''),
    };
  }
}

/** Returns the rows whose domain and disk names contain a text, ignoring case. */
export function filterRows(rows: readonly DiskRow[], text: string): readonly DiskRow[] {
  const wanted = text.toLowerCase();
  return rows.filter(({ domain, disk }) => `${domain} ${disk}`.toLowerCase().includes(wanted));
}

/** Returns one row for each domain. Two domains may have the same name: their domids differ. */
export function groupByDomain(rows: readonly DiskRow[]): Row[] {
  const groups = new Map<number, DiskRow[]>();
  for (const row of rows) groups.set(row.domid, [...(groups.get(row.domid) ?? []), row]);
  return [...groups.values()].map((disks) => {
    const noted = disks.find(({ note }) => note !== '');
    return {
      ...totalRow(disks, disks[0]?.domain ?? ''),
      note: noted === undefined ? '' : `${noted.disk}: ${noted.note}`,
    };
  });
}

/** Returns one row for all rows together. */
export function totalRow(rows: readonly DiskRow[], domain = 'total'): Row {
  const known = rows.flatMap(({ figures }) => figures ?? []);
  return {
    domain,
    disk: String(rows.length),
    figures: known.length === 0 && rows.length > 0 ? undefined : sumFigures(known),
    history: addHistories(rows.map(({ history }) => history)),
    note: '',
  };
}

/** Adds histories, aligned at their newest samples. */
function addHistories(histories: readonly History[]): History {
  const longest = histories.reduce((most, { length }) => Math.max(most, length), 0);
  const sum = new Array<number | undefined>(longest).fill(undefined);
  // allocates nothing for each value: ten thousand disks may have a history
  for (const history of histories) {
    const start = longest - history.length;
    for (let i = 0; i < history.length; i++) {
      const value = history[i];
      if (value !== undefined) sum[start + i] = (sum[start + i] ?? 0) + value;
    }
  }
  return sum;
}

/** The sort keys of rows: the headings, from left to right. */
export const SORT_KEYS = [
  'domain',
  'disk',
  ...COLUMNS.map(({ heading }) => heading),
  'kB/s',
] as const;

/** One of {@link SORT_KEYS}; `kB/s` is the throughput. */
export type SortKey = (typeof SORT_KEYS)[number];

const NAME_ORDER = new Intl.Collator('en', { numeric: true });

/** Returns the rows sorted: by name in ascending order, by figure in descending order, unknown ones last. */
export function sortRows<R extends Row>(rows: readonly R[], key: SortKey): R[] {
  if (key === 'domain') return [...rows].sort((a, b) => NAME_ORDER.compare(a.domain, b.domain));
  if (key === 'disk') return [...rows].sort((a, b) => NAME_ORDER.compare(a.disk, b.disk));
  const column = COLUMNS.find(({ heading }) => heading === key);
  const value = ({ figures }: Row) => {
    if (figures === undefined) return -1;
    return column === undefined ? throughput(figures) : figures[column.figure];
  };
  return [...rows].sort((a, b) => value(b) - value(a));
}
