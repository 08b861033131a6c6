import { isDeepStrictEqual, types } from 'node:util';
import { isReadable } from '../backends/readable';
import { tapdiskOf } from '../backends/tapdisk';
import { invalidType } from '../errors';
import type { Answer, VbdSet } from '../native';
import {
  DISK_KINDS,
  backendsDirectory,
  isDiskKind,
  kindDirectory,
  type DiskKind,
} from '../xenstore/backend-kinds';
import { childrenOf, toNames, toText } from '../xenstore/client';
import {
  diskNodes,
  isSameDisk,
  locationOf,
  tapdiskNodes,
  toDevids,
  toDiskInfos,
  withTapdiskPids,
  withoutDuplicates,
  type DiskInfo,
  type DiskLocation,
} from '../xenstore/disks';
import { identityPaths, toDomids, toIdentities } from '../xenstore/domains';
import type { WatchingClient } from '../xenstore/watching-client';

/** The number of domains whose disks are listed in one request. */
const DOMAINS_AT_ONCE = 16;

/** The number of vbds that are opened in one turn of the event loop, which takes about a millisecond. */
const VBDS_AT_ONCE = 8;

/**
 * Finds the disks that this domain serves, watches what they depend on, and opens the statistics of those
 * that blkback and tapdisk serve: in slices, so that the event loop is not blocked.
 */
export class DiskScanner {
  /** The domids of the domains to be scanned. A scan removes each one before it reads the domain. */
  readonly changed = new Set<number>();
  readonly #ownDomid: number;
  readonly #client: WatchingClient;
  readonly #vbds: VbdSet;
  readonly #filter: (disk: DiskInfo) => boolean;
  /** The directory of this domain's backends of every kind. */
  readonly #backends: string;
  /** The kinds of backends that this domain has, in the order of their precedence. */
  #kinds: readonly DiskKind[] = ['vbd'];
  /** The wanted disks, by domid and then by devid. */
  readonly #disks = new Map<number, ReadonlyMap<number, DiskInfo>>();
  #filterError: { readonly error: unknown } | undefined;

  /**
   * @param ownDomid - the domain that this process runs in.
   * @param vbds - takes the statistics of the disks that are found.
   * @param filter - returns whether a disk is wanted.
   */
  constructor(
    ownDomid: number,
    client: WatchingClient,
    vbds: VbdSet,
    filter: (disk: DiskInfo) => boolean,
  ) {
    this.#ownDomid = ownDomid;
    this.#client = client;
    this.#vbds = vbds;
    this.#filter = filter;
    this.#backends = backendsDirectory(ownDomid);
  }

