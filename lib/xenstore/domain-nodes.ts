import { XenError } from '../errors';
import { backendsDirectory } from './backend-kinds';
import type { Query } from './client';
import {
  LIBXL_DIRECTORY,
  diskNodes,
  locateDisks,
  toDiskInfos,
  type DiskInfo,
  type DiskLocation,
} from './disks';
import {
  confirmRunning,
  identityNodes,
  isSameDomain,
  toIdentities,
  type DomainIdentity,
} from './domains';

/** A running domain and its disks in xenstore. Finds a disk by its source, and says which there are. */
export class DomainNodes {
  readonly #ownDomid: number;
  readonly #onGone: () => void;
  #identity: DomainIdentity;

  /**
   * @param ownDomid - the domain that this process runs in.
   * @param onGone - called when the domain does not run any more.
   */
  constructor(ownDomid: number, identity: DomainIdentity, onGone: () => void) {
    this.#ownDomid = ownDomid;
    this.#identity = identity;
    this.#onGone = onGone;
  }

  get domid(): number {
    return this.#identity.domid;
  }

  /** The identity of the domain, as xenstored last described it. */
  get identity(): DomainIdentity {
    return this.#identity;
  }

  /** The name of the domain in errors. */
  get label(): string {
    return this.#identity.name ?? String(this.domid);
  }

  /** Takes a newer identity, if it is the same domain's. Returns whether it is. */
  update(identity: DomainIdentity): boolean {
    const isSame = isSameDomain(this.#identity, identity);
    if (isSame) this.#identity = identity;
    return isSame;
  }

  /** Watches the nodes that identify the domain and those of all disks: see {@link Query.watch}. */
  watch(query: Query): () => boolean {
    // a driver domain may not read the other ones
    const more = this.#ownDomid === 0 ? [LIBXL_DIRECTORY, ...identityNodes([this.domid])] : [];
    return query.watch([backendsDirectory(this.#ownDomid), ...more]);
  }

  /** Locates all disks, without reading what they are. */
  locate(query: Query): DiskLocation[] {
    return locateDisks(query, this.#ownDomid, this.domid);
  }

  /**
   * Describes these disks, in one request. A disk that has been detached is left out.
   *
   * @throws XenError `ERR_XEN_DOMAIN_NOT_RUNNING`.
   */
  describe(query: Query, locations: readonly DiskLocation[]): DiskInfo[] {
    const disks = diskNodes(locations);
    // the domain's nodes are read last: if it is the same domain then, the disks are its disks
    const nodes = [...disks, ...identityNodes([this.domid])];
    // xenstored refuses a driver domain the domain's nodes
    const values = query.read(nodes, this.#ownDomid === 0 ? nodes.length : disks.length);
    const [identity] = toIdentities([this.domid], values.slice(disks.length));
    const running = identity && confirmRunning(query, this.#ownDomid, identity);
    if (running !== undefined && this.update(running)) {
      return toDiskInfos(running, locations, values);
    }
    this.#onGone();
    throw new XenError(
      'ERR_XEN_DOMAIN_NOT_RUNNING',
      `domain is not running (${this.label}, which had the domid ${this.domid})`,
      { domid: this.domid },
    );
  }

  /** Describes all disks. @throws as {@link DomainNodes.describe}. */
  describeAll(query: Query): DiskInfo[] {
    return this.describe(query, this.locate(query));
  }

  /**
   * The devid of the disk with this source; undefined if there is none.
   *
   * @throws XenError `ERR_XEN_INVALID_DISK` if several disks have it.
   */
  findSource(query: Query, path: string): number | undefined {
    const matching = this.describeAll(query).filter(({ source }) => source === path);
    if (matching.length > 1) {
      throw this.invalidPath(
        path,
        `it is the source of ${listNames(matching)} of domain ${this.label}`,
      );
    }
    return matching[0]?.devid;
  }

  /** The error for a path that no disk has: it lists the disks that there are. */
  noSuchDisk(query: Query, path: string): XenError {
    const disks = this.describeAll(query);
    const what = disks.length === 0 ? 'no disks' : listNames(disks);
    return this.invalidPath(path, `domain ${this.label} has ${what}`);
  }

  /** The error for a path that is not of one disk. */
  invalidPath(path: string, why: string): XenError {
    return new XenError('ERR_XEN_INVALID_DISK', `invalid path: ${path} (${why})`, {
      domid: this.domid,
      disk: path,
    });
  }
}

function listNames(disks: readonly DiskInfo[]): string {
  return disks.map(({ name }) => name).join(', ');
}
