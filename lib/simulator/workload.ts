import type { Io } from './counters';

/** What a guest does with a disk, on average, while the workload runs. */
export interface Workload {
  /** Default: 40. */
  readonly readsPerSecond?: number;
  /** Bytes of one request to read, a multiple of 512. Default: 16384. */
  readonly readBytes?: number;
  /** Default: 20. */
  readonly writesPerSecond?: number;
  /** Bytes of one request to write, a multiple of 512. Default: 8192. */
  readonly writeBytes?: number;
  /** Default: 1. */
  readonly flushesPerSecond?: number;
  /** Default: 0. */
  readonly discardsPerSecond?: number;
  /** How often a second a request has to wait because the backend is busy. Default: 0. */
  readonly delayedPerSecond?: number;
}

/** One disk's share of the workload: the same from the same seed, whatever the other disks do. */
export class WorkloadStream {
  readonly #workload: Required<Workload>;
  /** For each kind of request what is due, but not yet a whole one. */
  readonly #due = new Map<string, number>();
  #state: number;

  /** @param seed - integers that together make this stream unlike others. */
  constructor(workload: Workload, ...seed: number[]) {
    this.#workload = {
      readsPerSecond: 40,
      readBytes: 16384,
      writesPerSecond: 20,
      writeBytes: 8192,
      flushesPerSecond: 1,
      discardsPerSecond: 0,
      delayedPerSecond: 0,
      ...workload,
    };
    this.#state = seed.reduce(
      (hash, part) => Math.imul(hash ^ part, 0x9e3779b1) ^ (hash >>> 15),
      1,
    );
    // zero would stay zero
    if (this.#state === 0) this.#state = 1;
  }

  /** What is done in the next so many seconds. */
  next(seconds: number): Io {
    const { readBytes, writeBytes, ...rates } = this.#workload;
    const reads = this.#requests('reads', rates.readsPerSecond * seconds);
    const writes = this.#requests('writes', rates.writesPerSecond * seconds);
    return {
      reads,
      readBytes: reads * readBytes,
      writes,
      writeBytes: writes * writeBytes,
      flushes: this.#requests('flushes', rates.flushesPerSecond * seconds),
      discards: this.#requests('discards', rates.discardsPerSecond * seconds),
      delayed: this.#requests('delayed', rates.delayedPerSecond * seconds),
    };
  }

  /** Half to one and a half of what is expected. */
  #requests(kind: string, expected: number): number {
    const due = (this.#due.get(kind) ?? 0) + expected * (0.5 + this.#random());
    this.#due.set(kind, due % 1);
    return Math.floor(due);
  }

  /** From 0 to 1: Marsaglia's xorshift. */
  #random(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 2 ** 32;
  }
}