  /** The wanted disks, with and without statistics, in the order of domid and devid. */
  get disks(): DiskInfo[] {
    const sorted = [...this.#disks].sort(([a], [b]) => a - b);
    return sorted.flatMap(([, disks]) => [...disks.values()]);
  }

  /** Returns the first error that the filter threw since the last call of this method, if any. */
  takeFilterError(): { readonly error: unknown } | undefined {
    const filterError = this.#filterError;
    this.#filterError = undefined;
    return filterError;
  }

  /**
   * Adds the domain of a watch event to those to be scanned. Returns false if everything must be scanned.
   *
   * @param path - `/local/domain/<own domid>/backend/<kind>/<domid>`, `/local/domain/<domid>/name`, or a
   * directory above them.
   */
  addChanged(path: string): boolean {
    const [, , , first, node, kind, second] = path.split('/');
    // the backends of other kinds of devices are in the same directory
    if (kind !== undefined && !isDiskKind(kind)) return true;
    const domid = node === 'name' ? first : second;
    if (domid === undefined || (kind !== undefined && !this.#kinds.includes(kind))) return false;
    for (const it of toDomids([domid])) this.changed.add(it);
    return true;
  }

  /** Scans the disks of all domains. */
  async scanAll(): Promise<void> {
    await this.#client.request('watch', [this.#backends]);
    const [present] = await this.#client.request('read', [childrenOf(this.#backends)]);
    const kinds = toNames(present);
    this.#kinds = DISK_KINDS.filter((kind) => kinds.includes(kind));
    const directories = this.#kinds.map((kind) => childrenOf(kindDirectory(this.#ownDomid, kind)));
    const lists = await this.#client.request('read', directories);
    const domids = lists.flatMap((names) => toDomids(toNames(names)));
    await this.scan([...new Set([...domids, ...this.#disks.keys()])]);
  }

  /** Scans the disks of these domains. */
  async scan(domids: readonly number[]): Promise<void> {
    for (let i = 0; i < domids.length; i += DOMAINS_AT_ONCE) {
      await this.#scanSome(domids.slice(i, i + DOMAINS_AT_ONCE));
    }
  }

  /** Watches, opens and describes the disks of up to {@link DOMAINS_AT_ONCE} domains. */
  async #scanSome(domids: readonly number[]): Promise<void> {
    const ownDomid = this.#ownDomid;
    for (const domid of domids) this.changed.delete(domid);
    // watched before it is read, so that no change is missed; a driver domain may not read names
    if (ownDomid === 0) await this.#client.request('watch', domids.map(namePath));
    const locations = await this.#locate(domids);
    const vbds = locations.filter(({ kind }) => kind === 'vbd' || kind === 'vbd3');
    const others = locations.filter(({ kind }) => kind !== 'vbd' && kind !== 'vbd3');
    const answers = await this.#openAndRead(vbds);
    const otherAnswers = await this.#client.request('read', diskNodes(others));
    const paths = identityPaths(domids);
    const identities = await this.#client.request('read', paths, ownDomid === 0 ? paths.length : 0);
    this.#client.checkOpen();
    for (const domain of toIdentities(domids, identities)) {
      const described = [
        ...toDiskInfos(domain, vbds, answers),
        ...toDiskInfos(domain, others, otherAnswers),
      ];
      this.#update(domain.domid, described);
    }
    const isUnwanted = ({ domid, devid }: DiskLocation) => {
      const disk = this.#disks.get(domid)?.get(devid);
      return disk === undefined || !isReadable(disk, ownDomid);
    };
    this.#vbds.discard(toKeys(vbds.filter(isUnwanted)));
    const gone = domids.filter((domid) => !locations.some((it) => it.domid === domid));
    await this.#client.request('unwatch', gone.map(namePath));
  }

  /** Finds the disks of domains. */
  async #locate(domids: readonly number[]): Promise<DiskLocation[]> {
    const directories = domids.flatMap((domid) => this.#kinds.map((kind) => ({ domid, kind })));
    const lists = await this.#client.request(
      'read',
      directories.map(({ domid, kind }) =>
        childrenOf(`${kindDirectory(this.#ownDomid, kind)}/${domid}`),
      ),
    );
    const all = directories.flatMap(({ domid, kind }, i) =>
      toDevids(toNames(lists[i])).map((devid) => locationOf(this.#ownDomid, kind, domid, devid)),
    );
    // the kind that comes first takes precedence
    const locations = withoutDuplicates(all);
    const pids = await this.#client.request('read', tapdiskNodes(locations));
    return withTapdiskPids(locations, pids.map(toText));
  }

  /**
   * Opens vbds and then reads their nodes. The client's thread reads the nodes of some vbds while the event
   * loop opens the next ones.
   */
  async #openAndRead(vbds: readonly DiskLocation[]): Promise<Answer[]> {
    const answers: Answer[] = [];
    const open = (first: number) => {
      this.#client.checkOpen();
      const slice = vbds.slice(first, first + VBDS_AT_ONCE);
      this.#vbds.prepare(toKeys(slice));
      return slice;
    };
    for (let i = 0, slice = open(0), next; slice.length > 0; slice = next) {
      const request = this.#client.request('read', diskNodes(slice));
      next = open((i += VBDS_AT_ONCE));
      answers.push(...(await request));
    }
    return answers;
  }

  /** Replaces the disks of one domain. Omits unwanted disks, and empty drives. */
  #update(domid: number, described: readonly DiskInfo[]): void {
    const wanted = described
      .filter(({ source }) => source !== undefined)
      .flatMap((disk) => this.#select(disk))
      .sort((a, b) => a.devid - b.devid);
    if (wanted.length === 0) this.#disks.delete(domid);
    else this.#disks.set(domid, new Map(wanted.map((disk) => [disk.devid, disk])));
  }

  /** Returns the disk if it is wanted: the known object if nothing has changed. */
  #select(described: DiskInfo): DiskInfo[] {
    const { domid, devid } = described;
    const known = this.#disks.get(domid)?.get(devid);
    if (known !== undefined && !isSameDisk(known, described)) {
      // another disk has replaced it: this scan removes the old one, and the next one opens the new one
      this.changed.add(domid);
      return [];
    }
    const disk = known !== undefined && isDeepStrictEqual(known, described) ? known : described;
    try {
      return this.#isWanted(disk) ? [disk] : [];
    } catch (error) {
      // only this disk is affected: it stays as it is until the next scan
      this.#filterError ??= { error };
      this.changed.add(domid);
      return known === undefined ? [] : [known];
    }
  }

  #isWanted(disk: DiskInfo): boolean {
    const isWanted: unknown = this.#filter(disk);
    // a promise is truthy, and would select every disk
    if (types.isPromise(isWanted)) {
      throw invalidType('options.filter', 'a function that returns a boolean', isWanted);
    }
    return Boolean(isWanted);
  }
}

/** The keys of vbds, as the addon takes them. */
export function toKeys(
  vbds: readonly Pick<DiskLocation, 'domid' | 'devid' | 'kind' | 'tapdiskPid'>[],
): Uint32Array {
  return Uint32Array.from(vbds.flatMap((vbd) => [vbd.domid, vbd.devid, tapdiskOf(vbd)]));
}

function namePath(domid: number): string {
  return `/local/domain/${domid}/name`;
}
