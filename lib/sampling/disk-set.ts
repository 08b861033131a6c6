import { EventEmitter } from 'node:events';
import { devicesDirectory, statisticsError } from '../backends/blkback';
import { DISK_COLUMNS, toStats, type DiskStats } from '../disk';
import { XenError } from '../errors';
import type { Host } from '../host';
import { Column, ROW_LENGTH, type Row, type VbdSet } from '../native';
import { Options } from '../options';
import type { DiskInfo } from '../xenstore/disks';
import { DiskWatch, throwUncaught, type VbdKey } from './disk-watch';
import { ratesBetween, type DiskRates } from './rates';

/** How {@link Connection.diskSet} makes a set. */
export interface DiskSetOptions {
  /** Which disks are wanted; default: all. Asked again whenever xenstore tells something new of a disk. */
  filter?: ((disk: DiskInfo) => boolean) | undefined;
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
  readonly disk: DiskInfo;
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
  add: [disk: DiskInfo];
  /** A disk has no row any more. */
  remove: [disk: DiskInfo];
}

/** How often failed disks are reopened at most, in nanoseconds. */
const REVISIT_NS = 1_000_000_000n;

/** Sets that keep the process alive: they are not collected. */
const REFERENCED = new Set<object>();

/**
 * The disks that blkback serves to all guests, or to those that match, and their counters in rows.
 * xenstore's watches keep it current: guests and disks come and go, in between two turns of the event
 * loop. It does not keep the process alive, see {@link DiskSet.ref}.
 */
export class DiskSet<N extends number | bigint = number> extends EventEmitter<DiskSetEvents> {
  readonly #host: Host;
  readonly #vbds: VbdSet;
  readonly #newValues: (rows: number) => SetValues<N>;
  readonly #watch: DiskWatch;
  readonly #onClose: () => void;

  #disks: readonly DiskInfo[] = Object.freeze([]);
  #generation = 0;
  #values: SetValues<N>;
  /** The values of the sample before, for rates. */
  #before: SetValues<N>;
  /** Of each row: 0, or why it failed. */
  #failures = new Uint32Array();
  #failed = 0;
  /** The times of the last sample and of the one before. */
  readonly #clock = new BigInt64Array(2);
  #errors: ReadonlyMap<DiskInfo, XenError> | undefined;
  #lastRevisit = 0n;
  #isStarted = false;
  #isClosed = false;

