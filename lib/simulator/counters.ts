import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

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

/** The counters of one disk, where its backend publishes them. */
export interface Statistics {
  /** A copy. */
  readonly values: Counters;
  /** Sets some counters, each to 0 to 2^64 - 1. */
  set(values: CounterOptions): void;
  /** Adds a guest's I/O. */
  perform(io: Io): void;
  /** Called when the guest's frontend connects. */
  connect(): void;
  /** Called when the guest's frontend disconnects. */
  disconnect(): void;
  /** Called when the disk is detached. */
  remove(): void;
}

const REQUEST_BYTES = 65536;

const READ_MS = 0.2;
const WRITE_MS = 0.4;

/** Returns what blkback adds to its counters. Its sectors have 512 bytes, whatever the disk's have. */
export function countIo(io: Io): Record<BlkbackCounter, bigint> {
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
  const { rd_req, wr_req, rd_sect, wr_sect } = countIo(io);
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

const ZERO = countIo({});

/** The counters of tapdisk and of QEMU. */
export const TIMED_COUNTERS = Object.keys(countTimedIo({})) as readonly TimedCounter[];

/** blkback's counters, in the order in which the kernel creates their files. */
export const COUNTERS = Object.keys(ZERO) as readonly BlkbackCounter[];

/** The counters have 64 bits, and continue at 0. */
const MASK = 2n ** 64n - 1n;

/** Returns the sums of two sets of counters. */
export function addCounters<C extends Counter>(
  values: Record<C, bigint>,
  added: Record<C, bigint>,
): Record<C, bigint> {
  const sums = { ...values };
  for (const counter of Object.keys(sums) as C[]) {
    sums[counter] = (sums[counter] + added[counter]) & MASK;
  }
  return sums;
}

/** Returns the counters with some of them replaced. */
export function replaceCounters<C extends Counter>(
  values: Record<C, bigint>,
  replaced: CounterOptions,
): Record<C, bigint> {
  const result = { ...values };
  for (const [counter, value] of Object.entries(replaced)) result[counter as C] = BigInt(value);
  return result;
}

/** The sysfs directory of a disk that blkback serves, with a file for each counter. */
export class CounterFiles implements Statistics {
  readonly #directory: string;
  /** Where the directory is created and removed, so that no reader sees a part of it. */
  readonly #hidden: string;
  readonly #files = new Map<BlkbackCounter, { readonly descriptor: number; text: string }>();
  #values = ZERO;

  /** @param device - its name in the directory `devices` of the bus: `vbd-1-51712`. */
  constructor(bus: string, device: string, values: CounterOptions = {}) {
    this.#directory = join(bus, 'devices', device);
    this.#hidden = join(bus, `${device}.hidden`);
    const statistics = join(this.#hidden, 'statistics');
    // creates no parents: they are missing only if the host's files are removed, because the process ends
    mkdirSync(this.#hidden);
    mkdirSync(statistics);
    for (const counter of COUNTERS) {
      const descriptor = openSync(join(statistics, counter), 'wx', 0o444);
      this.#files.set(counter, { descriptor, text: '' });
    }
    this.set(values);
    renameSync(this.#hidden, this.#directory);
  }

  get values(): Record<BlkbackCounter, bigint> {
    return { ...this.#values };
  }

  /** Sets some counters, each to 0 to 2^64 - 1. */
  set(values: CounterOptions): void {
    this.#values = replaceCounters(this.#values, values);
    for (const [counter, file] of this.#files) {
      const text = `${this.#values[counter]}\n`;
      if (text === file.text) continue;
      // A reader can have the file open, and must never read an empty or a shortened number. Node's file
      // functions read as many bytes as the file had first, so the file grows before a longer text comes.
      if (text.length > file.text.length) ftruncateSync(file.descriptor, text.length);
      // a Buffer: Deno ignores the position of a string
      writeSync(file.descriptor, Buffer.from(text), 0, text.length, 0);
      if (text.length < file.text.length) ftruncateSync(file.descriptor, text.length);
      file.text = text;
    }
  }

  /** Adds to the counters. */
  add(values: Record<BlkbackCounter, bigint>): void {
    this.set(addCounters(this.#values, values));
  }

  perform(io: Io): void {
    this.add(countIo(io));
  }

  /** Does nothing: the directory exists from the attachment on. */
  connect(): void {
    // the counters are 0, unless they were set
  }

  /** Sets the counters to 0: blkback frees its rings, and with them the counters. */
  disconnect(): void {
    this.set(ZERO);
  }

  /** Removes the directory. A reader of an open file reads nothing more, where sysfs returns ENODEV. */
  remove(): void {
    renameSync(this.#directory, this.#hidden);
    rmSync(this.#hidden, { recursive: true });
    for (const { descriptor } of this.#files.values()) {
      ftruncateSync(descriptor, 0);
      closeSync(descriptor);
    }
    this.#files.clear();
  }
}
