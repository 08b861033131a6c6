import { types } from 'node:util';
import { statisticsError } from './backends/blkback';
import { XenError, invalidType, outOfRange } from './errors';
import type { Host } from './host';
import { ALL_COUNTERS, BIGINTS, Column, NUMBERS, ROW_LENGTH, type Row, type Vbd } from './native';
import { Options } from './options';
import type { Query } from './xenstore/client';
import { isSameDisk, type DiskInfo } from './xenstore/disks';

/**
 * The counters of a disk, as blkback keeps them since the guest's frontend connected: they start
 * from 0 again when it reconnects. A counter that the kernel does not have is -1.
 */
export interface DiskStats<N extends number | bigint = number> {
  /** Read requests (`rd_req`). */
  rdReq: N;
  /** Sectors of 512 bytes read (`rd_sect`). */
  rdSectors: N;
  /** Bytes read: `rdSectors` * 512. */
  rdBytes: N;
  /** Write requests (`wr_req`). */
  wrReq: N;
  /** Sectors of 512 bytes written (`wr_sect`). */
  wrSectors: N;
  /** Bytes written: `wrSectors` * 512. */
  wrBytes: N;
  /** Flush requests (`f_req`). */
  flushReq: N;
  /** Discard requests (`ds_req`). */
  discardReq: N;
  /** Requests delayed because the backend was busy (`oo_req`). */
  outOfRequests: N;
}

/** The order in which {@link Disk.readInto} fills an array. */
export const DISK_COLUMNS = Object.freeze(Object.keys(Column)) as readonly (keyof DiskStats)[];

/** How a disk reads: with its statistics open or not, of the domain that it belongs to. */
export interface DiskOwner {
  /**
   * Opens a disk whose statistics cannot be read any more, if it has come back.
   *
   * @throws XenError if it has not.
   */
  reopen(disk: Disk, query: Query | undefined): void;
}

/**
 * One disk of a domain, with its statistics open. It is this disk for ever: when the disk is
 * detached and attached again it goes on, when another one takes its name it does not.
 */
export class Disk {
  /** The domid of the domain that has it. */
  readonly domid: number;
  /** Its number, 0 to 2^31 - 1. */
  readonly devid: number;
  /** Its name (`xvda`). */
  readonly name: string;

  readonly #host: Host;
  readonly #owner: DiskOwner;
  #info: DiskInfo;
  /** Undefined while the statistics are not open. */
  #vbd: Vbd | undefined;

  /** @internal */
  constructor(host: Host, owner: DiskOwner, info: DiskInfo, vbd: Vbd) {
    this.#host = host;
    this.#owner = owner;
    this.#info = info;
    this.#vbd = vbd;
    this.domid = info.domid;
    this.devid = info.devid;
    this.name = info.name;
  }

  /** What the disk is, as it was described when it was last opened. */
  get info(): DiskInfo {
    return this.#info;
  }

  /**
   * Reads every counter: seven preads. Bytes are true bytes: sectors of 512, whatever the sector size.
   *
   * @throws {@link XenError} `ERR_XEN_INVALID_DISK` when the disk has gone, `ERR_XEN_DOMAIN_NOT_RUNNING`
   * when the domain has, `ERR_XEN_STATS_UNAVAILABLE` when a counter cannot be read, `ERR_XEN_CLOSED`.
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
   * Reads every counter into the array, in the order of {@link DISK_COLUMNS}, and leaves no garbage.
   * When it throws, nothing has been written.
   *
   * @param array - takes nine values.
   * @param offset - where the first one goes.
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
   * Reads counters into an array; a disk that cannot be read is reopened once.
   *
   * @param query - the call that this is part of, if it has asked xenstored already.
   * @internal
   */
  fill(
    array: Float64Array | BigInt64Array,
    counters = ALL_COUNTERS,
    offset = 0,
    query?: Query,
  ): void {
    if (this.tryFill(array, counters, offset)) return;
    this.#owner.reopen(this, query);
    const failure = this.#vbd?.read(array, counters, offset) ?? 0;
    if (failure === 0) return;
    this.close();
    throw statisticsError(this.#host.sysfs, this, failure, 'pread');
  }

  /**
   * Reads counters into an array, if the disk can be read.
   *
   * @internal
   */
  tryFill(array: Float64Array | BigInt64Array, counters: number, offset = 0): boolean {
    if (this.#vbd === undefined) return false;
    if (this.#vbd.read(array, counters, offset) === 0) return true;
    this.close();
    return false;
  }

  /**
   * Reads from these statistics from now on.
   *
   * @internal
   */
  use(info: DiskInfo, vbd: Vbd): void {
    this.close();
    this.#info = info;
    this.#vbd = vbd;
  }

  /**
   * Whether this describes the same disk, and not one that took its name.
   *
   * @internal
   */
  is(info: DiskInfo): boolean {
    return isSameDisk(this.#info, info);
  }

  /**
   * Completes the description with what has become known since.
   *
   * @internal
   */
  update(more: Pick<DiskInfo, 'physicalSectorSize'>): void {
    this.#info = Object.freeze({ ...this.#info, ...more });
  }

  /** @internal */
  close(): void {
    this.#vbd?.close();
    this.#vbd = undefined;
  }
}

/** A row of numbers as an object. */
export function toStats<N extends number | bigint>(row: Row<N>): DiskStats<N> {
  return {
    rdReq: row[Column.rdReq],
    rdSectors: row[Column.rdSectors],
    rdBytes: row[Column.rdBytes],
    wrReq: row[Column.wrReq],
    wrSectors: row[Column.wrSectors],
    wrBytes: row[Column.wrBytes],
    flushReq: row[Column.flushReq],
    discardReq: row[Column.discardReq],
    outOfRequests: row[Column.outOfRequests],
  };
}

/** Throws if blkback in this domain has no statistics of the disk, whatever the kernel says. */
export function checkReadable(info: DiskInfo, ownDomid: number): void {
  const { name: disk, domid, domain, driver, kind, format, backendDomid } = info;
  const refuse = (code: 'ERR_XEN_UNSUPPORTED_DRIVER' | 'ERR_XEN_UNSUPPORTED_FORMAT', why: string) =>
    new XenError(code, why, { domid, disk });
  const of = `disk ${disk} of domain ${domain ?? String(domid)}`;
  if (kind !== 'vbd') {
    throw refuse(
      'ERR_XEN_UNSUPPORTED_DRIVER',
      `unsupported disk driver ${driver} (${of} is served by ${kind}, not by blkback)`,
    );
  }
  if (backendDomid !== ownDomid) {
    throw refuse(
      'ERR_XEN_UNSUPPORTED_DRIVER',
      `unsupported disk driver ${driver} in domain ${backendDomid} (${of} is served there: read it there)`,
    );
  }
  if (format !== 'raw') {
    throw refuse('ERR_XEN_UNSUPPORTED_FORMAT', `unsupported format ${format} (${of} is not raw)`);
  }
}
