import { inspect } from 'node:util';
import { DomainCounters, type ReadOptions } from './domain-counters';
import { DomainDisks, type SkippedDisk } from './domain-disks';
import type { Disk } from './disk';
import { invalidType } from './errors';
import type { Host } from './host';
import { inspectAs } from './inspect';
import { BLOCK_STATS_COUNTERS } from './libvirt/block-stats';
import { readSectorSize, type SectorSize } from './libvirt/sector-size';
import {
  PARAMETER_COUNT,
  checkFlags,
  countersOf,
  readParameterCount,
  toTypedParameters,
  type TypedParameter,
} from './libvirt/typed-params';
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

/** A running domain and its disks. */
export class Domain {
  readonly #host: Host;
  readonly #xenstore: XenstoreClient;
  readonly #nodes: DomainNodes;
  readonly #disks: DomainDisks;
  readonly #counters: DomainCounters;
  readonly #defaults: ReadOptions;

  /**
   * Whether xenstored has told no change of the domain since it was last looked up.
   *
   * @internal
   */
  isUnchanged: () => boolean = () => false;

  /** @internal */
  constructor(host: Host, xenstore: XenstoreClient, identity: DomainIdentity) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#nodes = new DomainNodes(host.ownDomid, identity, () => {
      this.close();
    });
    this.#disks = new DomainDisks(host, xenstore, this.#nodes);
    this.#counters = new DomainCounters(xenstore, this.#nodes, this.#disks);
    this.#defaults = { bigint: false, sectorSize: host.sectorSize, partial: false };
  }

  /** The number of the domain, which it has until it is stopped or restarted. */
  get domid(): number {
    return this.#nodes.domid;
  }

  /** The name of the domain, from `/local/domain/<domid>/name`; undefined if xenstored does not tell. Updated whenever the domain is looked up, or its disks are described. */
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
   * @param path - any spelling of its name (`xvda`, `d0p0`, `51712`, `0xca00`), or its source, an absolute path (`/dev/vg/web1-root`), if no
   * other disk of the domain has it.
   * @throws as {@link Domain.disks}, and `ERR_XEN_INVALID_DISK`, `ERR_XEN_UNSUPPORTED_DRIVER`,
   * `ERR_XEN_UNSUPPORTED_FORMAT`, `ERR_XEN_STATS_UNAVAILABLE`.
   */
  disk(path: string): Disk {
    checkPath(path);
    const known = this.#disks.known(path);
    if (known?.isCurrent() === true) return known;
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
    const { counters, skipped } = this.#counters.read(path, BLOCK_STATS_COUNTERS, read);
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
    let { counters, skipped } = this.#counters.read(path, countersOf(nparams), read);
    let params = toTypedParameters(counters, nparams);
    if (params.length < nparams && nparams < PARAMETER_COUNT) {
      // the kernel lacks one of the first: the next ones move up
      ({ counters, skipped } = this.#counters.read(path, countersOf(PARAMETER_COUNT), read));
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

  /**
   * Watches the domain: see {@link Query.watch}.
   *
   * @internal
   */
  watch(query: Query): () => boolean {
    return this.#nodes.watch(query);
  }

  /** @internal */
  [inspect.custom](): string {
    const { domid, name, uuid } = this;
    return inspectAs('Domain', { domid, name, uuid });
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
}

function checkPath(path: unknown): void {
  if (typeof path !== 'string') throw invalidType('path', 'of type string', path);
}
