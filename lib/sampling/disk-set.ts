import { EventEmitter } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { READABLE_KINDS, isReadable } from '../backends/readable';
import { statisticsError } from '../backends/statistics-error';
import { DISK_COLUMNS, type DiskStats } from '../disk-stats';
import { outOfRange, type XenError } from '../errors';
import type { Host } from '../host';
import { inspectAs } from '../inspect';
import { Column, monotonicTime, type SetValues, type VbdSet } from '../native';
import { MAX_TIMEOUT_MS, Options } from '../options';
import type { DiskInfo } from '../xenstore/disks';
import { closedError } from '../xenstore/watching-client';
import { BackingRows, type BackingSample } from './backing-rows';
import { toKeys } from './disk-scanner';
import { DiskWatch, throwUncaught } from './disk-watch';
import { QemuRows } from './qemu-rows';
import type { DiskRates } from './rates';
import { Recorder, type RecordedSamples, type RecorderOptions } from './recorder';
import { SampledRows, isFilled } from './sampled-rows';

/** The options of {@link Connection.diskSet}. */
export interface DiskSetOptions {
  /**
   * Selects disks; default: all. Called for a disk again after each watch event that concerns its domain.
   */
  filter?: ((disk: DiskInfo) => boolean) | undefined;
  /** Whether counters are bigints. Numbers, the default, are rounded above 2^53. */
  bigint?: boolean | undefined;
  /** The counters that are read; default: all. The columns of the others are -1. Of blkback, each costs one `pread` a disk. */
  counters?: readonly (keyof DiskStats)[] | undefined;
  /**
   * The kinds of disks that have rows; default: `['vbd', 'vbd3']`, those of blkback and tapdisk, which
   * {@link DiskSet.sample} reads. `'qdisk'`: also those of QEMU, which {@link DiskSet.sampleAsync} asks.
   */
  kinds?: readonly (typeof READABLE_KINDS)[number][] | undefined;
  /** The age from which the last answer of QEMU is an error, in milliseconds; default: 5000. */
  maxAgeMs?: number | undefined;
  /**
   * Whether rates include those of the disks' backing devices ({@link DiskRates.backing}); default: false. It
   * costs one more `pread` and one more open file a device.
   */
  backing?: boolean | undefined;
}

/** A disk of a set, with its result in the last sample. */
export interface DiskSample<N extends number | bigint = number> {
  readonly disk: DiskInfo;
  /** The counters; undefined if the disk could not be read, or was added after the last sample. */
  readonly stats: DiskStats<N> | undefined;
  /** The reason why the disk could not be read, if so. */
  readonly error: XenError | undefined;
}

/** The events of a set. */
export interface DiskSetEvents {
  /** Emitted after a disk has got a row. */
  add: [disk: DiskInfo];
  /** Emitted after a disk has lost its row. */
  remove: [disk: DiskInfo];
  /** Emitted when {@link DiskSet.watching} has changed. The rows are current when it is `true`. */
  watching: [watching: boolean];
}

/** The shortest time between two scans of failed disks, in nanoseconds. */
const RESCAN_NS = 1_000_000_000n;

/** The sets that keep the process alive. References from here protect them from garbage collection. */
const REFERENCED = new Set<object>();

/**
 * A set of the disks that this domain serves, with a row of counters for each disk.
 * xenstore's watch events keep the set current: rows change between two turns of the event loop, never
 * during a sample. A set does not keep the process alive, unless {@link DiskSet.ref} is called.
 */
export class DiskSet<N extends number | bigint = number> extends EventEmitter<DiskSetEvents> {
  readonly #host: Host;
  readonly #vbds: VbdSet;
  readonly #watch: DiskWatch;
  readonly #kinds: readonly string[];
  readonly #qemuRows: QemuRows;
  /** Undefined without the option `backing`. */
  readonly #backingRows: BackingRows | undefined;

  #disks: readonly DiskInfo[] = Object.freeze([]);
  #unsupported: readonly DiskInfo[] = Object.freeze([]);
  #generation = 0;
  /** The generation of the rows in the addon, which also changes when a disk is opened again. */
  #nativeGeneration = 0;
  /** The recorders. The references are weak, so that an unused recorder can be collected. */
  readonly #recorders = new Set<WeakRef<Recorder<N>>>();
  readonly #bigint: boolean;
  readonly #rows: SampledRows<N>;
  /** The number of rows that failed. */
  #failed = 0;
  #errors: ReadonlyMap<DiskInfo, XenError> | undefined;
  /** The errors of the disks of QEMU in the last sample, by backend. */
  #qemuErrors: ReadonlyMap<string, XenError> = new Map();
  #lastRescan = 0n;
  #isClosed = false;

