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

/** The name of a counter's file. */
export type Counter = 'oo_req' | 'rd_req' | 'wr_req' | 'f_req' | 'ds_req' | 'rd_sect' | 'wr_sect';

/** All counters of a disk: requests, and sectors of 512 bytes. Each is 0 to 2^64 - 1. */
export type Counters = Record<Counter, bigint>;

/** A guest's I/O on a disk. */
export interface Io {
  /** Read requests. Default: as many as the bytes need at 64 KiB each. */
  readonly reads?: number;
  /** Bytes of all read requests, a multiple of 512. */
  readonly readBytes?: number;
  /** Write requests. Default: as many as the bytes need at 64 KiB each. */
  readonly writes?: number;
  /** Bytes of all write requests, a multiple of 512. */
  readonly writeBytes?: number;
  readonly flushes?: number;
  readonly discards?: number;
  /** How often a request waited because the backend was busy. */
  readonly ooReq?: number;
}

const REQUEST_BYTES = 65536;

/** Returns what blkback adds to its counters. Its sectors have 512 bytes, whatever the disk's have. */
export function countIo(io: Io): Counters {
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

const ZERO = countIo({});

/** blkback's counters, in the order in which the kernel creates their files. */
export const COUNTERS = Object.keys(ZERO) as readonly Counter[];

/** The kernel's counters have 64 bits, and continue at 0. */
const MASK = 2n ** 64n - 1n;

/** The sysfs directory of a disk that blkback serves, with a file for each counter. */
export class CounterFiles {
  readonly #directory: string;
  /** Where the directory is created and removed, so that no reader sees a part of it. */
  readonly #hidden: string;
  readonly #files = new Map<Counter, { readonly descriptor: number; text: string }>();
  readonly #values = { ...ZERO };

  /** @param device - its name in the directory `devices` of the bus: `vbd-1-51712`. */
  constructor(bus: string, device: string, values: Partial<Record<Counter, number | bigint>> = {}) {
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

  get values(): Counters {
    return { ...this.#values };
  }

  /** Sets some counters, each to 0 to 2^64 - 1. */
  set(values: Partial<Record<Counter, number | bigint>>): void {
    for (const [counter, value] of Object.entries(values)) {
      this.#values[counter as Counter] = BigInt(value);
    }
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
  add(values: Counters): void {
    const sums = this.values;
    for (const counter of COUNTERS) sums[counter] = (sums[counter] + values[counter]) & MASK;
    this.set(sums);
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
