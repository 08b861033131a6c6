import { inspect } from 'node:util';
import { devicesDirectory } from './backends/blkback';
import type { QemuMonitors } from './backends/qemu';
import { Domain } from './domain';
import { XenError, invalidType, outOfRange } from './errors';
import type { Host } from './host';
import { inspectAs } from './inspect';
import { readSectorSize, type SectorSize } from './libvirt/sector-size';
import { loadNative } from './native';
import { MAX_TIMEOUT_MS, Options } from './options';
import type { DiskSet, DiskSetOptions } from './sampling/disk-set';
import { XenstoreClient, type Query } from './xenstore/client';
import {
  MAX_DOMID,
  identifyDomain,
  identifyDomains,
  confirmRunning,
  identityNodes,
  listDomids,
  type DomainIdentity,
} from './xenstore/domains';

/** The options of {@link connect}. */
export interface ConnectOptions {
  /** The number of bytes by which `blockStats` and `blockStatsFlags` multiply sectors; default: `'physical'`. */
  sectorSize?: SectorSize | undefined;
  /** The timeout of a call that waits for xenstored, and of one that waits for QEMU, in milliseconds; default: 1000. */
  timeoutMs?: number | undefined;
  /**
   * The descriptor budget: how many files the disks and sets of this connection hold open, seven a disk of
   * blkback, two a disk of tapdisk, one a backing device.
   * Beyond it, the disks that are read most often hold their files; each read of another disk opens and
   * closes them. Default: half of what the process may have open.
   */
  maxOpenFiles?: number | undefined;
  /** The directory that contains `bus/xen-backend/devices`; default: `SYSFS_PATH`, else `/sys`. */
  sysfs?: string | undefined;
  /** The directory that contains tapdisk's `td3-<pid>`; default: `SHM_PATH`, else `/dev/shm`. */
  shm?: string | undefined;
  /** The directory that contains QEMU's `qmp-libxenstat-<domid>`; default: `XEN_RUN_PATH`, else `/run/xen`. */
  run?: string | undefined;
  /**
   * The path of xenstored's socket, for tests and simulators. The default is libxenstore's
   * (`XENSTORED_PATH`, `XENSTORED_RUNDIR`, `/var/run/xenstored/socket`, the kernel's xenbus device).
   *
   * libxenstore reads the path from the environment only. The package sets the variable `XENSTORED_PATH`
   * while it connects, and another thread that reads the environment at that moment may see it. In
   * production, set `XENSTORED_PATH` instead of this option.
   */
  xenstore?: string | undefined;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Connects to the Xen host that the process runs on, like libvirt's `virConnectOpen("xen:///system")`.
 *
 * @throws {@link XenError} `ERR_XENSTORE_CONNECT`, `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_IO`,
 * `ERR_XEN_NO_LIBXENSTORE`, `ERR_XEN_UNSUPPORTED_PLATFORM`.
 */
export function connect(options?: ConnectOptions): Connection {
  const given = new Options(options);
  const settings = {
    sectorSize: readSectorSize(given) ?? 'physical',
    timeoutMs: given.number('timeoutMs') ?? 1000,
    sysfs: given.path('sysfs') ?? (process.env['SYSFS_PATH'] || '/sys'),
    shm: given.path('shm') ?? (process.env['SHM_PATH'] || '/dev/shm'),
    socket: given.path('xenstore'),
  };
  const { timeoutMs } = settings;
  if (!(timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw outOfRange('options.timeoutMs', `more than 0 and at most ${MAX_TIMEOUT_MS}`, timeoutMs);
  }

  const maxOpenFiles = given.integer('maxOpenFiles', 0);
  const run = given.path('run') ?? (process.env['XEN_RUN_PATH'] || '/run/xen');

  const native = loadNative();
  const vbds = new native.VbdPool(
    devicesDirectory(settings.sysfs),
    settings.shm,
    maxOpenFiles ?? Math.floor(native.openFilesLimit() / 2),
  );
  const xenstore = new XenstoreClient({ native, ...settings });
  try {
    // xenstored resolves a relative path in /local/domain/<domid> of the requesting domain
    const [own] = xenstore.query().read(['domid']);
    const ownDomid = /^[0-9]{1,5}$/.test(own ?? '') ? Number(own) : 0;
    const host = Object.assign(lazyQemu(run, timeoutMs), { native, vbds, ...settings, ownDomid });
    return new Connection(host, xenstore);
  } catch (error) {
    xenstore.close();
    vbds.close();
    throw error;
  }
}

/** The settings of a connection, and what it has to close. */
interface ConnectedHost extends Host {
  closeQemu(): void;
}

/** A connection to a Xen host. {@link connect} creates it. */
export class Connection {
  readonly #host: ConnectedHost;
  readonly #xenstore: XenstoreClient;
  /** The domains that were returned to callers, by domid, with their open disks. */
  readonly #domains = new Map<number, Domain>();
  /** The open sets. The references are weak, so that an unused set can be collected. */
  readonly #sets = new Set<WeakRef<{ close: () => void }>>();

  /** @internal */
  constructor(host: ConnectedHost, xenstore: XenstoreClient) {
    this.#host = host;
    this.#xenstore = xenstore;
  }

  /**
   * The domid of the domain in which this process runs.
   *
   * @internal
   */
  get ownDomid(): number {
    return this.#host.ownDomid;
  }

  /**
   * Returns the running domains, in the order of their domids, with Domain-0. In a driver domain, returns
   * the domains that it serves.
   *
   * @throws {@link XenError} `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_CONNECT`, `ERR_XENSTORE_IO`,
   * `ERR_XEN_CLOSED`.
   */
  domains(): Domain[] {
    const query = this.#xenstore.query();
    const { ownDomid } = this.#host;
    const identities = identifyDomains(query, ownDomid, this.#list(query));
    // a domain without a name may have ended since; a driver domain may not read names
    const running = identities.filter(
      (it) => ownDomid !== 0 || confirmRunning(query, ownDomid, it) !== undefined,
    );
    return running.map((it) => this.#domain(it));
  }

  /**
   * Returns a running domain. Returns the same object for as long as this domain runs.
   *
   * @param ref - the domid (a number, 0 to 32751), the name or the UUID.
   * @throws as {@link Connection.domains}, and `ERR_XEN_NO_DOMAIN` if no running domain matches, or if
   * several have this name.
   */
  domain(ref: number | string): Domain {
    checkRef(ref);
    const known = this.#known(ref);
    if (known?.isUnchanged() === true) return known;
    const query = this.#xenstore.query();
    // it is looked up again: once it is watched, further calls need no request
    const isUnchanged = known?.watch(query);
    const domain = typeof ref === 'number' ? this.#byDomid(query, ref) : this.#byText(query, ref);
    if (domain === known && isUnchanged !== undefined) domain.isUnchanged = isUnchanged;
    return domain;
  }

  /**
   * Creates a set of the disks that this domain serves, to read them all in one call. The filter selects
   * disks; xenstore's watch events keep the set current. Does not block the event loop. On a host with
   * thousands of disks, reading their nodes may take longer than the default `timeoutMs`: pass a longer
   * one to `connect()`.
   *
   * @throws as {@link Connection.domains}.
   */
  async diskSet(options?: DiskSetOptions & { bigint?: false }): Promise<DiskSet>;
  async diskSet(options: DiskSetOptions & { bigint: true }): Promise<DiskSet<bigint>>;
  async diskSet(options?: DiskSetOptions): Promise<DiskSet | DiskSet<bigint>>;
  async diskSet(options?: DiskSetOptions): Promise<DiskSet | DiskSet<bigint>> {
    this.#xenstore.checkOpen();
    const { DiskSet } = loadSampling();
    const set = new DiskSet(this.#host, options);
    const ref = new WeakRef<{ close: () => void }>(set);
    for (const other of this.#sets) if (other.deref() === undefined) this.#sets.delete(other);
    this.#sets.add(ref);
    return set.start();
  }

  /** Closes the connection, its disks and its sets. Further calls do nothing. */
  close(): void {
    this.#xenstore.close();
    for (const set of this.#sets) set.deref()?.close();
    for (const domid of this.#domains.keys()) this.#forget(domid);
    this.#host.closeQemu();
    this.#host.vbds.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](): string {
    const { sysfs, timeoutMs } = this.#host;
    return inspectAs('Connection', { sysfs, timeoutMs, isClosed: !this.#xenstore.isOpen });
  }

  /** The domain that was returned before for this domid, name or UUID. It may have ended or changed since. */
  #known(ref: number | string): Domain | undefined {
    if (typeof ref === 'number') return this.#domains.get(ref);
    for (const domain of this.#domains.values()) if (domain.name === ref) return domain;
    const uuid = ref.toLowerCase();
    for (const domain of this.#domains.values()) if (domain.uuid === uuid) return domain;
    return undefined;
  }

  #byDomid(query: Query, domid: number): Domain {
    const identity = identifyDomain(query, this.#host.ownDomid, domid);
    if (identity !== undefined) return this.#domain(identity);
    this.#forgetEnded(query, [domid]);
    throw new XenError('ERR_XEN_NO_DOMAIN', `no domain with matching id ${domid} is running`, {
      domid,
    });
  }

  #byText(query: Query, text: string): Domain {
    const all = identifyDomains(query, this.#host.ownDomid, this.#list(query));
    const named = all.filter(({ name }) => name === text);
    if (named.length > 1) {
      const domids = named.map(({ domid }) => domid).join(', ');
      throw new XenError(
        'ERR_XEN_NO_DOMAIN',
        `${named.length} domains are named '${text}': specify the domid (${domids}) or the uuid`,
      );
    }
    const identity = named[0] ?? all.find(({ uuid }) => uuid === text.toLowerCase());
    if (identity !== undefined) return this.#domain(identity);
    const key = UUID.test(text) ? 'uuid' : 'name';
    throw new XenError('ERR_XEN_NO_DOMAIN', `no domain with matching ${key} '${text}' is running`);
  }

  /** Returns the domids of the running domains, and closes the disks of all other domains. */
  #list(query: Query): number[] {
    const domids = listDomids(query, this.#host.ownDomid);
    const running = new Set(domids);
    this.#forgetEnded(
      query,
      [...this.#domains.keys()].filter((domid) => !running.has(domid)),
    );
    return domids;
  }

  #forgetEnded(query: Query, domids: readonly number[]): void {
    for (const domid of domids) this.#forget(domid);
    query.unwatch(identityNodes(domids));
  }

  /** Returns the known object of a domain, or a new one if another domain had this domid. */
  #domain(identity: DomainIdentity): Domain {
    const known = this.#domains.get(identity.domid);
    if (known?.update(identity) === true) return known;
    this.#forget(identity.domid);
    const domain = new Domain(this.#host, this.#xenstore, identity);
    this.#domains.set(identity.domid, domain);
    return domain;
  }

  /** Closes the disks of a domain, and removes the domain from the known ones. */
  #forget(domid: number): void {
    this.#domains.get(domid)?.close();
    this.#domains.delete(domid);
  }
}

function checkRef(ref: unknown): void {
  if (typeof ref !== 'number' && typeof ref !== 'string') {
    throw invalidType('ref', 'of type number or string', ref);
  }
  if (typeof ref === 'number' && !(Number.isInteger(ref) && ref >= 0 && ref <= MAX_DOMID)) {
    throw outOfRange('ref', `an integer from 0 to ${MAX_DOMID}`, ref);
  }
}

/** Loads what only disks of QEMU need: a process that reads another disk starts sooner without it. */
function lazyQemu(run: string, timeoutMs: number): Pick<ConnectedHost, 'qemu' | 'closeQemu'> {
  let monitors: QemuMonitors | undefined;
  let isClosed = false;
  const open = () => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() takes longer than the modules
    const { QemuMonitors } = require('./backends/qemu') as typeof import('./backends/qemu');
    const opened = new QemuMonitors(run, timeoutMs);
    if (isClosed) opened.close();
    return opened;
  };
  return {
    get qemu() {
      return (monitors ??= open());
    },
    closeQemu() {
      isClosed = true;
      monitors?.close();
    },
  };
}

/** Loads what only a set needs: a process that reads a disk starts sooner without it. */
function loadSampling(): typeof import('./sampling/disk-set') {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() takes longer than the modules
  return require('./sampling/disk-set') as typeof import('./sampling/disk-set');
}
