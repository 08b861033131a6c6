import { constants } from 'node:os';
import { checkBlkback } from './backends/readable';
import type { Disk } from './disk';
import type { DomainDisks, SkippedDisk } from './domain-disks';
import { XenError } from './errors';
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
  warnOfLibvirtBytes,
  type SectorSize,
} from './libvirt/sector-size';
import { BIGINTS, NUMBERS } from './native';
import type { Query, XenstoreClient } from './xenstore/client';
import type { DomainNodes } from './xenstore/domain-nodes';

/** The options of both calls, with their defaults. */
export interface ReadOptions {
  readonly bigint: boolean;
  readonly sectorSize: SectorSize;
  readonly partial: boolean;
}

/** The counters of one disk or of all. */
export interface Reading {
  readonly counters: BlockCounters<number> | BlockCounters<bigint>;
  readonly skipped: SkippedDisk[] | undefined;
}

/** Reads the counters of a domain's disks in libvirt's units, and sums them. */
export class DomainCounters {
  readonly #xenstore: XenstoreClient;
  readonly #nodes: DomainNodes;
  readonly #disks: DomainDisks;

  constructor(xenstore: XenstoreClient, nodes: DomainNodes, disks: DomainDisks) {
    this.#xenstore = xenstore;
    this.#nodes = nodes;
    this.#disks = disks;
  }

  /**
   * Reads the counters of a disk, or the sum over all disks if `path` is ''.
   *
   * @param counters - which ones, see {@link Counter}.
   * @throws XenError if there is no such disk, or if it cannot be read.
   */
  read(path: string, counters: number, options: ReadOptions): Reading {
    if (counters !== BLOCK_STATS_COUNTERS) {
      // a counter that is not read must not have the number of an earlier read, maybe of another disk
      if (options.bigint || path === '') BIGINTS.fill(-1n);
      else NUMBERS.fill(-1);
    }
    if (path === '') return this.#readSum(counters, options);
    const row = options.bigint ? BIGINTS : NUMBERS;
    let disk = this.#disks.known(path);
    let query: Query | undefined;
    if (disk?.info.kind !== 'vbd' || !disk.tryFill(row, counters)) {
      query = this.#xenstore.query();
      disk = this.#disks.open(query, path, checkBlkback);
      disk.fill(row, counters, 0, query);
    }
    const multiplier = this.#multiplier(disk, options.sectorSize, query);
    const read = options.bigint ? toBigints(BIGINTS, multiplier) : toNumbers(NUMBERS, multiplier);
    this.#checkRange(read, disk.name);
    return { counters: read, skipped: undefined };
  }

  #readSum(counters: number, { bigint, sectorSize, partial }: ReadOptions): Reading {
    const skipped: SkippedDisk[] = [];
    const summands =
      this.#readUnchanged(counters, sectorSize) ?? this.#readAll(counters, sectorSize, skipped);
    const [first] = skipped;
    if (first !== undefined && !partial) throw first.error;
    const sum = sumCounters(summands);
    this.#checkRange(sum, '');
    return {
      counters: bigint ? sum : roundCounters(sum),
      skipped: partial ? skipped : undefined,
    };
  }

  /** Reads all disks without a request of xenstored. Returns undefined if they may have changed. */
  #readUnchanged(counters: number, sectorSize: SectorSize): BlockCounters<bigint>[] | undefined {
    const disks = this.#disks.unchanged();
    const summands: BlockCounters<bigint>[] = [];
    for (const disk of disks ?? []) {
      // it may be gone, which xenstored has not told yet
      if (!disk.tryFill(BIGINTS, counters)) return undefined;
      summands.push(toBigints(BIGINTS, this.#multiplier(disk, sectorSize)));
    }
    return disks && summands;
  }

  /** Opens and reads all disks. Those that cannot be read are added to `skipped`. */
  #readAll(
    counters: number,
    sectorSize: SectorSize,
    skipped: SkippedDisk[],
  ): BlockCounters<bigint>[] {
    const query = this.#xenstore.query();
    const opened = this.#disks.openAll(query);
    skipped.push(...opened.skipped);
    return opened.disks.flatMap((disk) => {
      try {
        disk.fill(BIGINTS, counters, 0, query);
        return [toBigints(BIGINTS, this.#multiplier(disk, sectorSize, query))];
      } catch (error) {
        if (!(error instanceof XenError)) throw error;
        skipped.push({ disk: disk.name, error });
        return [];
      }
    });
  }

  /** Refuses bytes that do not fit in libvirt's 64 bits with a sign. The addon checks sectors of 512 bytes. */
  #checkRange({ rdBytes, wrBytes }: BlockCounters<number | bigint>, disk: string): void {
    if (rdBytes < 2 ** 63 && wrBytes < 2 ** 63) return;
    throw new XenError(
      'ERR_XEN_STATS_UNAVAILABLE',
      `libvirt's bytes of ${disk === '' ? 'all disks' : `disk ${disk}`} of domain ${this.#nodes.label} do not fit in 64 bits with a sign (sectorSize: 512 gives true bytes)`,
      { errno: constants.errno.EOVERFLOW, domid: this.#nodes.domid, disk },
    );
  }

  /** Returns the number of bytes by which the disk's sectors are multiplied. */
  #multiplier(disk: Disk, sectorSize: SectorSize, query?: Query): number {
    if (sectorSize === DEFAULT_SECTOR_SIZE) return DEFAULT_SECTOR_SIZE;
    const size = disk.info.physicalSectorSize ?? this.#readSectorSize(disk, query);
    if (size !== DEFAULT_SECTOR_SIZE) warnOfLibvirtBytes(disk.name, this.#nodes.label, size);
    return size;
  }

  /** Reads the physical sector size. The backend writes it when the frontend connects, so until then each call reads it. */
  #readSectorSize(disk: Disk, query = this.#xenstore.query()): number {
    const [text] = query.read([`${disk.info.backend}/physical-sector-size`]);
    const size = parseSectorSize(text);
    if (size !== undefined) disk.update({ physicalSectorSize: size });
    return size ?? DEFAULT_SECTOR_SIZE;
  }
}
