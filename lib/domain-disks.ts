import { devicesDirectory, statisticsError } from './backends/blkback';
import { Disk, checkReadable, type DiskOwner } from './disk';
import { devidOf } from './disk-name';
import { XenError } from './errors';
import type { Host } from './host';
import { Counter, NUMBERS, type Vbd } from './native';
import type { Query, XenstoreClient } from './xenstore/client';
import {
  diskNodes,
  locateDisks,
  ownLocation,
  toDiskInfos,
  type DiskInfo,
  type DiskLocation,
} from './xenstore/disks';
import {
  confirmRunning,
  identityNodes,
  isSameDomain,
  toIdentities,
  type DomainIdentity,
} from './xenstore/domains';

/** A disk that could not be opened, and why. */
export interface SkippedDisk {
  readonly disk: string;
  readonly error: XenError;
}

/** How many paths are remembered with the disk that they are: disks have few names. */
const MAX_PATHS = 1024;

/**
 * Finds the disks of one domain, and holds those that are open.
 *
 * The statistics of a disk are opened before xenstore is asked what the disk is. The kernel makes a
 * device after its nodes, and a descriptor never goes over to another device: what is open is the disk
 * that is described afterwards, or it is removed, and reading it fails.
 */
export class DomainDisks implements DiskOwner {
  readonly #host: Host;
  readonly #xenstore: XenstoreClient;
  #identity: DomainIdentity;
  readonly #byDevid = new Map<number, Disk>();
  /** By every path that they were asked for by. */
  readonly #byPath = new Map<string, Disk>();

