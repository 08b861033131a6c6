import { EventEmitter } from 'node:events';
import { DISK_COLUMNS, toStats, type DiskStats, type Host } from './disk';
import { DiskWatch } from './disk-watch';
import { XenError, invalidType, outOfRange } from './errors';
import { Column, type Row, type SetHandle } from './native';
import { ratesBetween, type DiskRates } from './rates';
import type { SetDisk } from './set-disk';
import { devicesFolder, statisticsError } from './vbd';

/** How {@link Connection.diskSet} makes a set. */
export interface DiskSetOptions {
  /** Which disks are wanted; default: all. Asked again whenever xenstore says something new of a disk. */
  filter?: ((disk: SetDisk) => boolean) | undefined;
  /** Bigints in place of numbers, which are rounded beyond 2^53. */
  bigint?: boolean | undefined;
  /**
   * How many files the disks may hold open, seven each; default: three quarters of what the process may
   * have open. Those that it does not reach for are read through files that are opened each time.
   */
  maxOpenFiles?: number | undefined;
}

/** A disk of a set with what the last sample says of it. */
export interface DiskSample<N extends number | bigint = number> {
  readonly disk: SetDisk;
  /** Undefined if it could not be read, or was added after the last sample. */
  readonly stats: DiskStats<N> | undefined;
  /** Why it could not be read. */
  readonly error: XenError | undefined;
}

/** Where the numbers of a set are. */
export type SetValues<N extends number | bigint> = N extends bigint ? BigInt64Array : Float64Array;

/** The events of a set. */
export interface DiskSetEvents {
  /** A disk has a row from now on. */
  add: [disk: SetDisk];
  /** A disk has no row any more. */
  remove: [disk: SetDisk];
}

/** Disks that fail are looked for again at most so often. */
const REVISIT_NS = 1_000_000_000n;

/** Sets that keep the process alive: nobody has to hold them. */
const REFERENCED = new Set<object>();

const WIDTH = DISK_COLUMNS.length;

/**
 * The disks that blkback serves to all guests, or to those that match, and their counters in rows.
 * xenstore's watches keep it current: guests and disks come and go, in between two turns of the event
 * loop. It does not keep the process alive, see {@link DiskSet.ref}.
 */
export class DiskSet<N extends number | bigint = number> extends EventEmitter<DiskSetEvents> {
  readonly #host: Host;
  readonly #handle: SetHandle;
  readonly #newValues: (rows: number) => SetValues<N>;
  readonly #watch: DiskWatch;
  readonly #onClose: (set: DiskSet<N>) => void;

  #disks: readonly SetDisk[] = [];
  #generation = 0;
  #values: SetValues<N>;
  /** The values of the sample before, for rates. */
  #before: SetValues<N>;
  /** Of each row: 0, or why it failed. */
  #failures = new Uint32Array();
  #failed = 0;
  /** The times of the last sample and of the one before. */
  readonly #clock = new BigInt64Array(2);
  #errors: ReadonlyMap<SetDisk, XenError> | undefined;
  /** How many disks were not there to be opened. */
  #unopened = 0;
  #lastRevisit = 0n;
  #closed = false;

