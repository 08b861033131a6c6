import {
  BLOCK_STATS_COUNTERS,
  roundCounters,
  sumCounters,
  toBigints,
  toNumbers,
  type BlockCounters,
} from './block-counters';
import { Disk, type Host } from './disk';
import { describeDisks, locateDisks, type DiskInfo } from './disk-info';
import { identifyDomains, isSameDomain, type DomainIdentity } from './domain-identity';
import { XenError, invalidType } from './errors';
import { counterSet } from './native';
import {
  DEFAULT_SECTOR_SIZE,
  checkSectorSize,
  parseSectorSize,
  warnOfLibvirtBytes,
  type SectorSize,
} from './sector-size';
import {
  PARAMETER_COUNT,
  checkFlags,
  checkParameterCount,
  countersOf,
  toTypedParameters,
  type TypedParameter,
} from './typed-params';
import { devidOf } from './vdev';
import type { Query, Xenstore } from './xenstore';

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

/** A disk that is not in a sum, and why. */
export interface SkippedDisk {
  readonly disk: string;
  readonly error: XenError;
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

/** What was read, and what was left out if that was allowed. */
interface Reading {
  readonly counters: BlockCounters<number> | BlockCounters<bigint>;
  readonly skipped: SkippedDisk[] | undefined;
}

/** A running domain and its disks. */
export class Domain {
  /** Its number, which it has until it is stopped or restarted. */
  readonly domid: number;
  /** Its name; undefined if xenstore has none that we may read. */
  readonly name: string | undefined;
  /** Its UUID; undefined if xenstore has none that we may read. */
  readonly uuid: string | undefined;

  readonly #host: Host;
  readonly #xenstore: Xenstore;
  readonly #sectorSize: SectorSize;
  /** The disks that are open, by devid, and by every path that they were asked for by. */
  readonly #disks = new Map<number, Disk>();
  readonly #paths = new Map<string, Disk>();

  /** @internal */
  constructor(host: Host, xenstore: Xenstore, sectorSize: SectorSize, identity: DomainIdentity) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#sectorSize = sectorSize;
    this.domid = identity.domid;
    this.name = identity.name;
    this.uuid = identity.uuid;
  }

  /**
   * What its disks are, by devid, whatever serves them.
   *
   * @throws {@link XenError} `ERR_XEN_DOMAIN_NOT_RUNNING`, `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_CONNECT`,
   * `ERR_XENSTORE_IO`, `ERR_XEN_CLOSED`.
   */
  disks(): DiskInfo[] {
    return this.#describeAll(this.#runningQuery());
  }

