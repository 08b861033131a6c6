import { types } from 'node:util';
import { backendKind, type Reader } from './backend';
import type { Domain } from './domain';
import type { DiskInfo } from './disk-info';
import { XenError, invalidType, outOfRange } from './errors';
import { ALL_COUNTERS, Column, counterSet, type Native, type Row } from './native';

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

/** What a disk needs to know of the connection that it was opened through. */
export interface Host {
  readonly native: Native;
  /** The folder that has `bus/xen-backend/devices`. */
  readonly sysfs: string;
  /** The domain that we run in. */
  readonly ownDomid: number;
}

/**
 * One disk of a domain, with its statistics open. It is this disk for ever: when the disk is
 * detached and attached again it goes on, when another one takes its name it does not.
 */
export class Disk {
  /** The domid of the domain that has it. */
  readonly domid: number;
  /** Its number. */
  readonly devid: number;
  /** Its name. */
  readonly name: string;

  readonly #host: Host;
  readonly #domain: Domain;
  #info: DiskInfo;
  #reader: Reader | undefined;

  /** @internal */
  constructor(host: Host, domain: Domain, info: DiskInfo) {
    this.#host = host;
    this.#domain = domain;
    this.#info = info;
    this.domid = domain.domid;
    this.devid = info.devid;
    this.name = info.name;
    this.open(info);
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
    if (options?.bigint === true) {
      this.fill(counterSet(ALL_COUNTERS, true));
      return toStats(this.#host.native.bigints);
    }
    this.fill(ALL_COUNTERS);
    return toStats(this.#host.native.numbers);
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
    const bigint = types.isBigInt64Array(array);
    if (!bigint && !types.isFloat64Array(array)) {
      throw invalidType('array', 'an instance of Float64Array or BigInt64Array', array);
    }
    if (typeof offset !== 'number') throw invalidType('offset', 'of type number', offset);
    const last = array.length - DISK_COLUMNS.length;
    if (!Number.isInteger(offset) || offset < 0 || offset > last) {
      throw last < 0
        ? outOfRange('array.length', `at least ${DISK_COLUMNS.length}`, array.length)
        : outOfRange('offset', `an integer from 0 to ${last}`, offset);
    }
    this.fill(counterSet(ALL_COUNTERS, bigint));
    if (bigint) array.set(this.#host.native.bigints, offset);
    else array.set(this.#host.native.numbers, offset);
  }

  /**
   * Fills the addon's row; a disk that went away is looked for once more.
   *
   * @internal
   */
  fill(counters: number): void {
    if (this.tryFill(counters)) return;
    this.#domain.reopen(this);
    const reader = this.#reader;
    const failure = reader?.read(counters);
    if (reader === undefined || failure === undefined) return;
    this.close();
    throw reader.error(failure);
  }

  /**
   * Fills the addon's row, if the disk is where it was.
   *
   * @internal
   */
  tryFill(counters: number): boolean {
    const reader = this.#reader;
    if (reader === undefined) return false;
    if (reader.read(counters) === undefined) return true;
    this.close();
    return false;
  }

  /** @internal */
  get isOpen(): boolean {
    return this.#reader !== undefined;
  }

  /**
   * Opens the statistics of the disk that is described so.
   *
   * @internal
   */
  open(info: DiskInfo): void {
    this.close();
    this.#info = info;
    this.#reader = openReader(this.#host, this.#domain, info);
  }

  /**
   * Whether this describes the same disk, and not one that took its name.
   *
   * @internal
   */
  is(info: DiskInfo): boolean {
    const { backend, source } = this.#info;
    return info.backend === backend && info.source === source;
  }

  /**
   * Notes what has become known since the disk was opened.
   *
   * @internal
   */
  learn(physicalSectorSize: number): void {
    this.#info = { ...this.#info, physicalSectorSize };
  }

  /** @internal */
  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
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

function openReader(host: Host, domain: Domain, info: DiskInfo): Reader {
  const { name: disk, driver, kind, format, backendDomid } = info;
  const { domid, label } = domain;
  const open = backendKind(kind)?.open;
  if (open === undefined) {
    throw new XenError(
      'ERR_XEN_UNSUPPORTED_DRIVER',
      `unsupported disk driver ${driver} (disk ${disk} of domain ${label} is served by ${kind}, not by blkback)`,
      { domid, disk },
    );
  }
  if (backendDomid !== host.ownDomid) {
    throw new XenError(
      'ERR_XEN_UNSUPPORTED_DRIVER',
      `unsupported disk driver ${driver} in domain ${backendDomid} (disk ${disk} of domain ${label} is served there: read it there)`,
      { domid, disk },
    );
  }
  if (format !== 'raw') {
    throw new XenError(
      'ERR_XEN_UNSUPPORTED_FORMAT',
      `unsupported format ${format} (disk ${disk} of domain ${label} is not raw)`,
      { domid, disk },
    );
  }
  try {
    return open({ native: host.native, sysfs: host.sysfs, domid, devid: info.devid, disk });
  } catch (cause) {
    if (info.source !== undefined) throw cause;
    throw new XenError(
      'ERR_XEN_STATS_UNAVAILABLE',
      `cannot open bus path: disk ${disk} of domain ${label} is an empty drive, which has no statistics`,
      { domid, disk, cause },
    );
  }
}