  /** @internal */
  constructor(
    host: Host,
    socket: string | undefined,
    timeoutMs: number,
    options: DiskSetOptions,
    onClose: (set: DiskSet<N>) => void,
  ) {
    super();
    const { native, sysfs } = host;
    const { bigint = false, maxOpenFiles = Math.floor(native.openFilesLimit() * 0.75) } = options;
    const { filter = () => true } = options;
    checkOptions(filter, bigint, maxOpenFiles);
    this.#host = host;
    this.#newValues = (rows) =>
      (bigint
        ? new BigInt64Array(rows * WIDTH).fill(-1n)
        : new Float64Array(rows * WIDTH).fill(-1)) as SetValues<N>;
    this.#values = this.#newValues(0);
    this.#before = this.#newValues(0);
    this.#onClose = onClose;
    this.#handle = native.openSet(devicesFolder(sysfs), maxOpenFiles);
    try {
      this.#watch = new DiskWatch({
        host,
        socket,
        timeoutMs,
        filter,
        prepare: (vbds) => {
          if (!this.#closed) native.prepareSet(this.#handle, toKeys(vbds));
        },
        update: (disks) => {
          if (!this.#closed) this.#update(disks);
        },
      });
    } catch (error) {
      native.closeSet(this.#handle);
      throw error;
    }
  }

  /** Whose each row is, by domid and devid. Another array whenever rows change. */
  get disks(): readonly SetDisk[] {
    return this.#disks;
  }

  /** What the columns of a row are. */
  get columns(): readonly (keyof DiskStats)[] {
    return DISK_COLUMNS;
  }

  /**
   * The rows, one after the other: the disk `disks[i]` has the values from `i * columns.length`. A disk
   * that could not be read has -1 in every column, as has one that was added after the last sample.
   * Every sample fills the same array, until rows change: then there is another one.
   */
  get values(): SetValues<N> {
    return this.#values;
  }

  /** Another number whenever rows have changed, and `disks` and `values` with them. */
  get generation(): number {
    return this.#generation;
  }

  /** When the last sample was taken, in nanoseconds, on the clock of `process.hrtime.bigint()`; 0 before the first. */
  get timestamp(): bigint {
    return this.#clock[0] ?? 0n;
  }

  /** The disks that could not be read in the last sample, and why. */
  get errors(): ReadonlyMap<SetDisk, XenError> {
    this.#errors ??= new Map(
      this.#failed === 0 ? [] : this.#disks.flatMap((disk, i) => this.#error(disk, i)),
    );
    return this.#errors;
  }

  /** Whether xenstore's watches reach this set. While they do not, it goes on with the disks that it has. */
  get watching(): boolean {
    return this.#watch.isCurrent;
  }