  /** @internal */
  constructor(host: Host, options: unknown, onClose: () => void) {
    super();
    const { native, sysfs } = host;
    const given = new Options(options);
    const filter = given.function('filter') as ((disk: DiskInfo) => boolean) | undefined;
    const bigint = given.boolean('bigint') ?? false;
    const maxOpenFiles =
      given.integer('maxOpenFiles', 0) ?? Math.floor(native.openFilesLimit() * 0.75);
    this.#host = host;
    this.#newValues = (rows) =>
      (bigint
        ? new BigInt64Array(rows * ROW_LENGTH).fill(-1n)
        : new Float64Array(rows * ROW_LENGTH).fill(-1)) as SetValues<N>;
    this.#values = this.#newValues(0);
    this.#before = this.#newValues(0);
    this.#onClose = onClose;
    const vbds = new native.VbdSet(devicesDirectory(sysfs), maxOpenFiles);
    this.#vbds = vbds;
    this.#watch = new DiskWatch({
      host,
      filter: filter ?? (() => true),
      prepare: (keys) => {
        vbds.prepare(toKeys(keys));
      },
      discard: (keys) => {
        vbds.discard(toKeys(keys));
      },
      update: (disks) => {
        if (!this.#isClosed) this.#update(disks);
      },
    });
  }

  /**
   * Reads which disks there are.
   *
   * @internal
   */
  async start(): Promise<this> {
    try {
      await this.#watch.start();
      this.#isStarted = true;
      return this;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * The disk of each row, by domid and devid. There is another array whenever a row or a description
   * changes. A description that has changed is another object: `backend` is the key of a disk.
   */
  get disks(): readonly DiskInfo[] {
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
  get errors(): ReadonlyMap<DiskInfo, XenError> {
    this.#errors ??= new Map(
      this.#failed === 0 ? [] : this.#disks.flatMap((disk, i) => this.#error(disk, i)),
    );
    return this.#errors;
  }

  /**
   * Whether xenstored answers, and tells which guests and disks come and go. If not, the set goes on with
   * the disks that it has. A xenstored that hangs is noticed within ten seconds.
   */
  get watching(): boolean {
    return !this.#isClosed && this.#watch.isCurrent;
  }

  /**
   * Reads all counters of all disks into `values`, in one call.
   *
   * @throws {@link XenError} `ERR_XEN_CLOSED`; a disk that cannot be read is in `errors`.
   */
  sample(): this {
    if (this.#isClosed) throw new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
    this.#restoreValues();
    setAll(this.#before, this.#values);
    this.#errors = undefined;
    this.#failed = this.#vbds.sample(this.#values, this.#failures, this.#clock);
    if (this.#failed > 0) this.#revisit();
    return this;
  }

  /** The disks with what the last sample says of them, by row. */
  [Symbol.iterator](): ArrayIterator<DiskSample<N>> {
    // all at once: another sample may be taken before the last one is consumed
    const [values, errors] = [this.#values, this.errors];
    const samples = this.#disks.map((disk, i): DiskSample<N> => {
      const row = () => values.subarray(i * ROW_LENGTH, (i + 1) * ROW_LENGTH) as unknown as Row<N>;
      const stats = isFilled(values, i) ? toStats(row()) : undefined;
      return { disk, stats, error: errors.get(disk) };
    });
    return samples.values();
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
        ? ratesBetween(previous, values, i * ROW_LENGTH, seconds)
        : undefined,
    );
  }

  /** Keeps the process alive for this set, until {@link DiskSet.unref} or {@link DiskSet.close}. */
  ref(): this {
    if (!this.#isClosed) {
      REFERENCED.add(this);
      this.#watch.keepAlive(true);
    }
    return this;
  }

  /** Takes {@link DiskSet.ref} back. */
  unref(): this {
    REFERENCED.delete(this);
    if (!this.#isClosed) this.#watch.keepAlive(false);
    return this;
  }

  /** Ends its watch and closes its files. What was sampled stays as it is. Again, it does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.unref();
    this.#isClosed = true;
    this.#watch.close();
    this.#vbds.close();
    this.#onClose();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Makes these the rows, and then tells what has changed. What was sampled of a disk goes with it. */
  #update(disks: DiskInfo[]): void {
    this.#restoreValues();
    const rows = new Map(this.#disks.map(({ backend }, i) => [backend, i]));
    const added = disks.filter(({ backend }) => !rows.has(backend));
    const kept = new Set(disks.map(({ backend }) => backend));
    const removed = this.#disks.filter(({ backend }) => !kept.has(backend));
    this.#vbds.assign(toKeys(disks));
    this.#disks = Object.freeze(disks);
    this.#errors = undefined;
    if (added.length === 0 && removed.length === 0) return;

    const values = this.#newValues(disks.length);
    const before = this.#newValues(disks.length);
    const failures = new Uint32Array(disks.length);
    for (const [i, disk] of disks.entries()) {
      const row = rows.get(disk.backend);
      if (row === undefined) continue;
      const [start, end] = [row * ROW_LENGTH, (row + 1) * ROW_LENGTH];
      setAll(values, this.#values.subarray(start, end) as SetValues<N>, i * ROW_LENGTH);
      setAll(before, this.#before.subarray(start, end) as SetValues<N>, i * ROW_LENGTH);
      failures[i] = this.#failures[row] ?? 0;
    }
    [this.#values, this.#before, this.#failures] = [values, before, failures];
    this.#generation += 1;

    if (!this.#isStarted) return;
    const errors: unknown[] = [];
    const emit = (event: 'add' | 'remove', disk: DiskInfo) => {
      if (this.#isClosed) return;
      try {
        this.emit(event, disk);
      } catch (error) {
        errors.push(error);
      }
    };
    for (const disk of removed) emit('remove', disk);
    for (const disk of added) emit('add', disk);
    if (errors.length > 0) throwUncaught(errors[0]);
  }

  /** Replaces arrays whose buffers the caller has transferred. */
  #restoreValues(): void {
    if (this.#values.length > 0 || this.#disks.length === 0) return;
    this.#values = this.#newValues(this.#disks.length);
    this.#before = this.#newValues(this.#disks.length);
  }

  /** Has failed disks reopened: xenstore does not tell when the kernel has made their files. */
  #revisit(): void {
    if (this.timestamp - this.#lastRevisit < REVISIT_NS) return;
    this.#lastRevisit = this.timestamp;
    const failed = this.#disks.filter((_, i) => this.#failures[i] !== 0);
    this.#watch.scan(failed.map(({ domid }) => domid));
  }

  #error(disk: DiskInfo, row: number): [DiskInfo, XenError][] {
    const failure = this.#failures[row] ?? 0;
    if (failure === 0) return [];
    return [[disk, statisticsError(this.#host.sysfs, disk, failure, 'pread')]];
  }
}

function toKeys(vbds: readonly VbdKey[]): Uint32Array {
  return Uint32Array.from(vbds.flatMap(({ domid, devid }) => [domid, devid]));
}

/** Whether a row was read: no kernel lacks all counters. */
export function isFilled(values: Float64Array | BigInt64Array, row: number): boolean {
  return Object.values(Column).some((column) => (values[row * ROW_LENGTH + column] ?? -1) >= 0);
}

/** `target.set`, for arrays of the same kind. */
function setAll<N extends number | bigint>(
  target: SetValues<N>,
  source: SetValues<N>,
  offset = 0,
): void {
  (target as Float64Array).set(source as Float64Array, offset);
}
