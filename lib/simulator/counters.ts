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

/** blkback's counters, in the order in which the kernel makes their files. */
export const COUNTERS = [
  'oo_req',
  'rd_req',
  'wr_req',
  'f_req',
  'ds_req',
  'rd_sect',
  'wr_sect',
] as const;

/** The name of a counter's file. */
export type Counter = (typeof COUNTERS)[number];

/** All counters of a disk: requests, and sectors of 512 bytes. Each is 0 to 2^64 - 1. */
export type Counters = Record<Counter, bigint>;

/** What a guest did with a disk. */
export interface Io {
  /** Requests to read; default: as many as it takes at 64 KiB each. */
  readonly reads?: number;
  /** Bytes read by all of them, a multiple of 512. */
  readonly readBytes?: number;
  /** Requests to write; default: as many as it takes at 64 KiB each. */
  readonly writes?: number;
  /** Bytes written by all of them, a multiple of 512. */
  readonly writeBytes?: number;
  readonly flushes?: number;
  readonly discards?: number;
  /** How often a request had to wait because the backend was busy. */
  readonly delayed?: number;
}

const REQUEST_BYTES = 65536;

/** How blkback counts it: sectors have 512 bytes, whatever the disk says. */
export function countIo(io: Io): Counters {
  const { readBytes = 0, writeBytes = 0, flushes = 0, discards = 0, delayed = 0 } = io;
  const { reads = Math.ceil(readBytes / REQUEST_BYTES) } = io;
  const { writes = Math.ceil(writeBytes / REQUEST_BYTES) } = io;
  return {
    oo_req: BigInt(delayed),
    rd_req: BigInt(reads),
    wr_req: BigInt(writes),
    f_req: BigInt(flushes),
    ds_req: BigInt(discards),
    rd_sect: BigInt(readBytes / 512),
    wr_sect: BigInt(writeBytes / 512),
  };
}

const ZERO = countIo({});

/** The kernel counts in 64 bits, and then from 0 again. */
const MASK = 2n ** 64n - 1n;

interface CounterFile {
  readonly descriptor: number;
  text: string;
}

/** A device's folder on a bus of its own, with the statistics of its disk if it is to have any. */
export class DeviceFolder {
  readonly #folder: string;
  readonly #workshop: string;
  readonly #files = new Map<Counter, CounterFile>();
  readonly #values = { ...ZERO };

  /**
   * @param bus - the folder that has `devices`.
   * @param device - its name there: `vbd-1-51712`.
   * @param values - what its counters begin with; default: 0.
   */
  constructor(bus: string, device: string, hasStatistics: boolean, values: Partial<Counters> = {}) {
    this.#folder = join(bus, 'devices', device);
    this.#workshop = join(bus, `${device}.workshop`);
    // made elsewhere and moved, so that nobody sees half of it
    mkdirSync(hasStatistics ? join(this.#workshop, 'statistics') : this.#workshop, {
      recursive: true,
    });
    if (hasStatistics) {
      for (const counter of COUNTERS) {
        const path = join(this.#workshop, 'statistics', counter);
        this.#files.set(counter, { descriptor: openSync(path, 'wx', 0o444), text: '' });
      }
      this.set(values);
    }
    renameSync(this.#workshop, this.#folder);
  }

  get hasStatistics(): boolean {
    return this.#files.size > 0;
  }

  get values(): Counters {
    return { ...this.#values };
  }

  /** Sets some counters, each to 0 to 2^64 - 1. */
  set(values: Partial<Counters>): void {
    Object.assign(this.#values, values);
    for (const [counter, file] of this.#files) this.#write(file, `${this.#values[counter]}\n`);
  }

  /** Sets all counters to 0. */
  reset(): void {
    this.set(ZERO);
  }

  /** Adds to the counters. */
  add(values: Counters): void {
    const sums = this.values;
    for (const counter of COUNTERS) sums[counter] = (sums[counter] + values[counter]) & MASK;
    this.set(sums);
  }

  /** Takes the folder away. Who holds its files open reads nothing more, where sysfs says ENODEV. */
  remove(): void {
    renameSync(this.#folder, this.#workshop);
    rmSync(this.#workshop, { recursive: true });
    for (const { descriptor } of this.#files.values()) {
      ftruncateSync(descriptor, 0);
      closeSync(descriptor);
    }
    this.#files.clear();
  }

  /**
   * In place: who holds the file open may read it at any moment, and never finds it empty. It has its
   * new length before a longer text comes, since a reader goes by the length that it saw first, and
   * would take the beginning of a number for the number.
   */
  #write(file: CounterFile, text: string): void {
    if (text === file.text) return;
    if (text.length > file.text.length) ftruncateSync(file.descriptor, text.length);
    writeSync(file.descriptor, text, 0);
    if (text.length < file.text.length) ftruncateSync(file.descriptor, text.length);
    file.text = text;
  }
}