  /**
   * Opens a disk.
   *
   * @param path - any spelling of its name (`xvda`, `d0p0`, `51712`, `0xca00`), or its source if no
   * other disk of the domain has the same (`/dev/vg/web1-root`).
   * @throws as {@link Domain.disks}, and `ERR_XEN_INVALID_DISK`, `ERR_XEN_UNSUPPORTED_DRIVER`,
   * `ERR_XEN_UNSUPPORTED_FORMAT`, `ERR_XEN_STATS_UNAVAILABLE`.
   */
  disk(path: string): Disk {
    if (typeof path !== 'string') throw invalidType('path', 'of type string', path);
    const disk = this.#paths.get(path);
    return disk?.isOpen === true ? disk : this.#open(this.#runningQuery(), path);
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
  blockStats(path: string, options: BlockStatsOptions = {}): BlockStats<number | bigint> {
    this.#check(path, options);
    const { counters, skipped } = this.#read(path, BLOCK_STATS_COUNTERS, options);
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
   * @throws as {@link Domain.disk}, and `ERR_XEN_UNSUPPORTED_FLAGS`.
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
    options: BlockStatsFlagsOptions = {},
  ): BlockStatsParameters<number | bigint> {
    this.#check(path, options);
    checkFlags(options.flags);
    const nparams = checkParameterCount(options.nparams);
    if (nparams === 0) {
      this.#runningQuery();
      return { nparams: PARAMETER_COUNT, params: [] };
    }
    let { counters, skipped } = this.#read(path, countersOf(nparams), options);
    let params = toTypedParameters(counters, nparams);
    if (params.length < nparams && nparams < PARAMETER_COUNT) {
      // the kernel lacks one of the first: the next ones move up
      ({ counters, skipped } = this.#read(path, countersOf(PARAMETER_COUNT), options));
      params = toTypedParameters(counters, nparams);
    }
    return skipped === undefined
      ? { nparams: params.length, params }
      : { nparams: params.length, params, skipped };
  }

  /**
   * The domain in an error's words.
   *
   * @internal
   */
  get label(): string {
    return this.name ?? String(this.domid);
  }

  /**
   * Opens a disk again that has gone, if it has come back.
   *
   * @internal
   */
  reopen(disk: Disk): void {
    const query = this.#runningQuery();
    do {
      const [info] = this.#describe(query, disk.devid);
      if (info === undefined) throw this.#noSuchDisk(query, disk.name);
      if (!disk.is(info)) {
        throw new XenError(
          'ERR_XEN_INVALID_DISK',
          `invalid path: ${disk.name} (it is another disk of domain ${this.label} now: open that one)`,
          { domid: this.domid, disk: disk.name },
        );
      }
      disk.open(info);
      this.#keep(disk);
      this.#confirm(query, [disk]);
    } while (!disk.isOpen);
  }

  /**
   * Whether this is still the domain.
   *
   * @internal
   */
  is(identity: DomainIdentity): boolean {
    return isSameDomain(this, identity);
  }

  /** @internal */
  close(): void {
    for (const disk of this.#disks.values()) disk.close();
    this.#disks.clear();
    this.#paths.clear();
  }

  #check(path: unknown, options: BlockStatsOptions): void {
    if (typeof path !== 'string') throw invalidType('path', 'of type string', path);
    if (typeof options !== 'object' || (options as unknown) === null) {
      throw invalidType('options', 'of type object', options);
    }
    checkSectorSize(options.sectorSize);
  }

  /** The counters of one disk, or of all. */
  #read(path: string, counters: number, options: BlockStatsOptions): Reading {
    const bigint = options.bigint === true;
    if (path === '') {
      const { sum, skipped } = this.#sum(counters, options);
      return {
        counters: bigint ? sum : roundCounters(sum),
        skipped: options.partial === true ? skipped : undefined,
      };
    }
    const sectorSize = this.#fill(path, counterSet(counters, bigint), options);
    const { numbers, bigints } = this.#host.native;
    return {
      counters: bigint ? toBigints(bigints, sectorSize) : toNumbers(numbers, sectorSize),
      skipped: undefined,
    };
  }

  /** Fills the addon's row with a disk's counters. Returns what its sectors are multiplied by. */
  #fill(path: string, counters: number, options: BlockStatsOptions): number {
    const disk = this.#paths.get(path);
    if (disk?.tryFill(counters) === true) return this.#multiplier(disk, options);

    const query = this.#runningQuery();
    const opened = this.#open(query, path);
    opened.fill(counters);
    return this.#multiplier(opened, options, query);
  }