  constructor(host: Host, xenstore: XenstoreClient, identity: DomainIdentity) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#identity = identity;
  }

  get domid(): number {
    return this.#identity.domid;
  }

  /** The domain, as xenstore last described it. */
  get identity(): DomainIdentity {
    return this.#identity;
  }

  /** What the domain is called in errors. */
  get label(): string {
    return this.#identity.name ?? String(this.domid);
  }

  /** Takes a newer description of the domain, if it is the same domain. */
  update(identity: DomainIdentity): boolean {
    const isSame = isSameDomain(this.#identity, identity);
    if (isSame) this.#identity = identity;
    return isSame;
  }

  /** @throws XenError `ERR_XEN_DOMAIN_NOT_RUNNING`. */
  checkRunning(): void {
    this.#describe(this.#xenstore.query(), []);
  }

  /** What all disks are. */
  describeAll(query = this.#xenstore.query()): DiskInfo[] {
    return this.#describe(query, this.#locate(query));
  }

  /** The disk that was opened by this path. It may be gone since. */
  known(path: string): Disk | undefined {
    return this.#byPath.get(path);
  }

  /**
   * Opens the disk with this path.
   *
   * @throws XenError if there is no such disk, or if its statistics cannot be opened.
   */
  open(query: Query, path: string): Disk {
    let disk = this.#open(query, path);
    // another one may have taken its place while it was described
    if (!disk.tryFill(NUMBERS, Counter.rdReq)) disk = this.#open(query, path);
    if (this.#byPath.size >= MAX_PATHS) this.#byPath.clear();
    this.#byPath.set(path, disk);
    return disk;
  }

  /** Opens all disks, and gives those that could not be opened apart. */
  openAll(query: Query): { disks: Disk[]; skipped: SkippedDisk[] } {
    const locations = this.#locate(query);
    const disks = locations.flatMap(({ devid, backend }) => {
      const held = this.#byDevid.get(devid);
      const isHeld = held?.info.backend === backend && held.tryFill(NUMBERS, Counter.rdReq);
      return isHeld ? [held] : [];
    });
    const rest = locations.filter(({ devid }) => !disks.some((disk) => disk.devid === devid));
    const vbds = new Map(rest.map(({ devid }) => [devid, this.#openVbd(devid)]));
    const skipped: SkippedDisk[] = [];
    try {
      for (const info of this.#describe(query, rest)) {
        try {
          disks.push(this.#keep(info, vbds.get(info.devid)));
        } catch (error) {
          if (!(error instanceof XenError)) throw error;
          skipped.push({ disk: info.name, error });
        }
      }
    } finally {
      for (const vbd of vbds.values()) vbd.close();
    }
    return { disks: disks.sort((a, b) => a.devid - b.devid), skipped };
  }

  reopen(disk: Disk, query = this.#xenstore.query()): void {
    const now = this.#openDevid(query, disk.devid, disk);
    if (now === disk) return;
    if (now === undefined) throw this.#noSuchDisk(query, disk.name);
    throw this.#invalidPath(
      disk.name,
      `it is another disk of domain ${this.label} now: open that one`,
    );
  }

  close(): void {
    for (const disk of this.#byDevid.values()) disk.close();
    this.#byDevid.clear();
    this.#byPath.clear();
  }

  #open(query: Query, path: string): Disk {
    const isSource = path.startsWith('/');
    const devid = isSource ? this.#findSource(query, path) : devidOf(path);
    const disk = devid === undefined ? undefined : this.#openDevid(query, devid);
    // the source may be another disk's since it was found
    if (disk !== undefined && (!isSource || disk.info.source === path)) return disk;
    throw this.#noSuchDisk(query, path);
  }

  /** The disk with this devid; undefined if there is none. */
  #openDevid(query: Query, devid: number, former?: Disk): Disk | undefined {
    const vbd = this.#openVbd(devid);
    try {
      const own = ownLocation(this.#host.ownDomid, 'vbd', this.domid, devid);
      let [info] = this.#describe(query, [own]);
      if (info === undefined) {
        // blkback does not serve it here
        const located = this.#locate(query).filter((disk) => disk.devid === devid);
        [info] = this.#describe(query, located);
      }
      return info && this.#keep(info, vbd, former);
    } finally {
      vbd.close();
    }
  }

  #locate(query: Query): DiskLocation[] {
    return locateDisks(query, this.#host.ownDomid, this.domid);
  }

  /**
   * What these disks are, of a domain that is running; one that has gone meanwhile is left out.
   *
   * @throws XenError `ERR_XEN_DOMAIN_NOT_RUNNING`.
   */
  #describe(query: Query, locations: readonly DiskLocation[]): DiskInfo[] {
    const { ownDomid } = this.#host;
    const disks = diskNodes(locations);
    // the domain last: if it is the same, the disks are its disks
    const nodes = [...disks, ...identityNodes([this.domid])];
    // xenstored does not tell a driver domain
    const values = query.read(nodes, ownDomid === 0 ? nodes.length : disks.length);
    const [identity] = toIdentities([this.domid], values.slice(disks.length));
    const running = identity && confirmRunning(query, ownDomid, identity);
    if (running === undefined || !this.update(running)) {
      this.close();
      throw new XenError(
        'ERR_XEN_DOMAIN_NOT_RUNNING',
        `domain is not running (${this.label}, which had the domid ${this.domid})`,
        { domid: this.domid },
      );
    }
    return toDiskInfos(running, locations, values);
  }

  #openVbd(devid: number): OpenedVbd {
    const { native, sysfs } = this.#host;
    return new OpenedVbd(new native.Vbd(devicesDirectory(sysfs), this.domid, devid));
  }

  /**
   * The disk that reads from these statistics: the one that there is, if it is that disk, or a new one.
   *
   * @param former - a disk to be opened again: it goes before the one that there is.
   */
  #keep(info: DiskInfo, opened: OpenedVbd | undefined, former?: Disk): Disk {
    checkReadable(info, this.#host.ownDomid);
    if (opened === undefined || opened.failure !== 0) {
      throw this.#openError(info, opened?.failure ?? 0);
    }
    const kept = this.#byDevid.get(info.devid);
    const [same] = [former, kept].filter((disk) => disk?.is(info) === true);
    const vbd = opened.release();
    if (same === undefined) {
      const disk = new Disk(this.#host, this, info, vbd);
      this.#replace(kept, disk);
      return disk;
    }
    same.use(info, vbd);
    if (same !== kept) this.#replace(kept, same);
    return same;
  }

  #replace(kept: Disk | undefined, disk: Disk): void {
    kept?.close();
    for (const [path, other] of this.#byPath) if (other === kept) this.#byPath.delete(path);
    this.#byDevid.set(disk.devid, disk);
  }

  #openError(info: DiskInfo, failure: number): XenError {
    const { domid, name } = info;
    const error = statisticsError(this.#host.sysfs, info, failure, 'open');
    if (info.source !== undefined) return error;
    return new XenError(
      'ERR_XEN_STATS_UNAVAILABLE',
      `cannot open bus path: disk ${name} of domain ${this.label} is an empty drive, which has no statistics`,
      { domid, disk: name, cause: error },
    );
  }

  #findSource(query: Query, path: string): number | undefined {
    const matching = this.describeAll(query).filter(({ source }) => source === path);
    if (matching.length > 1) {
      throw this.#invalidPath(
        path,
        `it is the source of ${listNames(matching)} of domain ${this.label}`,
      );
    }
    return matching[0]?.devid;
  }

  #noSuchDisk(query: Query, path: string): XenError {
    const disks = this.describeAll(query);
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

/** Statistics that are closed again unless a disk takes them over. */
class OpenedVbd {
  /** Why they are not open: 0 if they are. */
  readonly failure: number;
  #vbd: Vbd | undefined;

  constructor(vbd: Vbd) {
    this.#vbd = vbd;
    this.failure = vbd.open();
  }

  /** Hands them over to a disk. */
  release(): Vbd {
    const vbd = this.#vbd;
    if (vbd === undefined) throw new Error('these statistics have been handed over');
    this.#vbd = undefined;
    return vbd;
  }

  close(): void {
    this.#vbd?.close();
  }
}

function listNames(disks: readonly DiskInfo[]): string {
  return disks.map(({ name }) => name).join(', ');
}
