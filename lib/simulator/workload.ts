import type { Io } from './counters';

/** A guest's average I/O on a disk while the workload runs. */
export interface Workload {
  /** Default: 40. */
  readonly readsPerSecond?: number;
  /** Bytes of a read request, a multiple of 512. Default: 16384. */
  readonly readBytes?: number;
  /** Default: 20. */
  readonly writesPerSecond?: number;
  /** Bytes of a write request, a multiple of 512. Default: 8192. */
  readonly writeBytes?: number;
  /** Default: 1. */
  readonly flushesPerSecond?: number;
  /** Default: 0. */
  readonly discardsPerSecond?: number;
  /** How often a second a request waits because the backend is busy. Default: 0. */
  readonly ooPerSecond?: number;
}

/** How long a guest's load stays the same, in seconds, so that it varies between samples of every rate. */
const LOAD_SECONDS = 0.5;

/** The I/O of one disk. The same seed gives the same I/O, independent of other disks. */
export class WorkloadStream {
  readonly #workload: Workload;
  /** Fractions of requests that are due, by kind. */
  readonly #due = new Map<string, number>();
  /** The current rates, relative to the average: from a half to one and a half. */
  #load = 1;
  /** The seconds until the load changes. */
  #remaining = 0;
  /** The state of the generator of random numbers: not 0. */
  #state: number;

  /** @param seed - integers that together select the random numbers. */
  constructor(workload: Workload, ...seed: number[]) {
    this.#workload = workload;
    const hash = (sum: number, part: number) => Math.imul(sum ^ part, 0x9e3779b1) ^ (sum >>> 15);
    this.#state = seed.reduce(hash, 1) || 1;
  }

  /** Returns the I/O of the next interval. */
  next(seconds: number): Io {
    const { readBytes = 16384, writeBytes = 8192, ...rates } = this.#workload;
    this.#remaining -= seconds;
    if (this.#remaining <= 0) {
      this.#load = 0.5 + this.#random();
      this.#remaining = LOAD_SECONDS;
    }
    const reads = this.#requests('reads', seconds, rates.readsPerSecond ?? 40);
    const writes = this.#requests('writes', seconds, rates.writesPerSecond ?? 20);
    return {
      reads,
      readBytes: reads * readBytes,
      writes,
      writeBytes: writes * writeBytes,
      flushes: this.#requests('flushes', seconds, rates.flushesPerSecond ?? 1),
      discards: this.#requests('discards', seconds, rates.discardsPerSecond ?? 0),
      ooReq: this.#requests('ooReq', seconds, rates.ooPerSecond ?? 0),
    };
  }

  /** Returns the number of requests that are due. */
  #requests(kind: string, seconds: number, perSecond: number): number {
    const due = (this.#due.get(kind) ?? 0) + seconds * perSecond * this.#load;
    this.#due.set(kind, due % 1);
    return Math.floor(due);
  }

  /** Returns a number from 0 to 1: Marsaglia's xorshift. */
  #random(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }
}
