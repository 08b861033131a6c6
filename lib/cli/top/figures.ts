import type { DiskRates } from '../..';

/** The figures of one line: the rates of a disk, or of several disks together. -1: unknown. */
export type Figures = Omit<DiskRates, 'reset'>;

/** The columns with the headings of iostat, and their widths on a screen, in characters. */
export const COLUMNS = [
  { heading: 'r/s', figure: 'rPerSec', width: 7 },
  { heading: 'w/s', figure: 'wPerSec', width: 7 },
  { heading: 'rkB/s', figure: 'rkBPerSec', width: 8 },
  { heading: 'wkB/s', figure: 'wkBPerSec', width: 8 },
  { heading: 'rareq-sz', figure: 'rareqSz', width: 9 },
  { heading: 'wareq-sz', figure: 'wareqSz', width: 9 },
  { heading: 'f/s', figure: 'fPerSec', width: 7 },
  { heading: 'd/s', figure: 'dPerSec', width: 7 },
  { heading: 'oo/s', figure: 'ooPerSec', width: 7 },
] as const;

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