  /**
   * Reads all counters of all disks into `values`, in one call.
   *
   * @throws {@link XenError} `ERR_XEN_CLOSED`; a disk that cannot be read is in `errors`.
   */
  sample(): this {
    if (this.#closed) throw new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
    this.#keepValues();
    setAll(this.#before, this.#values);
    this.#errors = undefined;
    this.#failed = this.#host.native.sampleSet(
      this.#handle,
      this.#values,
      this.#failures,
      this.#clock,
    );
    if (this.#failed > 0) this.#revisit();
    return this;
  }

  /** The disks with what the last sample says of them, by row. */
  *[Symbol.iterator](): Generator<DiskSample<N>, void> {
    const [disks, values, errors] = [this.#disks, this.#values, this.errors];
    for (const [i, disk] of disks.entries()) {
      const row = () => values.subarray(i * WIDTH, (i + 1) * WIDTH) as unknown as Row<N>;
      const stats = isFilled(values, i) ? toStats(row()) : undefined;
      yield { disk, stats, error: errors.get(disk) };
    }
  }

  /**
   * What each disk did between the last two samples, by row; undefined for a disk that was not read in
   * both.
   */
  rates(): (DiskRates | undefined)[] {
    const [now = 0n, before = 0n] = this.#clock;
    const seconds = Number(now - before) / 1e9;
    const [values, previous] = [this.#values, this.#before];
    return this.#disks.map((_, i) =>
      isFilled(values, i) && isFilled(previous, i)
        ? ratesBetween(previous, values, i * WIDTH, seconds)
        : undefined,
    );
  }

  /** Keeps the process alive for this set, until {@link DiskSet.unref} or {@link DiskSet.close}. */
  ref(): this {
    if (!this.#closed) {
      REFERENCED.add(this);
      this.#watch.keepAlive(true);
    }
    return this;
  }

  /** Takes {@link DiskSet.ref} back. */
  unref(): this {
    REFERENCED.delete(this);
    if (!this.#closed) this.#watch.keepAlive(false);
    return this;
  }

  /** Ends its watch and closes its files. What was sampled stays as it is. Again, it does nothing. */
  close(): void {
    if (this.#closed) return;
    this.unref();
    this.#closed = true;
    this.#watch.close();
    this.#host.native.closeSet(this.#handle);
    this.#onClose(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Makes these the rows. What was sampled of a disk goes with it. */
  #update(disks: readonly SetDisk[]): void {
    const rows = new Map(this.#disks.map((disk, i) => [disk, i]));
    const added = disks.filter((disk) => !rows.has(disk));
    const kept = new Set(disks);
    const removed = this.#disks.filter((disk) => !kept.has(disk));
    const changed = added.length > 0 || removed.length > 0;
    if (!changed && this.#unopened === 0 && this.#failed === 0) return;
    this.#unopened = this.#host.native.assignSet(this.#handle, toKeys(disks));
    if (!changed) return;

    this.#keepValues();
    const values = this.#newValues(disks.length);
    const before = this.#newValues(disks.length);
    const failures = new Uint32Array(disks.length);
    for (const [i, disk] of disks.entries()) {
      const row = rows.get(disk);
      if (row === undefined) continue;
      const [start, end] = [row * WIDTH, (row + 1) * WIDTH];
      setAll(values, this.#values.subarray(start, end) as SetValues<N>, i * WIDTH);
      setAll(before, this.#before.subarray(start, end) as SetValues<N>, i * WIDTH);
      failures[i] = this.#failures[row] ?? 0;
    }
    [this.#disks, this.#values, this.#before, this.#failures] = [disks, values, before, failures];
    this.#errors = undefined;
    this.#generation += 1;

    for (const disk of removed) if (!this.#closed) this.emit('remove', disk);
    for (const disk of added) if (!this.#closed) this.emit('add', disk);
  }

  /** Whoever gave the memory away finds new one. */
  #keepValues(): void {
    if (this.#values.length > 0 || this.#disks.length === 0) return;
    this.#values = this.#newValues(this.#disks.length);
    this.#before = this.#newValues(this.#disks.length);
  }

  /** Has disks that fail looked for: xenstore does not tell when the kernel has made their files. */
  #revisit(): void {
    if (this.timestamp - this.#lastRevisit < REVISIT_NS) return;
    this.#lastRevisit = this.timestamp;
    const failed = this.#disks.filter((_, i) => this.#failures[i] !== 0);
    this.#watch.lookAt(failed.map(({ domid }) => domid));
  }

  #error(disk: SetDisk, row: number): [SetDisk, XenError][] {
    const failure = this.#failures[row] ?? 0;
    if (failure === 0) return [];
    const { domid, devid, name } = disk;
    const where = { sysfs: this.#host.sysfs, domid, devid, disk: name };
    return [[disk, statisticsError(where, failure, 'pread')]];
  }
}

function checkOptions(filter: unknown, bigint: unknown, maxOpenFiles: unknown): void {
  if (typeof filter !== 'function') throw invalidType('options.filter', 'a function', filter);
  if (typeof bigint !== 'boolean') throw invalidType('options.bigint', 'of type boolean', bigint);
  if (typeof maxOpenFiles !== 'number') {
    throw invalidType('options.maxOpenFiles', 'of type number', maxOpenFiles);
  }
  if (!Number.isSafeInteger(maxOpenFiles) || maxOpenFiles < 0) {
    throw outOfRange('options.maxOpenFiles', 'an integer from 0', maxOpenFiles);
  }
}

function toKeys(vbds: readonly { domid: number; devid: number }[]): Uint32Array {
  return Uint32Array.from(vbds.flatMap(({ domid, devid }) => [domid, devid]));
}

/** A row that was read has something in it: no kernel lacks all counters. */
function isFilled(values: Float64Array | BigInt64Array, row: number): boolean {
  return Object.values(Column).some((column) => (values[row * WIDTH + column] ?? -1) >= 0);
}

/** `target.set`, for arrays of the same kind. */
function setAll<N extends number | bigint>(
  target: SetValues<N>,
  source: SetValues<N>,
  offset = 0,
): void {
  (target as Float64Array).set(source as Float64Array, offset);
}
