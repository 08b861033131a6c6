import { Column, type Row } from './native';

/**
 * The counters of a disk. blkback and tapdisk count from the moment when the guest's frontend connects, and
 * start from 0 again when the frontend reconnects; QEMU counts from its start. What a backend does not count
 * is -1. In parentheses are the sources: the kernel's files in `vbd-<domid>-<devid>/statistics`; the fields
 * of tapdisk's file `td3-<pid>/vbd-<domid>-<devid>`; those of QEMU's `query-blockstats`.
 */
export interface DiskStats<N extends number | bigint = number> {
  /** Read requests (`rd_req`; `read_reqs_submitted`; `rd_operations` + `failed_rd_operations`). */
  rdReq: N;
  /** Sectors of 512 bytes read (`rd_sect`; `read_sectors`; `rd_bytes` / 512, rounded down). */
  rdSectors: N;
  /** Bytes read (sectors * 512; for QEMU `rd_bytes`). */
  rdBytes: N;
  /** Write requests (`wr_req`; `write_reqs_submitted`, which has the flushes, too; `wr_operations` + `failed_wr_operations`). */
  wrReq: N;
  /** Sectors of 512 bytes written (`wr_sect`; `write_sectors`; `wr_bytes` / 512, rounded down). */
  wrSectors: N;
  /** Bytes written (sectors * 512; for QEMU `wr_bytes`). */
  wrBytes: N;
  /** Flush requests (`f_req`); -1 for tapdisk and QEMU. */
  flushReq: N;
  /** Discard requests (`ds_req`); -1 for tapdisk and QEMU. */
  discardReq: N;
  /** Requests delayed because the backend was busy (`oo_req`); -1 for tapdisk and QEMU. */
  ooReq: N;
  /** The time that the read requests took in all, in nanoseconds (`read_total_ticks` * 1000; `rd_total_time_ns`); -1 for blkback. */
  rdTimeNs: N;
  /** The time that the write requests took in all, in nanoseconds (`write_total_ticks` * 1000; `wr_total_time_ns`); -1 for blkback. */
  wrTimeNs: N;
  /** Requests that failed (`io_errors`; the sum of `failed_*_operations`); -1 for blkback. */
  ioErrors: N;
}

/** The order in which {@link Disk.readInto} fills an array. */
export const DISK_COLUMNS = Object.freeze(Object.keys(Column)) as readonly (keyof DiskStats)[];

/** Converts a row to an object. */
export function toStats<N extends number | bigint>(row: Row<N>): DiskStats<N> {
  return {
    rdReq: row[Column.rdReq],
    rdSectors: row[Column.rdSectors],
    rdBytes: row[Column.rdBytes],
    wrReq: row[Column.wrReq],
    wrSectors: row[Column.wrSectors],
    wrBytes: row[Column.wrBytes],
    flushReq: row[Column.flushReq],
    discardReq: row[Column.discardReq],
    ooReq: row[Column.ooReq],
    rdTimeNs: row[Column.rdTimeNs],
    wrTimeNs: row[Column.wrTimeNs],
    ioErrors: row[Column.ioErrors],
  };
}
