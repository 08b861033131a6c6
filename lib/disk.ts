import { inspect, types } from 'node:util';
import { Backing, type BackingStats } from './backends/backing-device';
import { unsupportedKind } from './backends/readable';
import { noNodeError, statisticsError } from './backends/statistics-error';
import { toStats, type DiskStats } from './disk-stats';
import { XenError, invalidType, outOfRange } from './errors';
import type { Host } from './host';
import { inspectAs } from './inspect';
import {
  ALL_COUNTERS,
  BIGINTS,
  Counter,
  NUMBERS,
  ROW_LENGTH,
  monotonicTime,
  type Vbd,
} from './native';
import { Options } from './options';
import type { Query } from './xenstore/client';
import { isSameDisk, type DiskInfo } from './xenstore/disks';

/** The owner of a disk, which reopens its statistics. */
export interface DiskOwner {
  /**
   * Finds a disk again whose descriptors are stale or whose nodes may have changed, and opens its statistics.
   *
   * @param query - the query of the public call, if it has begun one.
   * @throws XenError if the disk was not attached again.
   */
  reopen(disk: Disk, query: Query | undefined): void;

  /** Takes into account that the disk was closed. */
  forget(disk: Disk): void;
}

/** The open statistics of a disk. */
export interface OpenStatistics {
  /** Undefined for a disk of QEMU. */
  readonly vbd: Vbd | undefined;
  /** Whether it is still the disk that was described, for a disk of QEMU. */
  readonly isUnchanged: () => boolean;
}

/**
 * A disk of a domain, with open statistics. The object always represents this disk. It works again after
 * the same disk is detached and attached again. It fails when another disk has taken the name.
 */
export class Disk {
  /** The domid of the disk's domain. */
  readonly domid: number;
  /** The devid, 0 to 2^31 - 1. */
  readonly devid: number;
  /** The name in the guest's configuration (`xvda`). */
  readonly name: string;

  readonly #host: Host;
  readonly #owner: DiskOwner;
  #info: DiskInfo;
  /** The statistics; reading closed ones fails. Undefined for a disk of QEMU, which is asked. */
  #vbd: Vbd | undefined;
  /** For a disk of QEMU, whether xenstored has told no change since it was described. */
  #isUnchanged: () => boolean;
  /** The backing device; undefined until it is needed. */
  #backing: Backing | undefined;
  /** QEMU may have been asked about another disk before. */
  readonly #openedAt = monotonicTime();
  #isClosed = false;

  /** @internal */
  constructor(host: Host, owner: DiskOwner, info: DiskInfo, { vbd, isUnchanged }: OpenStatistics) {
    this.#host = host;
    this.#owner = owner;
    this.#info = info;
    this.#vbd = vbd;
    this.#isUnchanged = isUnchanged;
    this.domid = info.domid;
    this.devid = info.devid;
    this.name = info.name;
  }

  /** The description of the disk, as of the last time when it was opened. */
  get info(): DiskInfo {
    return this.#info;
  }

  /**
   * Reads every counter: with seven `pread` calls if blkback serves the disk, with three system calls if
   * tapdisk does. Bytes are true bytes: sectors have 512 bytes, independently of the disk's sector size.
   *
   * @throws {@link XenError} `ERR_XEN_INVALID_DISK` if the disk was detached, `ERR_XEN_DOMAIN_NOT_RUNNING`
   * if the domain has ended, `ERR_XEN_STATS_UNAVAILABLE` if a counter cannot be read,
   * `ERR_XEN_UNSUPPORTED_DRIVER` if QEMU serves the disk, `ERR_XEN_CLOSED`; if the disk has to be reopened,
   * those of {@link Connection.domains}.
   */
  read(options?: { bigint?: false }): DiskStats;
  read(options: { bigint: true }): DiskStats<bigint>;
  read(options?: { bigint?: boolean }): DiskStats | DiskStats<bigint>;
  read(options?: { bigint?: boolean }): DiskStats | DiskStats<bigint> {
    const bigint = options !== undefined && new Options(options).boolean('bigint') === true;
    this.fill(bigint ? BIGINTS : NUMBERS);
    return bigint ? toStats(BIGINTS) : toStats(NUMBERS);
  }

  /**
   * Reads every counter into an array, in the order of {@link DISK_COLUMNS}. Creates no JavaScript objects.
   * Writes nothing when it throws.
   *
   * @param array - the array into which the values are written.
   * @param offset - the index of the first value.
   * @throws as {@link Disk.read}.
   */
  readInto(array: Float64Array | BigInt64Array, offset = 0): void {
    if (!types.isFloat64Array(array) && !types.isBigInt64Array(array)) {
      throw invalidType('array', 'an instance of Float64Array or BigInt64Array', array);
    }
    if (typeof offset !== 'number') throw invalidType('offset', 'of type number', offset);
    const last = array.length - ROW_LENGTH;
    if (!Number.isInteger(offset) || offset < 0 || offset > last) {
      throw last < 0
        ? outOfRange('array.length', `at least ${ROW_LENGTH}`, array.length)
        : outOfRange('offset', `an integer from 0 to ${last}`, offset);
    }
    this.fill(array, ALL_COUNTERS, offset);
  }

