import { checkBlkback, checkReadable } from './backends/readable';
import { statisticsError } from './backends/statistics-error';
import { tapdiskOf } from './backends/tapdisk';
import { Disk, type DiskOwner, type OpenStatistics } from './disk';
import { devidOf } from './disk-name';
import { XenError } from './errors';
import type { Host } from './host';
import type { Vbd } from './native';
import type { Query, XenstoreClient } from './xenstore/client';
import { locationOf, type DiskInfo, type DiskLocation } from './xenstore/disks';
import type { DomainNodes } from './xenstore/domain-nodes';

/** A disk that could not be opened or read, and why. */
export interface SkippedDisk {
  readonly disk: string;
  readonly error: XenError;
}

/** Throws if a disk is not for a call. */
type CheckDisk = (info: DiskInfo, ownDomid: number) => void;

/** The most paths to remember. A disk can be spelled in any number of ways (`d00p0`). */
const MAX_PATHS = 1024;

/**
 * Opens the disks of one domain, and holds those that are open.
 *
 * The statistics of a disk are opened before its nodes are read. The kernel makes a device after its
 * nodes, and a descriptor never changes to another device. So the statistics that are open are those of
 * the disk that is described afterwards; or the device is removed, and reading it fails.
 */
export class DomainDisks implements DiskOwner {
  readonly #host: Host;
  readonly #xenstore: XenstoreClient;
  readonly #nodes: DomainNodes;
  readonly #byDevid = new Map<number, Disk>();
  /** By every path by which a disk was opened. */
  readonly #byPath = new Map<string, Disk>();
  /** All disks, and whether they are the ones that there are now; undefined if one was not opened. */
  #all: { readonly disks: readonly Disk[]; readonly isUnchanged?: () => boolean } | undefined;

