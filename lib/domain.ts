import { constants } from 'node:os';
import { DomainDisks, type SkippedDisk } from './domain-disks';
import type { Disk } from './disk';
import { XenError, invalidType } from './errors';
import type { Host } from './host';
import {
  BLOCK_STATS_COUNTERS,
  roundCounters,
  sumCounters,
  toBigints,
  toNumbers,
  type BlockCounters,
} from './libvirt/block-stats';
import {
  DEFAULT_SECTOR_SIZE,
  parseSectorSize,
  readSectorSize,
  warnOfLibvirtBytes,
  type SectorSize,
} from './libvirt/sector-size';
import {
  PARAMETER_COUNT,
  checkFlags,
  countersOf,
  readParameterCount,
  toTypedParameters,
  type TypedParameter,
} from './libvirt/typed-params';
import { BIGINTS, Counter, NUMBERS } from './native';
import { Options } from './options';
import type { Query, XenstoreClient } from './xenstore/client';
import type { DiskInfo } from './xenstore/disks';
import type { DomainIdentity } from './xenstore/domains';

/** How the two calls of libvirt answer. */
export interface BlockStatsOptions {
  /** Bigints in place of numbers, which are rounded beyond 2^53. */
  bigint?: boolean | undefined;
  /** What sectors are multiplied by; default: what `connect()` was told. */
  sectorSize?: SectorSize | undefined;
  /** With `''`: leave out the disks that cannot be read, and list them in `skipped`. */
  partial?: boolean | undefined;
}

/** How {@link Domain.blockStatsFlags} answers. */
export interface BlockStatsFlagsOptions extends BlockStatsOptions {
  /** How many parameters are wanted; 0 asks how many there are. Default: all. */
  nparams?: number | undefined;
  /** libvirt's flags: 0 or `VIR_TYPED_PARAM_STRING_OKAY` (4). */
  flags?: number | undefined;
}

/** libvirt's `virDomainBlockStatsStruct`. What the backend does not count is -1. */
export interface BlockStats<N extends number | bigint = number> {
  /** Read requests. */
  rdReq: N;
  /** Bytes read, in libvirt's way: see {@link SectorSize}. */
  rdBytes: N;
  /** Write requests. */
  wrReq: N;
  /** Bytes written, in libvirt's way: see {@link SectorSize}. */
  wrBytes: N;
  /** What libvirt calls errors: blkback's `oo_req`, requests delayed because it was busy. */
  errs: N;
  /** The disks that are not in the sum; there with `partial` only. */
  skipped?: SkippedDisk[];
}

/** What {@link Domain.blockStatsFlags} gives. */
export interface BlockStatsParameters<N extends number | bigint = number> {
  /** How many parameters there are; in the answer to `nparams: 0`, how many there can be. */
  nparams: number;
  params: TypedParameter<N>[];
  /** The disks that are not in the sum; there with `partial` only. */
  skipped?: SkippedDisk[];
}

/** The options that libvirt's two calls have in common, once they are read. */
interface ReadOptions {
  readonly bigint: boolean;
  readonly sectorSize: SectorSize;
  readonly partial: boolean;
}

/** What was read, and what was left out if that was allowed. */
interface Reading {
  readonly counters: BlockCounters<number> | BlockCounters<bigint>;
  readonly skipped: SkippedDisk[] | undefined;
}

/** A running domain and its disks. */
export class Domain {
  readonly #host: Host;
  readonly #xenstore: XenstoreClient;
  readonly #disks: DomainDisks;
  readonly #defaults: ReadOptions;

