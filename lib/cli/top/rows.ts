import type { DiskInfo, DiskRates, DiskSet } from '../..';
import { COLUMNS, sumFigures, throughput, type Figures } from './figures';

/** Throughput in the last samples, the newest last; undefined where it is not known. */
export type History = readonly (number | undefined)[];

/** How many samples a history goes back. */
export const HISTORY_LENGTH = 60;

/** What one line is about. */
export interface Row {
  readonly domain: string;
  /** The disk's name; of several disks, how many there are. */
  readonly disk: string;
  /** Undefined if they are not known. */
  readonly figures: Figures | undefined;
  readonly history: History;
  /** Why something is not known; mostly there is nothing to say. */
  readonly note: string;
}

/** A disk, as the last sample found it: it stays so, whatever becomes of the disk. */
export interface DiskRow extends Row {
  readonly domid: number;
}

/** Samples a set, and remembers what its disks did. */
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
    // what happened around a reset is not known
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

/** The rows in whose names the text is, in whatever case. */
export function filterRows(rows: readonly DiskRow[], text: string): readonly DiskRow[] {
  const wanted = text.toLowerCase();
  return rows.filter(({ domain, disk }) => `${domain} ${disk}`.toLowerCase().includes(wanted));
}

/** One row for all disks of a domain. */
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

/** One row for all of these. */
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

/** The newest ends of all of them fall together. */
function addHistories(histories: readonly History[]): History {
  const longest = histories.reduce((most, { length }) => Math.max(most, length), 0);
  const sum = new Array<number | undefined>(longest).fill(undefined);
  // ten thousand disks have a history: no objects for each of its values
  for (const history of histories) {
    const start = longest - history.length;
    for (let i = 0; i < history.length; i++) {
      const value = history[i];
      if (value !== undefined) sum[start + i] = (sum[start + i] ?? 0) + value;
    }
  }
  return sum;
}

/** What rows can be sorted by: the headings, from left to right. */
export const SORT_KEYS = [
  'domain',
  'disk',
  ...COLUMNS.map(({ heading }) => heading),
  'kB/s',
] as const;

/** See {@link SORT_KEYS}; `kB/s` is what is read and written together. */
export type SortKey = (typeof SORT_KEYS)[number];

const NAMES = new Intl.Collator('en', { numeric: true });

/** Names from a to z, figures from the largest; what is not known comes last. */
export function sortRows<R extends Row>(rows: readonly R[], key: SortKey): R[] {
  if (key === 'domain') return [...rows].sort((a, b) => NAMES.compare(a.domain, b.domain));
  if (key === 'disk') return [...rows].sort((a, b) => NAMES.compare(a.disk, b.disk));
  const column = COLUMNS.find(({ heading }) => heading === key);
  const value = ({ figures }: Row) => {
    if (figures === undefined) return -1;
    return column === undefined ? throughput(figures) : figures[column.figure];
  };
  return [...rows].sort((a, b) => value(b) - value(a));
}
