import type { Host } from './disk';
import { DiskSet, type DiskSetOptions } from './disk-set';
import { Domain } from './domain';
import { MAX_DOMID, identifyDomains, listDomids, type DomainIdentity } from './domain-identity';
import { XenError, invalidType, outOfRange } from './errors';
import { loadNative } from './native';
import { checkSectorSize, type SectorSize } from './sector-size';
import { Xenstore, type Query } from './xenstore';

/** How {@link connect} connects. */
export interface ConnectOptions {
  /** What libvirt's two calls multiply sectors by; default: `'physical'`. */
  sectorSize?: SectorSize | undefined;
  /** How long a call may wait for xenstored, in milliseconds; default: 1000. */
  timeoutMs?: number | undefined;
  /** The folder that has `bus/xen-backend/devices`; default: `/sys`. */
  sysfs?: string | undefined;
  /**
   * The path of xenstored's socket; default: where Xen's own tools look for it (`XENSTORED_PATH`,
   * `XENSTORED_RUNDIR`, `/var/run/xenstored/socket`, the kernel's xenbus device).
   */
  xenstore?: string | undefined;
}

/** How xenstored is reached. */
interface Reach {
  readonly socket: string | undefined;
  readonly timeoutMs: number;
}

/** As far as timers reach. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Connects to the Xen host that this runs on, like libvirt's `virConnectOpen("xen:///system")`.
 *
 * @throws {@link XenError} `ERR_XENSTORE_CONNECT`, `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_IO`,
 * `ERR_XEN_UNSUPPORTED_PLATFORM`.
 */
export function connect(options: ConnectOptions = {}): Connection {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw invalidType('options', 'of type object', options);
  }
  const { sectorSize, timeoutMs = 1000, sysfs = '/sys', xenstore } = options;
  checkSectorSize(sectorSize);
  if (typeof timeoutMs !== 'number') {
    throw invalidType('options.timeoutMs', 'of type number', timeoutMs);
  }
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw outOfRange('options.timeoutMs', `more than 0 and at most ${MAX_TIMEOUT_MS}`, timeoutMs);
  }
  checkFile('options.sysfs', sysfs);
  if (xenstore !== undefined) checkFile('options.xenstore', xenstore);

  const native = loadNative();
  const store = new Xenstore(native, xenstore, timeoutMs);
  try {
    // a relative path is below the asking domain's own folder
    const [own] = store.query().read(['domid']);
    const ownDomid = /^[0-9]{1,5}$/.test(own ?? '') ? Number(own) : 0;
    return new Connection(
      { native, sysfs, ownDomid },
      store,
      { socket: xenstore, timeoutMs },
      sectorSize ?? 'physical',
    );
  } catch (error) {
    store.close();
    throw error;
  }
}

function checkFile(argument: string, path: unknown): void {
  if (typeof path !== 'string') throw invalidType(argument, 'of type string', path);
  if (path === '' || path.includes('\0')) throw outOfRange(argument, 'the path of a file', path);
}

/** A connection to a Xen host: see {@link connect}. */
export class Connection {
  readonly #host: Host;
  readonly #xenstore: Xenstore;
  readonly #reach: Reach;
  readonly #sectorSize: SectorSize;
  /** The domains that were given out, with the disks that they hold open. */
  readonly #domains = new Map<number, Domain>();
  readonly #sets = new Set<{ close: () => void }>();

  /** @internal */
  constructor(host: Host, xenstore: Xenstore, reach: Reach, sectorSize: SectorSize) {
    this.#host = host;
    this.#xenstore = xenstore;
    this.#reach = reach;
    this.#sectorSize = sectorSize;
  }

