import { constants } from 'node:os';
import { isDeepStrictEqual, types } from 'node:util';
import { XenError, invalidType } from '../errors';
import type { Host } from '../host';
import { kindDirectory } from '../xenstore/backend-kinds';
import { toNames, toText, xenstoreError, type NodeText } from '../xenstore/client';
import {
  diskNodes,
  isSameDisk,
  ownLocation,
  toDevids,
  toDiskInfos,
  type DiskInfo,
  type DiskLocation,
} from '../xenstore/disks';
import { identityNodes, toDomids, toIdentities } from '../xenstore/domains';
import { WatchingClient } from '../xenstore/watching-client';

/** The number of domains whose disks are listed in one request. */
const DOMAINS_AT_ONCE = 16;

/**
 * The number of vbds that are opened in one turn of the event loop. It takes less than a millisecond, or
 * some milliseconds for the first ones, whose files the kernel has to look up.
 */
const VBDS_AT_ONCE = 8;

/** The delay of a retry after a failed scan, in milliseconds. It doubles with each failure, up to the longest. */
const FIRST_RETRY_MS = 10;
const LAST_RETRY_MS = 1000;

/** The key of a vbd. */
export type VbdKey = Pick<DiskLocation, 'domid' | 'devid'>;

/** The options and callbacks of a {@link DiskWatch}. */
export interface DiskWatchOptions {
  readonly host: Host;
  /** Returns whether a disk is wanted. */
  readonly filter: (disk: DiskInfo) => boolean;
  /** Called with candidate vbds before their xenstore nodes are read: see VbdSet in binding/vbd_set.h. */
  readonly prepare: (vbds: readonly VbdKey[]) => void;
  /** Called with prepared vbds that are not wanted. */
  readonly discard: (vbds: readonly VbdKey[]) => void;
  /** Called after each scan with all disks, in the order of domid and devid. Must not throw. */
  readonly update: (disks: DiskInfo[]) => void;
}

