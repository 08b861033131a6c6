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
import { DomainNodes } from './xenstore/domain-nodes';
import type { DomainIdentity } from './xenstore/domains';

/** Options of {@link Domain.blockStats}. */
export interface BlockStatsOptions {
  /** Bigints in place of numbers, which are rounded beyond 2^53. */
  bigint?: boolean | undefined;
  /** The size of a sector in bytes; default: the option of `connect()`. */
  sectorSize?: SectorSize | undefined;
  /** With `''`: leave out the disks that cannot be read, and list them in `skipped`. */
  partial?: boolean | undefined;
}

/** Options of {@link Domain.blockStatsFlags}. */
export interface BlockStatsFlagsOptions extends BlockStatsOptions {
  /** The maximum number of parameters. With 0 the result has their number and no parameters. Default: all. */
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
  /** The disks that are not in the sum; only with `partial`. */
  skipped?: SkippedDisk[];
}

/** What {@link Domain.blockStatsFlags} gives. */
export interface BlockStatsParameters<N extends number | bigint = number> {
  /** The number of parameters in `params`; with `nparams: 0`, the number that there can be. */
  nparams: number;
  params: TypedParameter<N>[];
  /** The disks that are not in the sum; only with `partial`. */
  skipped?: SkippedDisk[];
}

/** The options of both calls, with their defaults. */
interface ReadOptions {
  readonly bigint: boolean;
  readonly sectorSize: SectorSize;
  readonly partial: boolean;
}

/** The counters of one disk or of all. */
interface Reading {
  readonly counters: BlockCounters<number> | BlockCounters<bigint>;
  readonly skipped: SkippedDisk[] | undefined;
}

/** A running domain and its disks. */
export class Domain {
  readonly #host: Host;
  readonly #xenstore: XenstoreClient;
  readonly #nodes: DomainNodes;
  readonly #disks: DomainDisks;
  readonly #defaults: ReadOptions;

  /** @internal */
  constructor(host: Host, xenstore: XenstoreClient, identity: DomainIdentity) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#nodes = new DomainNodes(host.ownDomid, identity, () => {
      this.close();
    });
    this.#disks = new DomainDisks(host, xenstore, this.#nodes);
    this.#defaults = { bigint: false, sectorSize: host.sectorSize, partial: false };
  }

  /** The number of the domain, which it has until it is stopped or restarted. */
  get domid(): number {
    return this.#nodes.domid;
  }

  /** The name of the domain, from `/local/domain/<domid>/name`; undefined if xenstored does not tell. It is read again whenever the domain is looked up. */
  get name(): string | undefined {
    return this.#nodes.identity.name;
  }

  /** The UUID of the domain, from `/local/domain/<domid>/vm`; undefined if xenstored does not tell. */
  get uuid(): string | undefined {
    return this.#nodes.identity.uuid;
  }

  /**
   * Describes the disks of the domain, by devid, whatever serves them.
   *
   * @throws {@link XenError} `ERR_XEN_DOMAIN_NOT_RUNNING`, `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_CONNECT`,
   * `ERR_XENSTORE_IO`, `ERR_XEN_CLOSED`.
   */
  disks(): DiskInfo[] {
    return this.#nodes.describeAll(this.#xenstore.query());
  }

  /**
   * Opens a disk. Returns the same object for as long as the domain has this disk.
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
   * Reads what libvirt's `virDomainBlockStats` reports: five preads, once the disk is open.
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
   * Reads what libvirt's `virDomainBlockStatsFlags` reports: typed parameters, in libvirt's order:
   * `wr_bytes`, `wr_operations`, `rd_bytes`, `rd_operations`, `flush_operations`, `errs`. A counter that
   * the backend does not have is left out. Only the counters of the wanted parameters are read.
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
      // fails if the domain is gone, as every call does
      this.#nodes.describe(this.#xenstore.query(), []);
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
    return this.#nodes.update(identity);
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
      `libvirt's bytes of ${disk === '' ? 'all disks' : `disk ${disk}`} of domain ${this.#nodes.label} do not fit in 64 bits with a sign (sectorSize: 512 gives true bytes)`,
      { errno: constants.errno.EOVERFLOW, domid: this.domid, disk },
    );
  }

  /** What libvirt would multiply the disk's sectors by, or 512 if that is not wanted. */
  #multiplier(disk: Disk, sectorSize: SectorSize, query: Query | undefined): number {
    if (sectorSize === DEFAULT_SECTOR_SIZE) return DEFAULT_SECTOR_SIZE;
    const size = disk.info.physicalSectorSize ?? this.#askSectorSize(disk, query);
    if (size !== DEFAULT_SECTOR_SIZE) warnOfLibvirtBytes(disk.name, this.#nodes.label, size);
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
