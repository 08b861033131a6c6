import { Column, Counter, type Row } from '../native';

/** What libvirt's two calls are made of. */
export interface BlockCounters<N extends number | bigint> {
  rdReq: N;
  rdBytes: N;
  wrReq: N;
  wrBytes: N;
  flushReq: N;
  errs: N;
}

/** The counters of `virDomainBlockStats`: libvirt's `errs` is blkback's `oo_req`. */
export const BLOCK_STATS_COUNTERS =
  Counter.rdReq | Counter.rdSectors | Counter.wrReq | Counter.wrSectors | Counter.outOfRequests;

/** A disk's row in libvirt's words, its sectors multiplied as libvirt does. */
export function toNumbers(row: Row<number>, sectorSize: number): BlockCounters<number> {
  const bytes = (sectors: number) => (sectors < 0 ? sectors : sectors * sectorSize);
  return {
    rdReq: row[Column.rdReq],
    rdBytes: bytes(row[Column.rdSectors]),
    wrReq: row[Column.wrReq],
    wrBytes: bytes(row[Column.wrSectors]),
    flushReq: row[Column.flushReq],
    errs: row[Column.outOfRequests],
  };
}

/** The same in bigints. */
export function toBigints(row: Row<bigint>, sectorSize: number): BlockCounters<bigint> {
  const bytes = (sectors: bigint) => (sectors < 0n ? sectors : sectors * BigInt(sectorSize));
  return {
    rdReq: row[Column.rdReq],
    rdBytes: bytes(row[Column.rdSectors]),
    wrReq: row[Column.wrReq],
    wrBytes: bytes(row[Column.wrSectors]),
    flushReq: row[Column.flushReq],
    errs: row[Column.outOfRequests],
  };
}

/**
 * The sum over disks, in bigints so that it is exact. A counter that some disks lack is the sum over
 * the others; one that they all lack is -1. Over no disk at all everything is 0 but the errors, which are -1
 * because no blkback is there to count them, as in libvirt.
 */
export function sumCounters(disks: readonly BlockCounters<bigint>[]): BlockCounters<bigint> {
  const sum = (key: keyof BlockCounters<bigint>) => {
    const present = disks.map((disk) => disk[key]).filter((value) => value >= 0n);
    if (present.length === 0 && disks.length > 0) return -1n;
    return present.reduce((total, value) => total + value, 0n);
  };
  return {
    rdReq: sum('rdReq'),
    rdBytes: sum('rdBytes'),
    wrReq: sum('wrReq'),
    wrBytes: sum('wrBytes'),
    flushReq: sum('flushReq'),
    errs: disks.length === 0 ? -1n : sum('errs'),
  };
}

/** The same counters as numbers; beyond 2^53 they are rounded. */
export function roundCounters(counters: BlockCounters<bigint>): BlockCounters<number> {
  return {
    rdReq: Number(counters.rdReq),
    rdBytes: Number(counters.rdBytes),
    wrReq: Number(counters.wrReq),
    wrBytes: Number(counters.wrBytes),
    flushReq: Number(counters.flushReq),
    errs: Number(counters.errs),
  };
}
