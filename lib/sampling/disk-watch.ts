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

/** Domains whose disks are listed in one request. */
const DOMAINS_AT_ONCE = 16;

/**
 * Vbds that are opened in one turn of the event loop: less than a millisecond, or some milliseconds for
 * the first ones, whose files the kernel has to look up.
 */
const VBDS_AT_ONCE = 8;

/** The delay of the next scan after a failure, in milliseconds. It doubles with each failure. */
const FIRST_RETRY_MS = 10;
const LAST_RETRY_MS = 1000;

/** A vbd that may be a disk. */
export type VbdKey = Pick<DiskLocation, 'domid' | 'devid'>;

/** What a {@link DiskWatch} needs, and whom it tells. */
export interface DiskWatchOptions {
  readonly host: Host;
  /** Which disks are wanted. */
  readonly filter: (disk: DiskInfo) => boolean;
  /** Called with vbds before xenstore is asked what they are: see VbdSet in binding/. */
  readonly prepare: (vbds: readonly VbdKey[]) => void;
  /** Called with those of the prepared vbds that are not wanted. */
  readonly discard: (vbds: readonly VbdKey[]) => void;
  /** Called with all disks, by domid and devid, after each scan. Must not throw. */
  readonly update: (disks: DiskInfo[]) => void;
}

/**
 * Keeps the disks that blkback serves here up to date. Scans all of them at its start, and from then on
 * the domains that xenstore's watch events are about. xenstored is asked on a thread, so that the event
 * loop never waits for it. When the connection is lost it makes a new one, and scans everything.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #client: WatchingClient;
  readonly #directory: string;
  /** The wanted disks, by domid and devid. */
  readonly #disks = new Map<number, ReadonlyMap<number, DiskInfo>>();
  /** The paths that are watched on this connection. */
  readonly #watched = new Set<string>();
  /** Domains to be scanned. */
  readonly #changed = new Set<number>();
  #scanEverything = true;
  /** Whether everything has been scanned on this connection, and is watched. */
  #isCurrent = false;
  #isScanning = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: NodeJS.Timeout | undefined;
  #keepsAlive = false;
  #isClosed = false;
  /** Ends {@link DiskWatch.start}. */
  #abort: (error: XenError) => void = () => undefined;
  /** What the filter threw in this scan, if it did. */
  #thrown: { readonly error: unknown } | undefined;

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
   * Scans everything for the first time. The process goes on until it is done.
   *
   * @throws XenError if that fails or takes longer than the connection's timeout; what the filter throws.
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
    if (this.#thrown !== undefined) throw this.#thrown.error;
    this.#work();
  }

  /** Whether everything has been scanned, and xenstored answers and tells what changes. */
  get isCurrent(): boolean {
    return this.#isCurrent && !this.#client.isLate;
  }

  /** Scans these domains again. */
  scan(domids: Iterable<number>): void {
    for (const domid of domids) this.#changed.add(domid);
    this.#work();
  }

  /** Whether the process goes on for this. */
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
    for (const path of changed) this.#note(path);
    if (lost) {
      this.#setStale();
      this.#watched.clear();
    }
    this.#work();
  }

  /** Has everything scanned again: until then, changes may have been missed. */
  #setStale(): void {
    this.#scanEverything = true;
    this.#isCurrent = false;
  }

  /** `/local/domain/0/backend/vbd/<domid>` or `/local/domain/<domid>/name`, or a directory above them. */
  #note(path: string): void {
    const name = /^\/local\/domain\/(\d+)\/name$/.exec(path);
    const domid = name ? name[1] : path.split('/')[6];
    if (domid === undefined) this.#scanEverything = true;
    else for (const it of toDomids([domid])) this.#changed.add(it);
  }

  /** Begins the next scan, unless one is under way or has to wait. */
  #work(): void {
    if (this.#isScanning || this.#retry !== undefined || this.#isClosed) return;
    if (this.#scanEverything) {
      void this.#run(() => this.#scanAll());
    } else if (this.#changed.size > 0) {
      void this.#run(() => this.#scanDomains([...this.#changed]));
    }
  }

  async #run(scan: () => Promise<void>): Promise<void> {
    this.#isScanning = true;
    let isDone = false;
    try {
      await scan();
      isDone = this.#thrown === undefined;
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      this.#setStale();
    } finally {
      this.#isScanning = false;
    }
    if (this.#isClosed) return;
    const thrown = this.#thrown;
    this.#thrown = undefined;
    if (isDone) this.#retryMs = FIRST_RETRY_MS;
    else this.#retryLater();
    this.#work();
    if (thrown !== undefined) throwUncaught(thrown.error);
  }

  #retryLater(): void {
    const ref = new WeakRef(this);
    this.#retry = setTimeout(() => {
      const self = ref.deref();
      if (self === undefined) return;
      self.#retry = undefined;
      self.#work();
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

  /** Describes the disks of these domains, and tells of all disks then. */
  async #scanDomains(domids: readonly number[]): Promise<void> {
    for (let i = 0; i < domids.length; i += DOMAINS_AT_ONCE) {
      await this.#describe(domids.slice(i, i + DOMAINS_AT_ONCE));
    }
    const sorted = [...this.#disks].sort(([a], [b]) => a - b);
    this.#options.update(sorted.flatMap(([, disks]) => [...disks.values()]));
  }

  async #describe(domids: readonly number[]): Promise<void> {
    const { ownDomid } = this.#options.host;
    for (const domid of domids) this.#changed.delete(domid);
    // before it is read, so that no change is missed; a driver domain may not read names
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
      this.#take(domain.domid, toDiskInfos(domain, vbds, values));
    }
    this.#options.discard(
      vbds.filter(({ domid, devid }) => this.#disks.get(domid)?.has(devid) !== true),
    );
    const gone = domids.filter((domid) => !vbds.some((vbd) => vbd.domid === domid));
    await this.#unwatch(gone.map(namePath));
  }

  /** Opens vbds, and then reads what they are: the thread does that while the next ones are opened. */
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

  /** Takes the disks of one domain, of which blkback has counters and which are wanted. */
  #take(domid: number, described: readonly DiskInfo[]): void {
    const wanted = described
      .filter(({ format, source }) => format === 'raw' && source !== undefined)
      .flatMap((disk) => this.#accept(disk));
    if (wanted.length === 0) this.#disks.delete(domid);
    else this.#disks.set(domid, new Map(wanted.map((disk) => [disk.devid, disk])));
  }

  /** The disk, if it is wanted. The object that is known, if nothing has changed. */
  #accept(described: DiskInfo): DiskInfo[] {
    const { domid, devid } = described;
    const known = this.#disks.get(domid)?.get(devid);
    if (known !== undefined && !isSameDisk(known, described)) {
      // another disk in its place: it goes now, and the next scan opens the other one
      this.#changed.add(domid);
      return [];
    }
    const disk = known !== undefined && isDeepStrictEqual(known, described) ? known : described;
    try {
      return this.#isWanted(disk) ? [disk] : [];
    } catch (error) {
      // it costs this disk, until the next scan
      this.#thrown ??= { error };
      this.#changed.add(domid);
      return known === undefined ? [] : [known];
    }
  }

  #isWanted(disk: DiskInfo): boolean {
    const isWanted: unknown = this.#options.filter(disk);
    // a promise would let every disk pass
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

/** Throws where no caller of this package is: it is an uncaught exception, as with every event. */
export function throwUncaught(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
