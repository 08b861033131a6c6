/** The name of a counter of blkback, which is the name of its file. */
export type BlkbackCounter =
  'oo_req' | 'rd_req' | 'wr_req' | 'f_req' | 'ds_req' | 'rd_sect' | 'wr_sect';

/** The name of a counter of tapdisk and of QEMU. The simulator has the same names for both. */
export type TimedCounter =
  'rd_req' | 'wr_req' | 'rd_sect' | 'wr_sect' | 'rd_ns' | 'wr_ns' | 'errors';

/** The name of a counter. */
export type Counter = BlkbackCounter | TimedCounter;

/**
 * The counters of a disk: requests, sectors of 512 bytes, nanoseconds, and failed requests. Each is 0 to
 * 2^64 - 1. A counter that the disk's backend does not have is missing.
 */
export type Counters = Record<BlkbackCounter & TimedCounter, bigint> &
  Partial<Record<Counter, bigint>>;

/** Some of a disk's counters, each 0 to 2^64 - 1. */
export type CounterOptions = Readonly<Partial<Record<Counter, number | bigint>>>;

/** A guest's I/O on a disk. A backend ignores what it does not count. */
export interface Io {
  /** Read requests. Default: as many as the bytes need at 64 KiB each. */
  readonly reads?: number;
  /** Bytes of all read requests, a multiple of 512. */
  readonly readBytes?: number;
  /** The total time of all read requests, in milliseconds. Default: 0.2 a request. Not counted by blkback. */
  readonly readMs?: number;
  /** Write requests. Default: as many as the bytes need at 64 KiB each. */
  readonly writes?: number;
  /** Bytes of all write requests, a multiple of 512. */
  readonly writeBytes?: number;
  /** The total time of all write requests, in milliseconds. Default: 0.4 a request. Not counted by blkback. */
  readonly writeMs?: number;
  /** Flush requests. tapdisk counts them as write requests. Not counted by QEMU. */
  readonly flushes?: number;
  /** Discard requests. Counted by blkback only. */
  readonly discards?: number;
  /** How often a request waited because the backend was busy. Counted by blkback only. */
  readonly ooReq?: number;
  /**
   * Write requests that failed, in addition to `writes`. tapdisk counts them as write requests, too. Not
   * counted by blkback.
   */
  readonly errors?: number;
}

const REQUEST_BYTES = 65536;

const READ_MS = 0.2;
const WRITE_MS = 0.4;

/** Returns what blkback adds to its counters. Its sectors have 512 bytes, whatever the disk's have. */
export function countBlkbackIo(io: Io): Record<BlkbackCounter, bigint> {
  const { readBytes = 0, writeBytes = 0, flushes = 0, discards = 0, ooReq = 0 } = io;
  const { reads = Math.ceil(readBytes / REQUEST_BYTES) } = io;
  const { writes = Math.ceil(writeBytes / REQUEST_BYTES) } = io;
  return {
    oo_req: BigInt(ooReq),
    rd_req: BigInt(reads),
    wr_req: BigInt(writes),
    f_req: BigInt(flushes),
    ds_req: BigInt(discards),
    rd_sect: BigInt(readBytes / 512),
    wr_sect: BigInt(writeBytes / 512),
  };
}

/** Returns what both tapdisk and QEMU add to their counters. */
export function countTimedIo(io: Io): Record<TimedCounter, bigint> {
  const { rd_req, wr_req, rd_sect, wr_sect } = countBlkbackIo(io);
  const { readMs = Number(rd_req) * READ_MS, writeMs = Number(wr_req) * WRITE_MS } = io;
  return {
    rd_req,
    wr_req,
    rd_sect,
    wr_sect,
    rd_ns: BigInt(Math.round(readMs * 1e6)),
    wr_ns: BigInt(Math.round(writeMs * 1e6)),
    errors: BigInt(io.errors ?? 0),
  };
}

/** The counters of tapdisk and of QEMU. */
export const TIMED_COUNTERS = Object.keys(countTimedIo({})) as readonly TimedCounter[];

/** blkback's counters, in the order in which the kernel creates their files. */
export const BLKBACK_COUNTERS = Object.keys(countBlkbackIo({})) as readonly BlkbackCounter[];

/** The counters have 64 bits, and continue at 0. */
const MASK = 2n ** 64n - 1n;

/** The counters of one disk, which its backend publishes. */
export abstract class Statistics<C extends Counter> {
  readonly #count: (io: Io) => Record<C, bigint>;
  #values: Record<C, bigint>;

  /** @param count - returns what the backend adds to its counters. */
  constructor(count: (io: Io) => Record<C, bigint>) {
    this.#count = count;
    this.#values = count({});
  }

  /** A copy. */
  get values(): Record<C, bigint> {
    return { ...this.#values };
  }

  /** Sets some counters, each to 0 to 2^64 - 1. */
  set(values: CounterOptions): void {
    for (const [counter, value] of Object.entries(values)) {
      this.#values[counter as C] = BigInt(value);
    }
    this.publish(this.#values);
  }

  /** Adds a guest's I/O. */
  perform(io: Io): void {
    const added = this.#count(io);
    for (const counter of Object.keys(added) as C[]) {
      this.#values[counter] = (this.#values[counter] + added[counter]) & MASK;
    }
    this.publish(this.#values);
  }

  /** Called when the guest's frontend connects. */
  connect(): void {
    // most backends publish counters from the attachment on
  }

  /** Called when the guest's frontend disconnects. */
  disconnect(): void {
    this.set(this.#count({}));
  }

  /** Called when the disk is detached. */
  abstract remove(): void;

  /** Makes the counters readable. */
  protected abstract publish(values: Record<C, bigint>): void;
}

/** The counters of a disk of any backend. */
export type DiskStatistics = Statistics<BlkbackCounter> | Statistics<TimedCounter>;
