import { COLUMNS, sumFigures, type Figures } from './figures';

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

/** The row of a disk in one sample, or of a domain's disks. It does not change with them. */
export interface GuestRow extends Row {
  readonly domid: number;
}

/** Which rows are shown, and in which order. */
export interface Selection {
  /** What a row stands for. */
  readonly by: 'disk' | 'domain';
  readonly sort: SortKey;
  readonly isReversed: boolean;
  /** Only disks with this text in their names, or in those of their domains, are shown. */
  readonly filter: string;
}

/** Returns the rows of the disks that the filter selects. */
export function filterRows(rows: readonly GuestRow[], filter: string): GuestRow[] {
  return rows.filter(({ domain, disk }) => matches(filter, domain, disk));
}

/** Whether the names of a domain and its disk contain a text, ignoring case. */
export function matches(filter: string, domain: string, disk: string): boolean {
  return `${domain} ${disk}`.toLowerCase().includes(filter.toLowerCase());
}

/** Returns one row for each domain. Two domains may have the same name: their domids differ. */
export function groupByDomain(rows: readonly GuestRow[]): GuestRow[] {
  const groups = new Map<number, GuestRow[]>();
  for (const row of rows) groups.set(row.domid, [...(groups.get(row.domid) ?? []), row]);
  return [...groups].map(([domid, disks]) => {
    const noted = disks.find(({ note }) => note !== '');
    return {
      ...totalRow(disks, disks[0]?.domain),
      domid,
      note: noted === undefined ? '' : `${noted.disk}: ${noted.note}`,
    };
  });
}

/** Returns one row for all rows together. */
export function totalRow(rows: readonly GuestRow[], domain = 'total'): Row {
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
export const SORT_KEYS = ['domain', 'disk', ...COLUMNS.map(({ heading }) => heading)] as const;

/** One of {@link SORT_KEYS}. */
export type SortKey = (typeof SORT_KEYS)[number];

const NAME_ORDER = new Intl.Collator('en', { numeric: true });

/**
 * Returns the rows sorted: by name in ascending order, by figure in descending order, or reversed. Unknown
 * figures are last in both orders.
 */
export function sortRows<R extends Row>(
  rows: readonly R[],
  { sort, isReversed }: Pick<Selection, 'sort' | 'isReversed'>,
): R[] {
  const direction = isReversed ? -1 : 1;
  if (sort === 'domain' || sort === 'disk') {
    return [...rows].sort((a, b) => direction * NAME_ORDER.compare(a[sort], b[sort]));
  }
  const column = COLUMNS.find(({ heading }) => heading === sort);
  const value = ({ figures }: Row) => (figures && column ? column.of(figures) : -1);
  return [...rows].sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    return left < 0 || right < 0 ? right - left : direction * (right - left);
  });
}

/** Returns the selected rows: filtered, grouped and sorted. */
export function selectRows(rows: readonly GuestRow[], selection: Selection): GuestRow[] {
  const wanted = filterRows(rows, selection.filter);
  return sortRows(selection.by === 'domain' ? groupByDomain(wanted) : wanted, selection);
}