  /** @internal */
  constructor(host: Host, options: unknown) {
    super();
    const given = new Options(options);
    const filter = given.function('filter') as ((disk: DiskInfo) => boolean) | undefined;
    const bigint = given.boolean('bigint') ?? false;
    const columns = given.subset('counters', DISK_COLUMNS) ?? DISK_COLUMNS;
    this.#kinds = given.subset('kinds', READABLE_KINDS) ?? ['vbd', 'vbd3'];
    const maxAgeMs = given.number('maxAgeMs') ?? 5000;
    if (!(maxAgeMs > 0)) throw outOfRange('options.maxAgeMs', 'more than 0', maxAgeMs);
    this.#qemuRows = new QemuRows(host, columns, maxAgeMs);
    this.#backingRows = given.boolean('backing') === true ? new BackingRows(host) : undefined;
    this.#host = host;
    this.#bigint = bigint;
    this.#rows = new SampledRows(bigint);
    const bits = columns.reduce((set, column) => set | (1 << Column[column]), 0);
    const vbds = new host.native.VbdSet(host.vbds, bits);
    this.#vbds = vbds;
    this.#watch = new DiskWatch(
      host,
      vbds,
      filter ?? (() => true),
      (disks) => {
        if (!this.#isClosed) this.#update(disks);
      },
      (watching) => {
        this.#emitAll([() => this.emit('watching', watching)]);
      },
    );
  }