  /** @internal */
  constructor(host: Host, xenstore: XenstoreClient, identity: DomainIdentity) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#disks = new DomainDisks(host, xenstore, identity);
    this.#defaults = { bigint: false, sectorSize: host.sectorSize, partial: false };
  }

  /** Its number, which it has until it is stopped or restarted. */
  get domid(): number {
    return this.#disks.domid;
  }

  /** Its name, as xenstore last told it; undefined if xenstore has none that may be read. */
  get name(): string | undefined {
    return this.#disks.identity.name;
  }

  /** Its UUID; undefined if xenstore has none that may be read. */
  get uuid(): string | undefined {
    return this.#disks.identity.uuid;
  }

  /**
   * What its disks are, by devid, whatever serves them.
   *
   * @throws {@link XenError} `ERR_XEN_DOMAIN_NOT_RUNNING`, `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_CONNECT`,
   * `ERR_XENSTORE_IO`, `ERR_XEN_CLOSED`.
   */
  disks(): DiskInfo[] {
    return this.#disks.describeAll();
  }

  /**
   * Opens a disk. Asked again, it gives the same object as long as it is the same disk.
   *
   * @param path - any spelling of its name (`xvda`, `d0p0`, `51712`, `0xca00`), or its source if no
   * other disk of the domain has the same (`/dev/vg/web1-root`).
   * @throws as {@link Domain.disks}, and `ERR_XEN_INVALID_DISK`, `ERR_XEN_UNSUPPORTED_DRIVER`,
   * `ERR_XEN_UNSUPPORTED_FORMAT`, `ERR_XEN_STATS_UNAVAILABLE`.
   */
  disk(path: string): Disk {
    checkPath(path);
    const known = this.#disks.known(path);
    if (known?.tryFill(NUMBERS, Counter.rdReq) === true) return known;
    return this.#disks.open(this.#xenstore.query(), path);
  }

  /**
   * `virDomainBlockStats`: what libvirt says of a disk. Five preads, once the disk is open.
   *
   * @param path - as for {@link Domain.disk}; `''` sums over all disks of the domain.
   * @throws as {@link Domain.disk}.
   */
  blockStats(path: string, options?: BlockStatsOptions & { bigint?: false }): BlockStats;
  blockStats(path: string, options: BlockStatsOptions & { bigint: true }): BlockStats<bigint>;
  blockStats(path: string, options?: BlockStatsOptions): BlockStats | BlockStats<bigint>;
  blockStats(path: string, options?: BlockStatsOptions): BlockStats<number | bigint> {
    checkPath(path);
    const read = options === undefined ? this.#defaults : this.#readOptions(new Options(options));
    const { counters, skipped } = this.#read(path, BLOCK_STATS_COUNTERS, read);
    const { rdReq, rdBytes, wrReq, wrBytes, errs } = counters;
    return skipped === undefined
      ? { rdReq, rdBytes, wrReq, wrBytes, errs }
      : { rdReq, rdBytes, wrReq, wrBytes, errs, skipped };
  }

  /**
   * `virDomainBlockStatsFlags`: the same and flushes, as typed parameters, in libvirt's order:
   * `wr_bytes`, `wr_operations`, `rd_bytes`, `rd_operations`, `flush_operations`, `errs`. A counter that
   * the backend does not have is left out. Only what is asked for is read.
   *
   * @param path - as for {@link Domain.blockStats}.
   * @throws as {@link Domain.blockStats}, and `ERR_XEN_UNSUPPORTED_FLAGS`.
   */
  blockStatsFlags(
    path: string,
    options?: BlockStatsFlagsOptions & { bigint?: false },
  ): BlockStatsParameters;
  blockStatsFlags(
    path: string,
    options: BlockStatsFlagsOptions & { bigint: true },
  ): BlockStatsParameters<bigint>;
  blockStatsFlags(
    path: string,
    options?: BlockStatsFlagsOptions,
  ): BlockStatsParameters | BlockStatsParameters<bigint>;
  blockStatsFlags(
    path: string,
    options?: BlockStatsFlagsOptions,
  ): BlockStatsParameters<number | bigint> {
    checkPath(path);
    let read = this.#defaults;
    let nparams: number = PARAMETER_COUNT;
    if (options !== undefined) {
      const given = new Options(options);
      read = this.#readOptions(given);
      checkFlags(given);
      nparams = readParameterCount(given);
    }
    if (nparams === 0) {
      this.#disks.checkRunning();
      return { nparams: PARAMETER_COUNT, params: [] };
    }
    let { counters, skipped } = this.#read(path, countersOf(nparams), read);
    let params = toTypedParameters(counters, nparams);
    if (params.length < nparams && nparams < PARAMETER_COUNT) {
      // the kernel lacks one of the first: the next ones move up
      ({ counters, skipped } = this.#read(path, countersOf(PARAMETER_COUNT), read));
      params = toTypedParameters(counters, nparams);
    }
    return skipped === undefined
      ? { nparams: params.length, params }
      : { nparams: params.length, params, skipped };
  }

  /**
   * Takes a newer description of the domain. Returns whether it is the same domain.
   *
   * @internal
   */
  update(identity: DomainIdentity): boolean {
    return this.#disks.update(identity);
  }

  /** @internal */
  close(): void {
    this.#disks.close();
  }

  #readOptions(options: Options): ReadOptions {
    return {
      bigint: options.boolean('bigint') ?? false,
      sectorSize: readSectorSize(options) ?? this.#host.sectorSize,
      partial: options.boolean('partial') ?? false,
    };
  }

  /** The counters of one disk, or of all. */
  #read(path: string, counters: number, options: ReadOptions): Reading {
    if (path === '') return this.#readSum(counters, options);
    const row = options.bigint ? BIGINTS : NUMBERS;
    let disk = this.#disks.known(path);
    let query: Query | undefined;
    if (disk?.tryFill(row, counters) !== true) {
      query = this.#xenstore.query();
      disk = this.#disks.open(query, path);
      disk.fill(row, counters, 0, query);
    }
    const multiplier = this.#multiplier(disk, options.sectorSize, query);
    const read = options.bigint ? toBigints(BIGINTS, multiplier) : toNumbers(NUMBERS, multiplier);
    this.#checkRange(read, disk.name);
    return { counters: read, skipped: undefined };
  }

  #readSum(counters: number, { bigint, sectorSize, partial }: ReadOptions): Reading {
    const query = this.#xenstore.query();
    const { disks, skipped } = this.#disks.openAll(query);
    const summands = disks.flatMap((disk) => {
      try {
        disk.fill(BIGINTS, counters, 0, query);
        return [toBigints(BIGINTS, this.#multiplier(disk, sectorSize, query))];
      } catch (error) {
        if (!(error instanceof XenError)) throw error;
        skipped.push({ disk: disk.name, error });
        return [];
      }
    });
    const [first] = skipped;
    if (first !== undefined && !partial) throw first.error;
    const sum = sumCounters(summands);
    this.#checkRange(sum, '');
    return {
      counters: bigint ? sum : roundCounters(sum),
      skipped: partial ? skipped : undefined,
    };
  }

  /** libvirt's numbers have 64 bits and a sign. Sectors of 512 bytes were checked as they were read. */
  #checkRange({ rdBytes, wrBytes }: BlockCounters<number | bigint>, disk: string): void {
    if (rdBytes < 2 ** 63 && wrBytes < 2 ** 63) return;
    throw new XenError(
      'ERR_XEN_STATS_UNAVAILABLE',
      `libvirt's bytes of ${disk === '' ? 'all disks' : `disk ${disk}`} of domain ${this.#disks.label} do not fit in 64 bits with a sign (sectorSize: 512 gives true bytes)`,
      { errno: constants.errno.EOVERFLOW, domid: this.domid, disk },
    );
  }

  /** What libvirt would multiply the disk's sectors by, or 512 if that is not wanted. */
  #multiplier(disk: Disk, sectorSize: SectorSize, query: Query | undefined): number {
    if (sectorSize === DEFAULT_SECTOR_SIZE) return DEFAULT_SECTOR_SIZE;
    const size = disk.info.physicalSectorSize ?? this.#askSectorSize(disk, query);
    if (size !== DEFAULT_SECTOR_SIZE) warnOfLibvirtBytes(disk.name, this.#disks.label, size);
    return size;
  }

  /** The backend writes it when the guest connects: until then every call asks again. */
  #askSectorSize(disk: Disk, query = this.#xenstore.query()): number {
    const [text] = query.read([`${disk.info.backend}/physical-sector-size`]);
    const size = parseSectorSize(text);
    if (size !== undefined) disk.update({ physicalSectorSize: size });
    return size ?? DEFAULT_SECTOR_SIZE;
  }
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string') throw invalidType('path', 'of type string', path);
}
