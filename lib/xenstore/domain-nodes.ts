import { XenError } from '../errors';
import type { Answer } from '../native';
import { backendsDirectory } from './backend-kinds';
import { childrenOf, toChildren, toNames, type Query } from './client';
import {
  LIBXL_DIRECTORY,
  diskDirectories,
  diskNodes,
  locateOthers,
  locateVbds,
  toDiskInfos,
  type DiskInfo,
  type DiskLocation,
} from './disks';
import {
  confirmRunning,
  identityNodes,
  identityPaths,
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
    const directories = diskDirectories(this.#ownDomid, this.domid);
    const required = this.#ownDomid === 0 ? directories.length : 1;
    const [names = [], ...libxl] = query.list(directories, required);
    const vbds = locateVbds(this.#ownDomid, this.domid, names);
    const others = locateOthers(query, this.#ownDomid, this.domid, vbds, libxl);
    return [...vbds, ...others].sort((a, b) => a.devid - b.devid);
  }

  /**
   * Describes these disks, in one request. A disk that has been detached is left out.
   *
   * @throws XenError `ERR_XEN_DOMAIN_NOT_RUNNING`.
   */
  describe(query: Query, locations: readonly DiskLocation[]): DiskInfo[] {
    const disks = diskNodes(locations);
    // the domain's nodes are read last: if it is the same domain then, the disks are its disks
    const paths = [...disks, ...identityPaths([this.domid])];
    // xenstored refuses a driver domain the domain's nodes
    const answers = query.readAll(paths, this.#ownDomid === 0 ? paths.length : disks.length);
    return toDiskInfos(this.#confirm(query, answers.at(-1)), locations, answers);
  }

  /** Describes all disks: those of blkback in one request. @throws as {@link DomainNodes.describe}. */
  describeAll(query: Query): DiskInfo[] {
    const [vbdDirectory, ...libxl] = diskDirectories(this.#ownDomid, this.domid);
    const own = diskNodes([{ description: `${vbdDirectory}/#` }]);
    const paths = [...own, ...libxl.map(childrenOf), ...identityPaths([this.domid])];
    const required = this.#ownDomid === 0 ? paths.length : own.length;
    const [ofVbds, ...answers] = query.readAll(paths, required);
    const domain = this.#confirm(query, answers.pop());

    const nodes = toChildren(ofVbds);
    const vbds = locateVbds(this.#ownDomid, this.domid, [...nodes.keys()]);
    const vbdNodes = vbds.map(({ devid }) => nodes.get(String(devid)));
    const described = toDiskInfos(domain, vbds, vbdNodes);
    const others = locateOthers(query, this.#ownDomid, this.domid, vbds, answers.map(toNames));
    if (others.length === 0) return described;
    return [...described, ...this.describe(query, others)].sort((a, b) => a.devid - b.devid);
  }

  /** Takes the answer to {@link identityPaths}, if it is the same domain. Returns its identity. */
  #confirm(query: Query, answer: Answer | undefined): DomainIdentity {
    const [identity] = toIdentities([this.domid], [answer]);
    const running = identity && confirmRunning(query, this.#ownDomid, identity);
    if (running !== undefined && this.update(running)) return running;
    this.#onGone();
    throw new XenError(
      'ERR_XEN_DOMAIN_NOT_RUNNING',
      `domain is not running (${this.label}, which had the domid ${this.domid})`,
      { domid: this.domid },
    );
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
