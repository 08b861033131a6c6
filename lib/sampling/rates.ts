import { Column } from '../native';

/**
 * What a disk did between two samples, a second, in the words of `iostat -x`. What the backend does not
 * count is -1.
 */
export interface DiskRates {
  /**
   * Counters went backwards: the guest's driver reconnected, or blkback's `log_stats` reset them. What
   * happened in between is not known, and every figure is 0.
   */
  readonly reset: boolean;
  /** `r/s`: read requests. */
  readonly rPerSec: number;
  /** `w/s`: write requests. */
  readonly wPerSec: number;
  /** `rkB/s`: kilobytes (1024 bytes) read. */
  readonly rkBPerSec: number;
  /** `wkB/s`: kilobytes (1024 bytes) written. */
  readonly wkBPerSec: number;
  /** `rareq-sz`: kilobytes (1024 bytes) of a read request; 0 if there were none. */
  readonly rareqSz: number;
  /** `wareq-sz`: kilobytes (1024 bytes) of a write request; 0 if there were none. */
  readonly wareqSz: number;
  /** `f/s`: flush requests. */
  readonly fPerSec: number;
  /** `d/s`: discard requests. */
  readonly dPerSec: number;
  /** Requests delayed because the backend was busy; iostat has no such figure. */
  readonly ooPerSec: number;
}

const RESET: DiskRates = Object.freeze({
  reset: true,
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

/**
 * What happened between two rows of the same disk.
 *
 * @param offset - where the row begins in both arrays.
 */
export function ratesBetween(
  before: Float64Array | BigInt64Array,
  after: Float64Array | BigInt64Array,
  offset: number,
  seconds: number,
): DiskRates {
  /** How much was counted; undefined if it is not. */
  const counted = (column: number): number | undefined => {
    const [from, to] = [before[offset + column] ?? -1, after[offset + column] ?? -1];
    if (from < 0 || to < 0) return undefined;
    // bigints are subtracted first, so that large counters lose nothing
    return typeof to === 'bigint' ? Number(to - BigInt(from)) : to - Number(from);
  };
  if (Object.values(Column).some((column) => (counted(column) ?? 0) < 0)) return RESET;

  const perSecond = (column: number, unit = 1) => {
    const count = counted(column);
    return count === undefined ? -1 : count / unit / seconds;
  };
  const requestSize = (bytesColumn: number, requestsColumn: number) => {
    const [bytes, requests] = [counted(bytesColumn), counted(requestsColumn)];
    if (bytes === undefined || requests === undefined) return -1;
    return requests === 0 ? 0 : bytes / KILOBYTE / requests;
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
    ooPerSec: perSecond(Column.outOfRequests),
  };
}
