import type { DiskRates } from '../..';

/** The figures of one line: the rates of a disk, or of several disks together. -1: unknown. */
export interface Figures extends Omit<DiskRates, 'reset' | 'rAwait' | 'wAwait' | 'backing'> {
  /** Milliseconds a request: those of the backend, or else those of the disk's backing device. */
  readonly rAwait: number;
  readonly wAwait: number;
  /** Of the backing device: see `BackingRates`. */
  readonly aquSz: number;
  readonly util: number;
}

/** What a figure measures: requests a second, kilobytes a second, kilobytes, or milliseconds. */
export type Quantity = 'count' | 'throughput' | 'size' | 'time';

/** A column of figures. */
export interface Column {
  /** The heading of iostat, for kilobytes. */
  readonly heading: string;
  readonly quantity: Quantity;
  readonly of: (figures: Figures) => number;
}

/** The columns, from left to right. iostat does not have oo/s and kB/s. */
export const COLUMNS = [
  { heading: 'r/s', quantity: 'count', of: (it: Figures) => it.rPerSec },
  { heading: 'w/s', quantity: 'count', of: (it: Figures) => it.wPerSec },
  { heading: 'rkB/s', quantity: 'throughput', of: (it: Figures) => it.rkBPerSec },
  { heading: 'wkB/s', quantity: 'throughput', of: (it: Figures) => it.wkBPerSec },
  { heading: 'rareq-sz', quantity: 'size', of: (it: Figures) => it.rareqSz },
  { heading: 'wareq-sz', quantity: 'size', of: (it: Figures) => it.wareqSz },
  { heading: 'r_await', quantity: 'time', of: (it: Figures) => it.rAwait },
  { heading: 'w_await', quantity: 'time', of: (it: Figures) => it.wAwait },
  { heading: 'aqu-sz', quantity: 'count', of: (it: Figures) => it.aquSz },
  { heading: '%util', quantity: 'count', of: (it: Figures) => it.util },
  { heading: 'f/s', quantity: 'count', of: (it: Figures) => it.fPerSec },
  { heading: 'd/s', quantity: 'count', of: (it: Figures) => it.dPerSec },
  { heading: 'oo/s', quantity: 'count', of: (it: Figures) => it.ooPerSec },
  { heading: 'kB/s', quantity: 'throughput', of: throughput },
] as const satisfies readonly Column[];

/** The headings of the columns that only some backends have. They are shown if a disk has them. */
const COLUMNS_OF_SOME: readonly string[] = ['r_await', 'w_await', 'aqu-sz', '%util'];

/** Returns the columns that are shown. The column of the sort key is always among them. */
export function columnsOf(all: readonly (Figures | undefined)[], sort: string): readonly Column[] {
  const isKnown = ({ of }: Column) => all.some((figures) => figures && of(figures) >= 0);
  return COLUMNS.filter(
    (column) =>
      !COLUMNS_OF_SOME.includes(column.heading) || column.heading === sort || isKnown(column),
  );
}

/** Converts the rates of a disk. */
export function toFigures({ backing, ...rates }: DiskRates): Figures {
  return {
    ...rates,
    rAwait: rates.rAwait ?? backing?.rAwait ?? -1,
    wAwait: rates.wAwait ?? backing?.wAwait ?? -1,
    aquSz: backing?.aquSz ?? -1,
    util: backing?.util ?? -1,
  };
}

/** Returns the kilobytes a second that are read and written, together. Unknown rates count as 0. */
export function throughput({ rkBPerSec, wkBPerSec }: Figures): number {
  return Math.max(0, rkBPerSec) + Math.max(0, wkBPerSec);
}

/**
 * Returns the figures of several disks together. A rate that only some disks have is the sum of those;
 * -1 if none of them has it.
 */
export function sumFigures(all: readonly Figures[]): Figures {
  const sum = (figure: keyof Figures) => {
    const counted = all.map((it) => it[figure]).filter((value) => value >= 0);
    if (counted.length === 0 && all.length > 0) return -1;
    return counted.reduce((total, value) => total + value, 0);
  };
  /** The time of a mean request, of the disks that have one. */
  const meanTime = (time: 'rAwait' | 'wAwait', requests: 'rPerSec' | 'wPerSec') => {
    const known = all.filter((it) => it[time] >= 0 && it[requests] > 0);
    const total = known.reduce((sum, it) => sum + it[requests], 0);
    return total === 0 ? -1 : known.reduce((sum, it) => sum + it[time] * it[requests], 0) / total;
  };
  const [rPerSec, wPerSec, rkBPerSec, wkBPerSec] = [
    sum('rPerSec'),
    sum('wPerSec'),
    sum('rkBPerSec'),
    sum('wkBPerSec'),
  ];
  return {
    rPerSec,
    wPerSec,
    rkBPerSec,
    wkBPerSec,
    rareqSz: requestSize(rkBPerSec, rPerSec),
    wareqSz: requestSize(wkBPerSec, wPerSec),
    rAwait: meanTime('rAwait', 'rPerSec'),
    wAwait: meanTime('wAwait', 'wPerSec'),
    // two disks may have the same device
    aquSz: -1,
    util: -1,
    fPerSec: sum('fPerSec'),
    dPerSec: sum('dPerSec'),
    ooPerSec: sum('ooPerSec'),
  };
}

/** Returns the kilobytes of a mean request; 0 without requests, -1 if they are unknown. */
function requestSize(kilobytes: number, requests: number): number {
  if (kilobytes < 0 || requests < 0) return -1;
  return requests === 0 ? 0 : kilobytes / requests;
}