  /**
   * Reads every counter of a disk of any driver: asks QEMU if it serves the disk, else reads as
   * {@link Disk.read} does. QEMU is asked once for all disks of a domain at a time; it answers in about a
   * millisecond, and at the latest within the connection's `timeoutMs`. After a timeout it is not asked for
   * 1 to 30 seconds.
   *
   * @throws as {@link Disk.read}; `ERR_XEN_STATS_UNAVAILABLE` if QEMU does not answer, or does not have the disk.
   */
  async readAsync(options?: { bigint?: false }): Promise<DiskStats>;
  async readAsync(options: { bigint: true }): Promise<DiskStats<bigint>>;
  async readAsync(options?: { bigint?: boolean }): Promise<DiskStats | DiskStats<bigint>>;
  async readAsync(options?: { bigint?: boolean }): Promise<DiskStats | DiskStats<bigint>> {
    if (this.#info.kind !== 'qdisk') return this.read(options);
    const bigint = new Options(options).boolean('bigint') === true;
    let answer;
    do {
      this.#confirm();
      answer = await this.#host.qemu.query(this.domid);
      // the domain may have ended meanwhile, and another one may have its domid
      this.#confirm();
    } while (answer.askedAt < this.#openedAt);
    if (!answer.fill(this.#info, bigint ? BIGINTS : NUMBERS)) throw noNodeError(this.#info);
    return bigint ? toStats(BIGINTS) : toStats(NUMBERS);
  }

  /**
   * Reads the statistics of the disk's backing device: the block device of this host that stores the disk.
   * Only it knows how long requests took. Undefined if blkback does not serve the disk, or it has no device.
   *
   * @throws as {@link Disk.read}.
   */
  backing(): BackingStats | undefined {
    if (this.#isClosed) throw closedError(this.name);
    if (this.#info.kind !== 'vbd') return undefined;
    // still this disk, and not another one with its name
    this.fill(NUMBERS, Counter.rdReq);
    const isOpen = this.#backing !== undefined;
    this.#backing ??= Backing.open(this.#host, this);
    const stats = this.#backing?.read();
    if (stats !== undefined || !isOpen) return stats;
    // a loop device may have been replaced
    this.#backing?.close();
    this.#backing = Backing.open(this.#host, this);
    return this.#backing?.read();
  }

  /**
   * Closes the files of the disk. Reads fail with `ERR_XEN_CLOSED` then; {@link Domain.disk} opens the disk
   * again, as another object. Further calls do nothing.
   */
  close(): void {
    this.#isClosed = true;
    this.closeStatistics();
    this.#owner.forget(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](): string {
    const { domid, name, devid } = this;
    const { source } = this.#info;
    return inspectAs('Disk', { domid, name, devid, source, isClosed: this.#isClosed });
  }

  /**
   * Reads counters into an array. Reopens the disk once if it cannot be read.
   *
   * @param query - the query of the public call, if it has begun one.
   * @internal
   */
  fill(
    array: Float64Array | BigInt64Array,
    counters = ALL_COUNTERS,
    offset = 0,
    query?: Query,
  ): void {
    if (this.tryFill(array, counters, offset)) return;
    if (this.#isClosed) throw closedError(this.name);
    if (this.#info.kind === 'qdisk') {
      throw unsupportedKind(this.#info, 'disk.readAsync() reads it');
    }
    this.#owner.reopen(this, query);
    // only a disk of QEMU has none
    const failure = (this.#vbd as Vbd).read(array, counters, offset);
    if (failure === 0) return;
    this.closeStatistics();
    throw statisticsError(this.#host, this.#info, failure, 'pread');
  }

  /**
   * Reads counters into an array. Returns false, and closes the statistics, if they cannot be read.
   *
   * @internal
   */
  tryFill(array: Float64Array | BigInt64Array, counters: number, offset = 0): boolean {
    if (this.#vbd === undefined) return false;
    const isRead = this.#vbd.read(array, counters, offset) === 0;
    if (!isRead) this.closeStatistics();
    return isRead;
  }

  /**
   * Replaces the statistics and the description of the disk.
   *
   * @internal
   */
  use(info: DiskInfo, { vbd, isUnchanged }: OpenStatistics): void {
    this.closeStatistics();
    this.#info = info;
    this.#vbd = vbd;
    this.#isUnchanged = isUnchanged;
  }

  /**
   * Whether it is still the disk that was described.
   *
   * @internal
   */
  isCurrent(): boolean {
    return this.#vbd === undefined ? this.#isUnchanged() : this.tryFill(NUMBERS, Counter.rdReq);
  }

  /**
   * Whether this is the description of the same disk, and not of another one with its name.
   *
   * @internal
   */
  is(info: DiskInfo): boolean {
    return isSameDisk(this.#info, info);
  }

  /**
   * Adds to the description what was not known when the disk was opened.
   *
   * @internal
   */
  update(more: Pick<DiskInfo, 'physicalSectorSize'>): void {
    this.#info = Object.freeze({ ...this.#info, ...more });
  }

  /**
   * Closes the files. The next read opens them again.
   *
   * @internal
   */
  closeStatistics(): void {
    this.#vbd?.close();
    this.#isUnchanged = () => false;
    this.#backing?.close();
    this.#backing = undefined;
  }

  /** Checks that it is still the same disk of QEMU. */
  #confirm(): void {
    if (this.#isClosed) throw closedError(this.name);
    if (!this.#isUnchanged()) this.#owner.reopen(this, undefined);
  }
}

function closedError(disk: string): XenError {
  return new XenError('ERR_XEN_CLOSED', `disk ${disk} is closed`);
}
