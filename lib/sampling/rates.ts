import type { BackingRates } from '../backends/backing-device';
import { Column } from '../native';

/**
 * The average rates of a disk between two samples, named after the columns of `iostat -x`. A rate whose
 * counter was not read, or which the backend does not count, is -1.
 */
export interface DiskRates {
  /**
   * Whether a counter decreased: the guest's frontend reconnected, or blkback's `log_stats` reset the
   * counters. The rates are unknown then: all are 0, and `rAwait` and `wAwait` are undefined.
   */
  readonly reset: boolean;
  /** `r/s`: read requests a second. */
  readonly rPerSec: number;
  /** `w/s`: write requests a second. */
  readonly wPerSec: number;
  /** `rkB/s`: kilobytes (1024 bytes) read a second. */
  readonly rkBPerSec: number;
  /** `wkB/s`: kilobytes (1024 bytes) written a second. */
  readonly wkBPerSec: number;
  /** `rareq-sz`: the average size of a read request in kilobytes (1024 bytes); 0 without requests. */
  readonly rareqSz: number;
  /** `wareq-sz`: the average size of a write request in kilobytes (1024 bytes); 0 without requests. */
  readonly wareqSz: number;
  /** `f/s`: flush requests a second. */
  readonly fPerSec: number;
  /** `d/s`: discard requests a second. */
  readonly dPerSec: number;
  /** Requests a second that were delayed because the backend was busy. iostat has no such column. */
  readonly ooPerSec: number;
  /** The milliseconds that a read request took; undefined if there was none, or the backend does not count time. */
  readonly rAwait: number | undefined;
  /** The milliseconds that a write request took; undefined as {@link rAwait}. */
  readonly wAwait: number | undefined;
  /**
   * The rates of the disk's backing device, which another disk or this host may use, too; undefined without
   * the option `backing` of the set, and for a disk that has none.
   */
  readonly backing?: BackingRates;
}

const RESET: DiskRates = Object.freeze({
  reset: true,
  rAwait: undefined,
  wAwait: undefined,
  rPerSec: 0,
  wPerSec: 0,
  rkBPerSec: 0,
  wkBPerSec: 0,
  rareqSz: 0,
  wareqSz: 0,
  fPerSec: 0,
  dPerSec: 0,
  ooPerSec: 0,
});

const KILOBYTE = 1024;

const NS_PER_MS = 1e6;

/**
 * Calculates the rates between two rows of the same disk.
 *
 * @param offset - the index at which the row begins in both arrays.
 * @param seconds - the time between the samples.
 */
export function ratesBetween(
  before: Float64Array | BigInt64Array,
  after: Float64Array | BigInt64Array,
  offset: number,
  seconds: number,
): DiskRates {
  /** Returns the difference of a counter; undefined if it has no two values. */
  const difference = (column: number): number | undefined => {
    const [from, to] = [before[offset + column] ?? -1, after[offset + column] ?? -1];
    if (from < 0 || to < 0) return undefined;
    // bigints are converted after the subtraction, so that large counters keep their precision
    return typeof to === 'bigint' ? Number(to - BigInt(from)) : to - Number(from);
  };
  if (Object.values(Column).some((column) => (difference(column) ?? 0) < 0)) return RESET;

  const perSecond = (column: number, unit = 1) => {
    const count = difference(column);
    return count === undefined ? -1 : count / unit / seconds;
  };
  const requestSize = (bytesColumn: number, requestsColumn: number) => {
    const [bytes, requests] = [difference(bytesColumn), difference(requestsColumn)];
    if (bytes === undefined || requests === undefined) return -1;
    return requests === 0 ? 0 : bytes / KILOBYTE / requests;
  };
  const timePerRequest = (timeColumn: number, requestsColumn: number) => {
    const [time, requests] = [difference(timeColumn), difference(requestsColumn)];
    return time === undefined || !requests ? undefined : time / NS_PER_MS / requests;
  };
  return {
    reset: false,
    rPerSec: perSecond(Column.rdReq),
    wPerSec: perSecond(Column.wrReq),
    rkBPerSec: perSecond(Column.rdBytes, KILOBYTE),
    wkBPerSec: perSecond(Column.wrBytes, KILOBYTE),
    rareqSz: requestSize(Column.rdBytes, Column.rdReq),
    wareqSz: requestSize(Column.wrBytes, Column.wrReq),
    fPerSec: perSecond(Column.flushReq),
    dPerSec: perSecond(Column.discardReq),
    ooPerSec: perSecond(Column.ooReq),
    rAwait: timePerRequest(Column.rdTimeNs, Column.rdReq),
    wAwait: timePerRequest(Column.wrTimeNs, Column.wrReq),
  };
}
