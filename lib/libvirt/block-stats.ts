import { Column, Counter, type Row } from '../native';

/** The counters from which the results of `blockStats` and `blockStatsFlags` are made. */
export interface BlockCounters<N extends number | bigint> {
  rdReq: N;
  rdBytes: N;
  wrReq: N;
  wrBytes: N;
  flushReq: N;
  errs: N;
}

/** The counters of `virDomainBlockStats`. libvirt's `errs` is blkback's `oo_req`. */
export const BLOCK_STATS_COUNTERS =
  Counter.rdReq | Counter.rdSectors | Counter.wrReq | Counter.wrSectors | Counter.ooReq;

/**
 * Converts a disk's row to libvirt's counters. Counters that the kernel does not have stay -1.
 *
 * @param sectorSize - the number of bytes by which sectors are multiplied.
 */
export function toNumbers(row: Row<number>, sectorSize: number): BlockCounters<number> {
  const bytes = (sectors: number) => (sectors < 0 ? sectors : sectors * sectorSize);
  return {
    rdReq: row[Column.rdReq],
    rdBytes: bytes(row[Column.rdSectors]),
    wrReq: row[Column.wrReq],
    wrBytes: bytes(row[Column.wrSectors]),
    flushReq: row[Column.flushReq],
    errs: row[Column.ooReq],
  };
}

/** Converts a row of bigints: see {@link toNumbers}. */
export function toBigints(row: Row<bigint>, sectorSize: number): BlockCounters<bigint> {
  const bytes = (sectors: bigint) => (sectors < 0n ? sectors : sectors * BigInt(sectorSize));
  return {
    rdReq: row[Column.rdReq],
    rdBytes: bytes(row[Column.rdSectors]),
    wrReq: row[Column.wrReq],
    wrBytes: bytes(row[Column.wrSectors]),
    flushReq: row[Column.flushReq],
    errs: row[Column.ooReq],
  };
}

/**
 * Sums the counters of disks, as bigints so that the sum is exact. A disk that lacks a counter (-1) does
 * not contribute to its sum; a counter that all disks lack is -1. Without any disk the sums are 0, except
 * `errs`, which is -1 as in libvirt.
 */
export function sumCounters(disks: readonly BlockCounters<bigint>[]): BlockCounters<bigint> {
  const sum = (key: keyof BlockCounters<bigint>) => {
    let total = disks.length === 0 ? 0n : -1n;
    for (const { [key]: value } of disks) {
      if (value >= 0n) total = total < 0n ? value : total + value;
    }
    return total;
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

/** Converts counters to numbers. Values above 2^53 are rounded. */
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