  /**
   * The domains that are running, by domid, with Domain-0; in a driver domain, those that it serves.
   *
   * @throws {@link XenError} `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_CONNECT`, `ERR_XENSTORE_IO`,
   * `ERR_XEN_CLOSED`.
   */
  domains(): Domain[] {
    const domains = this.#identifyAll(this.#xenstore.query()).map((it) => this.#domain(it));
    for (const [domid, domain] of this.#domains) {
      if (!domains.includes(domain)) this.#forget(domid);
    }
    return domains;
  }

  /**
   * A running domain. Ask twice and it is the same object, as long as it is the same domain.
   *
   * @param ref - its domid (a number, 0 to 32751), its name or its UUID.
   * @throws as {@link Connection.domains}, and `ERR_XEN_NO_DOMAIN`.
   */
  domain(ref: number | string): Domain {
    if (typeof ref === 'number') return this.#byDomid(ref);
    if (typeof ref === 'string') return this.#byText(ref);
    throw invalidType('ref', 'of type number or string', ref);
  }

  /**
   * The disks that blkback serves to all guests, or to those that match: read all at once, and kept
   * current by xenstore's watches. It looks at them all before it returns: on a host with thousands of
   * disks that takes a while.
   *
   * @throws as {@link Connection.domains}.
   */
  diskSet(options?: DiskSetOptions & { bigint?: false }): DiskSet;
  diskSet(options: DiskSetOptions & { bigint: true }): DiskSet<bigint>;
  diskSet(options?: DiskSetOptions): DiskSet | DiskSet<bigint>;
  diskSet(options: DiskSetOptions = {}): DiskSet | DiskSet<bigint> {
    if (typeof options !== 'object' || (options as unknown) === null) {
      throw invalidType('options', 'of type object', options);
    }
    this.#xenstore.checkOpen();
    const { socket, timeoutMs } = this.#reach;
    const forget = (set: { close: () => void }) => this.#sets.delete(set);
    const set =
      options.bigint === true
        ? new DiskSet<bigint>(this.#host, socket, timeoutMs, options, forget)
        : new DiskSet(this.#host, socket, timeoutMs, options, forget);
    this.#sets.add(set);
    return set;
  }

  /** Ends the connection and closes all that was opened through it. */
  close(): void {
    this.#xenstore.close();
    for (const set of this.#sets) set.close();
    for (const domid of this.#domains.keys()) this.#forget(domid);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #byDomid(domid: number): Domain {
    if (!Number.isInteger(domid) || domid < 0 || domid > MAX_DOMID) {
      throw outOfRange('ref', `an integer from 0 to ${MAX_DOMID}`, domid);
    }
    const query = this.#xenstore.query();
    const [identity] = identifyDomains(query, this.#host.ownDomid, [domid]);
    if (identity === undefined) {
      throw new XenError('ERR_XEN_NO_DOMAIN', `no domain with matching id ${domid} is running`, {
        domid,
      });
    }
    return this.#domain(identity);
  }

  #byText(text: string): Domain {
    const identities = this.#identifyAll(this.#xenstore.query());
    const identity =
      identities.find(({ name }) => name === text) ??
      identities.find(({ uuid }) => uuid === text.toLowerCase());
    if (identity === undefined) {
      const key = UUID.test(text) ? 'uuid' : 'name';
      throw new XenError(
        'ERR_XEN_NO_DOMAIN',
        `no domain with matching ${key} '${text}' is running`,
      );
    }
    return this.#domain(identity);
  }

  #identifyAll(query: Query): DomainIdentity[] {
    const { ownDomid } = this.#host;
    return identifyDomains(query, ownDomid, listDomids(query, ownDomid));
  }

  #domain(identity: DomainIdentity): Domain {
    const known = this.#domains.get(identity.domid);
    if (known?.is(identity) === true) return known;
    this.#forget(identity.domid);
    const domain = new Domain(this.#host, this.#xenstore, this.#sectorSize, identity);
    this.#domains.set(identity.domid, domain);
    return domain;
  }

  #forget(domid: number): void {
    this.#domains.get(domid)?.close();
    this.#domains.delete(domid);
  }
}