/**
 * Tracks the disks that blkback in this domain serves. Scans all of them at its start, and afterwards the
 * domains of watch events. The requests run on a thread, so that the event loop never waits for xenstored.
 * Reconnects when the connection is lost, and scans everything again.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #client: WatchingClient;
  readonly #directory: string;
  /** The wanted disks, by domid and then by devid. */
  readonly #disks = new Map<number, ReadonlyMap<number, DiskInfo>>();
  /** The paths that are watched on the present connection. */
  readonly #watched = new Set<string>();
  /** The domids of the domains to be scanned. */
  readonly #changed = new Set<number>();
  #scanEverything = true;
  /** Whether everything is watched and has been scanned on the present connection. */
  #isCurrent = false;
  #isScanning = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: NodeJS.Timeout | undefined;
  #keepsAlive = false;
  #isClosed = false;
  /** Rejects {@link DiskWatch.start}. */
  #abort: (error: XenError) => void = () => undefined;
  /** The error that the filter threw during this scan, if any. */
  #filterError: { readonly error: unknown } | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#directory = kindDirectory(options.host.ownDomid, 'vbd');
    const ref = new WeakRef(this);
    this.#client = new WatchingClient(options.host, (changed, lost) => {
      const self = ref.deref();
      if (self !== undefined) self.#onEvents(changed, lost);
    });
  }

  /**
   * Scans everything for the first time. Keeps the process alive meanwhile.
   *
   * @throws XenError if the scan fails or exceeds the connection's timeout; errors of the filter.
   */
  async start(): Promise<void> {
    const { timeoutMs } = this.#options.host;
    const aborted = new Promise<never>((_resolve, reject) => {
      this.#abort = reject;
    });
    const timer = setTimeout(() => {
      const error = xenstoreError(
        { failure: 'timeout', errno: constants.errno.ETIMEDOUT },
        timeoutMs,
      );
      this.#abort(error);
    }, timeoutMs);
    this.#isScanning = true;
    try {
      await Promise.race([aborted, this.#scanAll()]);
    } finally {
      clearTimeout(timer);
      this.#isScanning = false;
    }
    if (this.#filterError !== undefined) throw this.#filterError.error;
    this.#scanNext();
  }

  /** Whether everything is watched and has been scanned, and xenstored responds. */
  get isCurrent(): boolean {
    return this.#isCurrent && !this.#client.isHung;
  }

  /** Scans these domains again. */
  scan(domids: Iterable<number>): void {
    for (const domid of domids) this.#changed.add(domid);
    this.#scanNext();
  }

  /** Sets whether the watch keeps the process alive. */
  keepAlive(alive: boolean): void {
    this.#keepsAlive = alive;
    this.#client.keepAlive(alive);
    if (alive) this.#retry?.ref();
    else this.#retry?.unref();
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
    clearTimeout(this.#retry);
    this.#abort(closedError());
  }

  #onEvents(changed: readonly string[], lost: boolean): void {
    for (const path of changed) this.#addChanged(path);
    if (lost) {
      this.#setStale();
      this.#watched.clear();
    }
    this.#scanNext();
  }

  /** Requires a scan of everything, because watch events may have been missed. */
  #setStale(): void {
    this.#scanEverything = true;
    this.#isCurrent = false;
  }

  /**
   * Requires a scan of the domain of a watch event.
   *
   * @param path - `/local/domain/0/backend/vbd/<domid>`, `/local/domain/<domid>/name`, or a directory above
   * them, which requires a scan of everything.
   */
  #addChanged(path: string): void {
    const name = /^\/local\/domain\/(\d+)\/name$/.exec(path);
    const domid = name ? name[1] : path.split('/')[6];
    if (domid === undefined) this.#scanEverything = true;
    else for (const it of toDomids([domid])) this.#changed.add(it);
  }

  /** Begins the next scan, unless one is running or a retry is scheduled. */
  #scanNext(): void {
    if (this.#isScanning || this.#retry !== undefined || this.#isClosed) return;
    if (this.#scanEverything) {
      void this.#run(() => this.#scanAll());
    } else if (this.#changed.size > 0) {
      void this.#run(() => this.#scanDomains([...this.#changed]));
    }
  }

  /** Runs a scan, and schedules a retry if it fails. */
  async #run(scan: () => Promise<void>): Promise<void> {
    this.#isScanning = true;
    let isDone = false;
    try {
      await scan();
      isDone = this.#filterError === undefined;
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      this.#setStale();
    } finally {
      this.#isScanning = false;
    }
    if (this.#isClosed) return;
    const filterError = this.#filterError;
    this.#filterError = undefined;
    if (isDone) this.#retryMs = FIRST_RETRY_MS;
    else this.#scheduleRetry();
    this.#scanNext();
    if (filterError !== undefined) throwUncaught(filterError.error);
  }

  #scheduleRetry(): void {
    const ref = new WeakRef(this);
    this.#retry = setTimeout(() => {
      const self = ref.deref();
      if (self === undefined) return;
      self.#retry = undefined;
      self.#scanNext();
    }, this.#retryMs);
    if (!this.#keepsAlive) this.#retry.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
  }

  async #scanAll(): Promise<void> {
    this.#scanEverything = false;
    await this.#watch([this.#directory]);
    const [names] = await this.#client.request('directory', [this.#directory]);
    await this.#scanDomains([...new Set([...toDomids(toNames(names)), ...this.#disks.keys()])]);
    this.#isCurrent = !this.#scanEverything;
  }

  /** Scans the disks of these domains, and then reports all disks. */
  async #scanDomains(domids: readonly number[]): Promise<void> {
    for (let i = 0; i < domids.length; i += DOMAINS_AT_ONCE) {
      await this.#scanSome(domids.slice(i, i + DOMAINS_AT_ONCE));
    }
    const sorted = [...this.#disks].sort(([a], [b]) => a - b);
    this.#options.update(sorted.flatMap(([, disks]) => [...disks.values()]));
  }

  /** Watches, opens and describes the disks of up to {@link DOMAINS_AT_ONCE} domains. */
  async #scanSome(domids: readonly number[]): Promise<void> {
    const { ownDomid } = this.#options.host;
    for (const domid of domids) this.#changed.delete(domid);
    // watched before it is read, so that no change is missed; a driver domain may not read names
    if (ownDomid === 0) await this.#watch(domids.map(namePath));
    const lists = await this.#client.request(
      'directory',
      domids.map((domid) => `${this.#directory}/${domid}`),
    );
    const vbds = domids.flatMap((domid, i) =>
      toDevids(toNames(lists[i]))
        .sort((a, b) => a - b)
        .map((devid) => ownLocation(ownDomid, 'vbd', domid, devid)),
    );
    const values = await this.#openAndRead(vbds);
    const names = identityNodes(domids);
    const answers = await this.#client.request('read', names, ownDomid === 0 ? 0 : names.length);
    if (this.#isClosed) throw closedError();
    for (const domain of toIdentities(domids, answers.map(toText))) {
      this.#update(domain.domid, toDiskInfos(domain, vbds, values));
    }
    this.#options.discard(
      vbds.filter(({ domid, devid }) => this.#disks.get(domid)?.has(devid) !== true),
    );
    const gone = domids.filter((domid) => !vbds.some((vbd) => vbd.domid === domid));
    await this.#unwatch(gone.map(namePath));
  }

  /**
   * Opens vbds and then reads their nodes. The client's thread reads the nodes of some vbds while the event
   * loop opens the next ones.
   */
  async #openAndRead(vbds: readonly DiskLocation[]): Promise<NodeText[]> {
    const values: NodeText[] = [];
    const open = (first: number) => {
      if (this.#isClosed) throw closedError();
      const slice = vbds.slice(first, first + VBDS_AT_ONCE);
      this.#options.prepare(slice);
      return slice;
    };
    for (let i = 0, slice = open(0), next; slice.length > 0; slice = next) {
      const answers = this.#client.request('read', diskNodes(slice));
      next = open((i += VBDS_AT_ONCE));
      values.push(...(await answers).map(toText));
    }
    return values;
  }

  /** Replaces the disks of one domain. Omits unwanted disks, and those that have no statistics. */
  #update(domid: number, described: readonly DiskInfo[]): void {
    const wanted = described
      .filter(({ format, source }) => format === 'raw' && source !== undefined)
      .flatMap((disk) => this.#select(disk));
    if (wanted.length === 0) this.#disks.delete(domid);
    else this.#disks.set(domid, new Map(wanted.map((disk) => [disk.devid, disk])));
  }

  /** Returns the disk if it is wanted: the known object if nothing has changed. */
  #select(described: DiskInfo): DiskInfo[] {
    const { domid, devid } = described;
    const known = this.#disks.get(domid)?.get(devid);
    if (known !== undefined && !isSameDisk(known, described)) {
      // another disk has replaced it: this scan removes the old one, and the next one opens the new one
      this.#changed.add(domid);
      return [];
    }
    const disk = known !== undefined && isDeepStrictEqual(known, described) ? known : described;
    try {
      return this.#isWanted(disk) ? [disk] : [];
    } catch (error) {
      // only this disk is affected: it stays as it is until the next scan
      this.#filterError ??= { error };
      this.#changed.add(domid);
      return known === undefined ? [] : [known];
    }
  }

  #isWanted(disk: DiskInfo): boolean {
    const isWanted: unknown = this.#options.filter(disk);
    // a promise is truthy, and would select every disk
    if (types.isPromise(isWanted)) {
      throw invalidType('options.filter', 'a function that returns a boolean', isWanted);
    }
    return Boolean(isWanted);
  }

  async #watch(paths: readonly string[]): Promise<void> {
    const unwatched = paths.filter((path) => !this.#watched.has(path));
    await this.#client.request('watch', unwatched);
    for (const path of unwatched) this.#watched.add(path);
  }

  async #unwatch(paths: readonly string[]): Promise<void> {
    const watched = paths.filter((path) => this.#watched.delete(path));
    await this.#client.request('unwatch', watched);
  }
}

function namePath(domid: number): string {
  return `/local/domain/${domid}/name`;
}

function closedError(): XenError {
  return new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
}

/** Throws an error of a listener or filter as an uncaught exception, as EventEmitter does in a callback. */
export function throwUncaught(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