  #sum(
    counters: number,
    options: BlockStatsOptions,
  ): { sum: BlockCounters<bigint>; skipped: SkippedDisk[] } {
    const { bigints } = this.#host.native;
    const set = counterSet(counters, true);
    const query = this.#runningQuery();
    const summands: BlockCounters<bigint>[] = [];
    const add = (disk: Disk) => {
      summands.push(toBigints(bigints, this.#multiplier(disk, options, query)));
    };

    const closed = locateDisks(query, this.#host.ownDomid, this.domid).filter(
      ({ devid, backend }) => {
        const disk = this.#disks.get(devid);
        if (disk?.info.backend !== backend || !disk.tryFill(set)) return true;
        add(disk);
        return false;
      },
    );
    const skipped: SkippedDisk[] = [];
    const skip = (disk: string, error: unknown) => {
      if (!(error instanceof XenError) || options.partial !== true) throw error;
      skipped.push({ disk, error });
    };
    const opened: Disk[] = [];
    for (const info of describeDisks(query, closed)) {
      try {
        opened.push(this.#openDescribed(info));
      } catch (error) {
        skip(info.name, error);
      }
    }
    this.#confirm(query, opened);
    for (const disk of opened) {
      try {
        disk.fill(set);
        add(disk);
      } catch (error) {
        skip(disk.name, error);
      }
    }
    return { sum: sumCounters(summands), skipped };
  }

  /** What libvirt would multiply the disk's sectors by, or 512 if that is not wanted. */
  #multiplier(disk: Disk, options: BlockStatsOptions, query?: Query): number {
    if ((options.sectorSize ?? this.#sectorSize) === DEFAULT_SECTOR_SIZE)
      return DEFAULT_SECTOR_SIZE;
    const size = disk.info.physicalSectorSize ?? this.#askSectorSize(disk, query);
    if (size !== DEFAULT_SECTOR_SIZE) warnOfLibvirtBytes(disk.name, this.label, size);
    return size;
  }

  /** The backend tells it when the guest connects: until then every call asks again. */
  #askSectorSize(disk: Disk, query = this.#xenstore.query()): number {
    const [text] = query.read([`${disk.info.backend}/physical-sector-size`]);
    const size = parseSectorSize(text);
    if (size !== undefined) disk.learn(size);
    return size ?? DEFAULT_SECTOR_SIZE;
  }

  /** A query, once it is known that this domain is still there. */
  #runningQuery(): Query {
    const query = this.#xenstore.query();
    this.#checkRunning(query);
    return query;
  }

  #checkRunning(query: Query): void {
    const [identity] = identifyDomains(query, this.#host.ownDomid, [this.domid]);
    if (identity !== undefined && this.is(identity)) return;
    this.close();
    throw new XenError(
      'ERR_XEN_DOMAIN_NOT_RUNNING',
      `domain is not running (${this.label}, which had the domid ${this.domid})`,
      { domid: this.domid },
    );
  }

  /**
   * Closes what is not what it was described as before it was opened: another disk, or another domain's,
   * may have taken the place meanwhile. From now on none can: descriptors do not go over to it.
   */
  #confirm(query: Query, disks: readonly Disk[]): void {
    if (disks.length === 0) return;
    this.#checkRunning(query);
    const infos = describeDisks(
      query,
      disks.map(({ info }) => ({ ...info, description: info.backend })),
    );
    for (const disk of disks) {
      if (!infos.some((info) => disk.is(info))) disk.close();
    }
  }

  #describeAll(query: Query): DiskInfo[] {
    return describeDisks(query, locateDisks(query, this.#host.ownDomid, this.domid));
  }

  /** The disk with this devid, in an array, or none. */
  #describe(query: Query, devid: number | undefined): DiskInfo[] {
    const disks = locateDisks(query, this.#host.ownDomid, this.domid);
    return describeDisks(
      query,
      disks.filter((disk) => disk.devid === devid),
    );
  }

  #open(query: Query, path: string): Disk {
    for (;;) {
      const disk = this.#openDescribed(this.#find(query, path));
      this.#confirm(query, [disk]);
      if (!disk.isOpen) continue;
      this.#paths.set(path, disk);
      return disk;
    }
  }

  /** What the disk is that is meant. */
  #find(query: Query, path: string): DiskInfo {
    const matching = path.startsWith('/')
      ? this.#describeAll(query).filter(({ source }) => source === path)
      : this.#describe(query, devidOf(path));
    const [info] = matching;
    if (info === undefined) throw this.#noSuchDisk(query, path);
    if (matching.length > 1) {
      throw this.#invalidPath(
        path,
        `it is the source of ${listNames(matching)} of domain ${this.label}`,
      );
    }
    return info;
  }

  /** The disk that is described so: the one that is kept, if it is that. */
  #openDescribed(info: DiskInfo): Disk {
    const kept = this.#disks.get(info.devid);
    if (kept?.is(info) === true) {
      if (!kept.isOpen) kept.open(info);
      return kept;
    }
    const disk = new Disk(this.#host, this, info);
    this.#keep(disk);
    return disk;
  }

  /** Whatever is open is kept, one for each devid, so that it is closed with the domain. */
  #keep(disk: Disk): void {
    const kept = this.#disks.get(disk.devid);
    if (kept !== disk) kept?.close();
    this.#disks.set(disk.devid, disk);
  }

  #noSuchDisk(query: Query, path: string): XenError {
    const disks = this.#describeAll(query);
    const what = disks.length === 0 ? 'no disks' : listNames(disks);
    return this.#invalidPath(path, `domain ${this.label} has ${what}`);
  }

  #invalidPath(path: string, why: string): XenError {
    return new XenError('ERR_XEN_INVALID_DISK', `invalid path: ${path} (${why})`, {
      domid: this.domid,
      disk: path,
    });
  }
}

function listNames(disks: readonly DiskInfo[]): string {
  return disks.map(({ name }) => name).join(', ');
}