  /**
   * Finds the disks, and watches for changes.
   *
   * @internal
   */
  async start(): Promise<this> {
    try {
      await this.#watch.start();
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * The disk of each row, in the order of domid and devid. The array is replaced whenever rows or
   * descriptions change. A changed description is a new object: use `backend` as the key of a disk.
   */
  get disks(): readonly DiskInfo[] {
    return this.#disks;
  }

  /**
   * The selected disks that have no row, in the order of domid and devid: those that this package cannot
   * read, and those of other kinds than the set's, such as QEMU's. Without disks that another domain
   * serves, and without empty drives. The array is replaced whenever one of them changes.
   */
  get unsupported(): readonly DiskInfo[] {
    return this.#unsupported;
  }

  /** The names of the columns of a row. */
  get columns(): readonly (keyof DiskStats)[] {
    return DISK_COLUMNS;
  }

  /**
   * The rows, one after the other: the row of the disk `disks[i]` begins at `i * columns.length`. Every
   * column is -1 for a disk that could not be read, or was added after the last sample. All samples fill
   * the same array, which is replaced when rows change.
   */
  get values(): SetValues<N> {
    return this.#rows.values;
  }

  /** A number that increases whenever rows are added or removed, and `disks` and `values` are replaced. */
  get generation(): number {
    return this.#generation;
  }

  /** The time of the last sample, in nanoseconds on CLOCK_MONOTONIC (`process.hrtime` of Node.js); 0 before the first. */
  get timestamp(): bigint {
    return this.#rows.timestamp;
  }

  /**
   * The time of each row's numbers, in nanoseconds on CLOCK_MONOTONIC (`process.hrtime` of Node.js): that of the
   * sample; for a disk of QEMU that of its last answer, 0 without one. A new array with each access.
   */
  get timestamps(): BigInt64Array {
    const timestamps = new BigInt64Array(this.#disks.length).fill(this.timestamp);
    this.#qemuRows.setTimestamps(timestamps);
    return timestamps;
  }

  /**
   * Whether the set has the option `backing`.
   *
   * @internal
   */
  get hasBacking(): boolean {
    return this.#backingRows !== undefined;
  }

  /**
   * Returns the statistics of a disk's backing device in the last sample. Undefined without the option
   * `backing`, and for a disk that has no device, or whose device could not be read.
   *
   * @internal
   */
  backing(disk: DiskInfo): BackingSample | undefined {
    return this.#backingRows?.of(disk);
  }

  /** The errors of the disks that could not be read in the last sample. */
  get errors(): ReadonlyMap<DiskInfo, XenError> {
    this.#errors ??= new Map(
      this.#failed === 0 ? [] : this.#disks.flatMap((disk, i) => this.#error(disk, i)),
    );
    return this.#errors;
  }

  /**
   * Whether xenstored responds and sends watch events. If not, the set continues with the disks that it
   * has. A hung xenstored is detected within ten seconds.
   */
  get watching(): boolean {
    return !this.#isClosed && this.#watch.isCurrent;
  }

  /**
   * Whether the set was closed: {@link sample} throws then.
   *
   * @internal
   */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Reads all counters of all disks into `values`, in one call. A disk that cannot be read has an error in
   * `errors`. A disk of QEMU has the numbers of the last answer, see {@link DiskSet.sampleAsync}.
   *
   * @throws {@link XenError} `ERR_XEN_CLOSED`.
   */
  sample(): this {
    if (this.#isClosed) throw closedError();
    this.#errors = undefined;
    this.#failed = this.#rows.sample(this.#vbds);
    this.#backingRows?.sample();
    if (this.#failed > 0) this.#onFailures();
    return this;
  }

  /**
   * Asks the QEMU of every domain that has rows in this set, all at once, and then calls
   * {@link DiskSet.sample}. A QEMU that does not answer in time delays this call, and no other row: its disks
   * keep the numbers of its last answer until that is older than `maxAgeMs`, and then have an error.
   *
   * @param options.timeoutMs - how long to wait for answers, in milliseconds. An answer that comes later is in
   * the next sample. Default: until the connection's `timeoutMs`, after which no answer is accepted.
   * @throws as {@link DiskSet.sample}; RangeError `ERR_OUT_OF_RANGE`.
   */
  async sampleAsync(options?: { timeoutMs?: number }): Promise<this> {
    const timeoutMs = new Options(options).number('timeoutMs');
    if (timeoutMs !== undefined && !(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
      throw outOfRange('options.timeoutMs', `more than 0 and at most ${MAX_TIMEOUT_MS}`, timeoutMs);
    }
    if (this.#isClosed) throw closedError();
    if (this.#qemuRows.length > 0) {
      const asked = this.#qemuRows.ask();
      await (timeoutMs === undefined ? asked : atMost(timeoutMs, asked));
    }
    return this.sample();
  }

  /** Iterates over the disks, with their results in the last sample, by row. */
  [Symbol.iterator](): IterableIterator<DiskSample<N>> {
    // copies all rows now: the caller may sample again before the iteration ends
    const { errors } = this;
    const samples = this.#disks.map((disk, i): DiskSample<N> => {
      return { disk, stats: this.#rows.stats(i), error: errors.get(disk) };
    });
    return samples.values();
  }

  /**
   * Returns the rates of each disk between the last two samples, by row; undefined for a disk that was not
   * read in both, or whose QEMU has not answered in between.
   */
  rates(): (DiskRates | undefined)[] {
    const { interval } = this.#rows;
    const intervals = new Array<number | undefined>(this.#disks.length).fill(interval);
    this.#qemuRows.setIntervals(intervals);
    return this.#disks.map((disk, i) => {
      const seconds = intervals[i];
      const rates = seconds === undefined ? undefined : this.#rows.rates(i, seconds);
      if (seconds === undefined || rates === undefined) return undefined;
      const backing = this.#backingRows?.rates(disk, seconds);
      return backing === undefined ? rates : { ...rates, backing };
    });
  }

  /**
   * Starts a recorder, which samples the disks of this set on a thread of its own, and follows its rows.
   * `sample()` can be used beside it. Closing the set stops it.
   *
   * @throws {@link XenError} `ERR_XEN_CLOSED`; RangeError `ERR_OUT_OF_RANGE`; Error
   * `ERR_MEMORY_ALLOCATION_FAILED` if there is no memory for the samples, `EAGAIN` if no thread can be started.
   */
  record(options: RecorderOptions): Recorder<N> {
    if (this.#isClosed) throw closedError();
    const { native } = this.#host;
    const recorder = new Recorder<N>(native, this.#vbds, this, this.#bigint, options);
    recorder.update(this.#nativeGeneration, this.#disks);
    this.#recorders.add(new WeakRef(recorder));
    return recorder;
  }

  /**
   * Scans the domains of disks that a recorder could not read in its last sample.
   *
   * @internal
   */
  onTake({ disks, timestamps, values }: RecordedSamples<number | bigint>): void {
    const first = (timestamps.length - 1) * disks.length;
    // a recorder does not ask QEMU
    const isFailed = (disk: DiskInfo, i: number) =>
      disk.kind !== 'qdisk' && !isFilled(values, first + i);
    this.#rescan(disks.filter(isFailed));
  }

  /** Keeps the process alive until {@link DiskSet.unref} or {@link DiskSet.close} is called. */
  ref(): this {
    if (!this.#isClosed) {
      REFERENCED.add(this);
      this.#watch.keepAlive(true);
    }
    return this;
  }

  /** Reverses {@link DiskSet.ref}. */
  unref(): this {
    REFERENCED.delete(this);
    if (!this.#isClosed) this.#watch.keepAlive(false);
    return this;
  }

  /** Ends the watches and closes all files. The last sample stays readable. Further calls do nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.unref();
    this.#isClosed = true;
    this.#watch.close();
    for (const recorder of this.#recorders) recorder.deref()?.stop();
    this.#vbds.close();
    this.#backingRows?.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](): string {
    const [disks, unsupported] = [this.#disks.length, this.#unsupported.length];
    const { watching } = this;
    const isClosed = this.#isClosed;
    return inspectAs('DiskSet', { disks, unsupported, failed: this.#failed, watching, isClosed });
  }

  /** Replaces the rows, and emits the changes. A disk that stays keeps its values, in its new row. */
  #update(all: readonly DiskInfo[]): void {
    const { ownDomid } = this.#host;
    const hasRow = (disk: DiskInfo) =>
      isReadable(disk, ownDomid) && this.#kinds.includes(disk.kind);
    const disks = all.filter(hasRow);
    const unsupported = all.filter((disk) => !hasRow(disk));
    if (!isEqual(unsupported, this.#unsupported)) this.#unsupported = Object.freeze(unsupported);
    const rows = new Map(this.#disks.map(({ backend }, i) => [backend, i]));
    const added = disks.filter(({ backend }) => !rows.has(backend));
    const kept = new Set(disks.map(({ backend }) => backend));
    const removed = this.#disks.filter(({ backend }) => !kept.has(backend));
    const reopened = new Uint32Array(disks.length);
    this.#nativeGeneration = this.#vbds.assign(toKeys(disks), reopened);
    const isSame = isEqual(disks, this.#disks);
    if (!isSame) {
      // the errors are those of the last sample, with the descriptions of that time
      const { errors } = this;
      const former = new Map(this.#disks.map((disk) => [disk.backend, errors.get(disk)]));
      this.#disks = Object.freeze(disks);
      this.#errors = new Map(
        disks.flatMap((disk) => {
          const error = former.get(disk.backend);
          return error === undefined ? [] : [[disk, error]];
        }),
      );
      this.#qemuRows.update(disks);
      this.#backingRows?.update(disks);
    }
    for (const [i, disk] of disks.entries()) if (reopened[i] === 1) this.#backingRows?.forget(disk);
    for (const ref of this.#recorders) {
      const recorder = ref.deref();
      if (recorder === undefined) this.#recorders.delete(ref);
      recorder?.update(this.#nativeGeneration, this.#disks);
    }
    if (isSame) return;
    if (added.length === 0 && removed.length === 0) return;

    this.#rows.arrange(disks.map(({ backend }) => rows.get(backend)));
    this.#generation += 1;

    this.#emitAll([
      ...removed.map((disk) => () => this.emit('remove', disk)),
      ...added.map((disk) => () => this.emit('add', disk)),
    ]);
  }

  /** Emits every event, also if a listener throws. The first exception is then an uncaught exception. */
  #emitAll(emissions: readonly (() => void)[]): void {
    const errors: unknown[] = [];
    for (const emit of emissions) {
      if (this.#isClosed) break;
      try {
        emit();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throwUncaught(errors[0]);
  }

  /** Completes a sample in which the addon could not read rows. It cannot read those of QEMU. */
  #onFailures(): void {
    this.#qemuErrors = this.#qemuRows.fill(this.#rows.values);
    const isFailed = (disk: DiskInfo, i: number) =>
      this.#rows.failure(i) !== 0 && disk.kind !== 'qdisk';
    const failed = this.#disks.filter(isFailed);
    for (const disk of failed) this.#backingRows?.forget(disk);
    this.#failed = failed.length + this.#qemuErrors.size;
    this.#rescan(failed);
  }

  /** Scans the domains of failed disks, which reopens them: no watch event reports that the kernel made the files. */
  #rescan(failed: readonly DiskInfo[]): void {
    const now = monotonicTime();
    if (failed.length === 0 || this.#isClosed || now - this.#lastRescan < RESCAN_NS) return;
    this.#lastRescan = now;
    this.#watch.scan(failed.map(({ domid }) => domid));
  }

  #error(disk: DiskInfo, row: number): [DiskInfo, XenError][] {
    if (disk.kind === 'qdisk') {
      const error = this.#qemuErrors.get(disk.backend);
      return error === undefined ? [] : [[disk, error]];
    }
    const failure = this.#rows.failure(row);
    if (failure === 0) return [];
    return [[disk, statisticsError(this.#host, disk, failure, 'pread')]];
  }
}

/** Waits for a promise, but not longer than a time. */
async function atMost(timeoutMs: number, promise: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const end = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
  try {
    await Promise.race([promise, end]);
  } finally {
    timer.abort();
  }
}

function isEqual(some: readonly DiskInfo[], others: readonly DiskInfo[]): boolean {
  return some.length === others.length && some.every((disk, i) => disk === others[i]);
}
