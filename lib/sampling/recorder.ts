import { constants } from 'node:os';
import { inspect } from 'node:util';
import { DISK_COLUMNS, type DiskStats } from '../disk-stats';
import { outOfRange } from '../errors';
import { inspectAs } from '../inspect';
import type { Native, SetValues, VbdSet } from '../native';
import { Options } from '../options';
import type { DiskInfo } from '../xenstore/disks';

/** The options of {@link DiskSet.record}. */
export interface RecorderOptions {
  /** The time between two samples, in milliseconds: 0.2 to 3,600,000. Fractions are allowed. */
  intervalMs: number;
  /** The number of samples that are kept until they are taken: an integer from 1. */
  capacity: number;
}

/**
 * Consecutive samples of the same disks. `values` has a frame for each sample, one after the other, and each
 * frame has a row for each disk: the value of a column of the disk `disks[d]` in the sample `s` is at
 * `(s * disks.length + d) * columns.length + column`. Every column is -1 for a disk that could not be read.
 */
export interface RecordedSamples<N extends number | bigint = number> {
  /** The disk of each row, in the order of domid and devid. */
  readonly disks: readonly DiskInfo[];
  /** The names of the columns of a row. */
  readonly columns: readonly (keyof DiskStats)[];
  /** The time of each sample, in nanoseconds on CLOCK_MONOTONIC (`process.hrtime` of Node.js). */
  readonly timestamps: BigInt64Array;
  /** The samples. The caller owns the array. */
  readonly values: SetValues<N>;
}

const MIN_INTERVAL_MS = 0.2;
const MAX_INTERVAL_MS = 3_600_000;

/**
 * Samples the disks of a set at a fixed interval, on a thread of its own, whatever the event loop does
 * meanwhile. {@link DiskSet.record} creates it. It does not keep the process alive.
 */
export class Recorder<N extends number | bigint = number> {
  readonly #recorder;
  readonly #bigint: boolean;
  readonly #owner: RecorderOwner;
  /** The disks of the frames that are not taken yet, by the generation of their rows. */
  readonly #disks = new Map<number, readonly DiskInfo[]>();
  #isStopped = false;

  /** @internal */
  constructor(
    native: Native,
    vbds: VbdSet,
    owner: RecorderOwner,
    bigint: boolean,
    options: unknown,
  ) {
    const given = new Options(options);
    const intervalMs = given.number('intervalMs') ?? NaN;
    if (!(intervalMs >= MIN_INTERVAL_MS && intervalMs <= MAX_INTERVAL_MS)) {
      const range = `from ${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS}`;
      throw outOfRange('options.intervalMs', range, given.any('intervalMs'));
    }
    const capacity = given.integer('capacity', 1) ?? NaN;
    if (Number.isNaN(capacity))
      throw outOfRange('options.capacity', 'an integer from 1', undefined);
    this.#bigint = bigint;
    this.#owner = owner;
    this.#recorder = new native.Recorder();
    const errno = this.#recorder.start(vbds, Math.round(intervalMs * 1e6), capacity);
    if (errno !== 0) throw startError(errno, capacity);
  }

  /**
   * The number of samples that were skipped: the one before took too long, the thread was not scheduled in
   * time, or there was no memory.
   */
  get missed(): number {
    return this.#recorder.missed();
  }

  /** The number of samples that were overwritten by later ones before they were taken. */
  get overwritten(): number {
    return this.#recorder.overwritten();
  }

  /**
   * Returns the samples since the last call. A new entry begins when disks have got or lost a row, or were
   * opened again: all samples of an entry have the same rows. Samples can be taken after {@link Recorder.stop}.
   */
  take(): RecordedSamples<N>[] {
    const runs = this.#recorder.take(this.#bigint);
    const samples = runs.map(({ generation, timestamps, values }) => ({
      disks: this.#disks.get(generation) ?? [],
      columns: DISK_COLUMNS,
      timestamps,
      values: values as SetValues<N>,
    }));
    const last = runs.at(-1)?.generation ?? -1;
    for (const generation of this.#disks.keys()) {
      if (generation < last) this.#disks.delete(generation);
    }
    const latest = samples.at(-1);
    if (latest !== undefined && !this.#isStopped) this.#owner.onTake(latest);
    return samples;
  }

  /** Stops sampling. Further calls do nothing. */
  stop(): void {
    this.#isStopped = true;
    this.#recorder.stop();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** @internal */
  [inspect.custom](): string {
    const { missed, overwritten } = this;
    return inspectAs('Recorder', { missed, overwritten, isStopped: this.#isStopped });
  }

  /**
   * Tells which disks the frames of a generation have.
   *
   * @internal
   */
  update(generation: number, disks: readonly DiskInfo[]): void {
    if (!this.#isStopped) this.#disks.set(generation, disks);
  }
}

/** The set of a recorder. */
interface RecorderOwner {
  /** Called with the latest samples, whose disks may have failed. */
  onTake(samples: RecordedSamples<number | bigint>): void;
}

function startError(errno: number, capacity: number): Error {
  if (errno === constants.errno.ENOMEM) {
    return Object.assign(new Error(`there is no memory for ${capacity} samples of all disks`), {
      code: 'ERR_MEMORY_ALLOCATION_FAILED',
    });
  }
  return Object.assign(new Error('no thread can be started for the recorder: EAGAIN'), {
    code: 'EAGAIN',
    errno,
    syscall: 'pthread_create',
  });
}