  constructor(host: Host, xenstore: XenstoreClient, nodes: DomainNodes) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#nodes = nodes;
  }

  /** The disk that was opened by this path. It may be gone since. */
  known(path: string): Disk | undefined {
    return this.#byPath.get(path);
  }

  /**
   * Opens the disk with this path.
   *
   * @param check - throws if the disk is not for the call.
   * @throws XenError if there is no such disk, or if its statistics cannot be opened.
   */
  open(query: Query, path: string, check: CheckDisk = checkReadable): Disk {
    let disk = this.#open(query, path, check);
    // another disk may have replaced it while its nodes were read
    if (!disk.isCurrent()) disk = this.#open(query, path, check);
    if (this.#byPath.size >= MAX_PATHS) this.#byPath.clear();
    this.#byPath.set(path, disk);
    return disk;
  }

  /** All disks, without a request of xenstored; undefined if they may have changed since they were opened. */
  unchanged(): readonly Disk[] | undefined {
    return this.#all?.isUnchanged?.() === true ? this.#all.disks : undefined;
  }

  /**
   * Opens all disks, for libvirt's calls. Those that cannot be opened are in `skipped`. From the second time
   * on the disks are watched: a process that needs them once does not pay for it.
   */
  openAll(query: Query): { disks: readonly Disk[]; skipped: SkippedDisk[] } {
    const isUnchanged = this.#all && this.#nodes.watch(query);
    const locations = this.#nodes.locate(query);
    const disks = locations.flatMap(({ devid, backend, kind }) => {
      const held = kind === 'vbd' ? this.#byDevid.get(devid) : undefined;
      const isHeld = held?.info.backend === backend && held.isCurrent();
      return isHeld ? [held] : [];
    });
    const rest = locations.filter(({ devid }) => !disks.some((disk) => disk.devid === devid));
    const vbds = rest.filter(({ kind }) => kind === 'vbd');
    const opened = new Map(vbds.map((it) => [it.devid, this.#openStatistics(query, it)]));
    const skipped: SkippedDisk[] = [];
    try {
      for (const info of this.#nodes.describe(query, rest)) {
        try {
          disks.push(this.#keep(info, opened.get(info.devid), checkBlkback));
        } catch (error) {
          if (!(error instanceof XenError)) throw error;
          skipped.push({ disk: info.name, error });
        }
      }
    } finally {
      for (const it of opened.values()) it.close();
    }
    disks.sort((a, b) => a.devid - b.devid);
    this.#all = skipped.length === 0 ? { disks, ...(isUnchanged && { isUnchanged }) } : undefined;
    return { disks, skipped };
  }

  reopen(disk: Disk, query = this.#xenstore.query()): void {
    const now = this.#openDevid(query, disk.devid, checkReadable, disk);
    if (now === disk) return;
    if (now === undefined) throw this.#nodes.noSuchDisk(query, disk.name);
    throw this.#nodes.invalidPath(
      disk.name,
      `it is another disk of domain ${this.#nodes.label} now: open that one`,
    );
  }

  forget(disk: Disk): void {
    if (this.#byDevid.get(disk.devid) === disk) this.#byDevid.delete(disk.devid);
  }

  close(): void {
    for (const disk of this.#byDevid.values()) disk.closeStatistics();
  }

  #open(query: Query, path: string, check: CheckDisk): Disk {
    const isSource = path.startsWith('/');
    const devid = isSource ? this.#nodes.findSource(query, path) : devidOf(path);
    const disk = devid === undefined ? undefined : this.#openDevid(query, devid, check);
    // another disk may have got this devid since the source was found
    if (disk !== undefined && (!isSource || disk.info.source === path)) return disk;
    throw this.#nodes.noSuchDisk(query, path);
  }

  /** The disk with this devid; undefined if there is none. */
  #openDevid(query: Query, devid: number, check: CheckDisk, former?: Disk): Disk | undefined {
    const own = locationOf(this.#host.ownDomid, 'vbd', this.#nodes.domid, devid);
    const disk = this.#openAt(query, own, check, former);
    if (disk !== undefined) return disk;
    // blkback does not serve it here
    const other = this.#nodes.locate(query).find((it) => it.devid === devid);
    return other && this.#openAt(query, other, check, former);
  }

  /** The disk at this location; undefined if there is none. */
  #openAt(query: Query, location: DiskLocation, check: CheckDisk, former?: Disk): Disk | undefined {
    const opened = this.#openStatistics(query, location);
    try {
      const [info] = this.#nodes.describe(query, [location]);
      return info && this.#keep(info, opened, check, former);
    } finally {
      opened.close();
    }
  }

  /** Opens the statistics of a disk. QEMU is asked later: its disks are watched. */
  #openStatistics(query: Query, location: DiskLocation): UnclaimedStatistics {
    if (location.kind === 'qdisk')
      return new UnclaimedStatistics(undefined, this.#nodes.watch(query));
    const { native, vbds } = this.#host;
    const { domid, devid } = location;
    return new UnclaimedStatistics(new native.Vbd(vbds, domid, devid, tapdiskOf(location)));
  }

  /**
   * The disk that reads these statistics: the held one, if it is the same disk, or a new one.
   *
   * @param former - a disk to be opened again: it is preferred to the held one.
   */
  #keep(
    info: DiskInfo,
    opened: UnclaimedStatistics | undefined,
    check: CheckDisk,
    former?: Disk,
  ): Disk {
    check(info, this.#host.ownDomid);
    if (opened === undefined || opened.failure !== 0) {
      throw this.#openError(info, opened?.failure ?? 0);
    }
    const kept = this.#byDevid.get(info.devid);
    const [same] = [former, kept].filter((disk) => disk?.is(info) === true);
    const statistics = opened.release();
    if (same === undefined) {
      const disk = new Disk(this.#host, this, info, statistics);
      this.#replace(kept, disk);
      return disk;
    }
    same.use(info, statistics);
    if (same !== kept) this.#replace(kept, same);
    return same;
  }

  #replace(kept: Disk | undefined, disk: Disk): void {
    kept?.closeStatistics();
    this.#byDevid.set(disk.devid, disk);
  }

  #openError(info: DiskInfo, failure: number): XenError {
    const { domid, name } = info;
    const error = statisticsError(this.#host, info, failure, 'open');
    if (info.source !== undefined) return error;
    return new XenError(
      'ERR_XEN_STATS_UNAVAILABLE',
      `cannot open bus path: disk ${name} of domain ${this.#nodes.label} is an empty drive, which has no statistics`,
      { domid, disk: name, cause: error },
    );
  }
}

/** Statistics that are closed again unless a disk takes them over. */
class UnclaimedStatistics {
  /** Why they are not open; 0 if they are. */
  readonly failure: number;
  readonly #statistics: OpenStatistics;
  #isReleased = false;

  constructor(vbd: Vbd | undefined, isUnchanged = () => false) {
    this.#statistics = { vbd, isUnchanged };
    this.failure = vbd?.open() ?? 0;
  }

  /** Hands them over to a disk. */
  release(): OpenStatistics {
    this.#isReleased = true;
    return this.#statistics;
  }

  close(): void {
    if (!this.#isReleased) this.#statistics.vbd?.close();
  }
}
