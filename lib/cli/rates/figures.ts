import type { DiskRates } from '../..';

/** The figures of one line: the rates of a disk, or of several disks together. -1: unknown. */
export type Figures = Omit<DiskRates, 'reset'>;

/** What a figure measures: requests a second, kilobytes a second, or kilobytes. */
export type Quantity = 'count' | 'throughput' | 'size';

/** A column of figures. */
export interface Column {
  /** The heading of iostat, for kilobytes. */
  readonly heading: string;
  readonly quantity: Quantity;
  readonly of: (figures: Figures) => number;
}

/** The columns, from left to right. iostat does not have the last two. */
export const COLUMNS = [
  { heading: 'r/s', quantity: 'count', of: (it: Figures) => it.rPerSec },
  { heading: 'w/s', quantity: 'count', of: (it: Figures) => it.wPerSec },
  { heading: 'rkB/s', quantity: 'throughput', of: (it: Figures) => it.rkBPerSec },
  { heading: 'wkB/s', quantity: 'throughput', of: (it: Figures) => it.wkBPerSec },
  { heading: 'rareq-sz', quantity: 'size', of: (it: Figures) => it.rareqSz },
  { heading: 'wareq-sz', quantity: 'size', of: (it: Figures) => it.wareqSz },
  { heading: 'f/s', quantity: 'count', of: (it: Figures) => it.fPerSec },
  { heading: 'd/s', quantity: 'count', of: (it: Figures) => it.dPerSec },
  { heading: 'oo/s', quantity: 'count', of: (it: Figures) => it.ooPerSec },
  { heading: 'kB/s', quantity: 'throughput', of: throughput },
] as const satisfies readonly Column[];

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
