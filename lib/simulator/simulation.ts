import { randomUUID } from 'node:crypto';
import { parseDiskName } from '../disk-name';
import { Backends, checkCountersOfKind, type BackendDirectories } from './backends';
import type { CounterOptions, Counters, DiskStatistics, Io } from './counters';
import type { Fault } from './faults';
import type { DiskOptions, GuestOptions, HostOptions } from './options';
import { Store } from './store';
import {
  connectedNodes,
  diskDirectories,
  diskNodes,
  disconnectedNodes,
  dom0Nodes,
  guestDirectories,
  guestNodes,
  isEmptyDrive,
  type GuestSpec,
  type Node,
} from './toolstack';
import { WorkloadStream } from './workload';
import { Xenstored } from './xenstored';

/** The kind of a host, and where its files are. */
export interface SimulationOptions
  extends Required<Pick<HostOptions, 'domid' | 'toolstack'>>, BackendDirectories {
  /** The path of xenstored's socket. */
  readonly xenstore: string;
}

interface Guest {
  readonly spec: GuestSpec;
  /** By devid. */
  readonly disks: Map<number, Disk>;
}

interface Disk {
  readonly options: DiskOptions;
  connected: boolean;
  /** Undefined unless a backend of this domain serves the disk and has statistics. */
  readonly statistics: DiskStatistics | undefined;
}

/** The state of a simulated host. It runs on the worker thread; its methods are those of the host. */
export class Simulation {
  readonly #options: SimulationOptions;
  readonly #store = new Store();
  readonly #xenstored: Xenstored;
  readonly #backends: Backends;
  readonly #guests = new Map<number, Guest>();
  #lastDomid: number;
  /** The I/O of disks since the start of the workload. */
  #streams = new WeakMap<Disk, WorkloadStream>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#xenstored = new Xenstored(this.#store, options.domid, options.xenstore);
    this.#backends = new Backends(options);
    this.#lastDomid = options.domid;
  }

  async start(): Promise<void> {
    const { domid, toolstack } = this.#options;
    this.#writeNodes(dom0Nodes(toolstack));
    if (domid !== 0) {
      const name = `driver-domain-${domid}`;
      this.#writeNodes(guestNodes(toolstack, { domid, name, uuid: randomUUID() }));
    }
    await this.#xenstored.listen();
  }

  async addGuest(options: GuestOptions): Promise<{ domid: number; uuid: string }> {
    const { name, domid = this.#lastDomid + 1, uuid = randomUUID(), disks = [] } = options;
    const devids = new Set(disks.map((disk) => parseDiskName(disk.name)));
    if (devids.size < disks.length) throw new Error(`two disks of ${name} have the same devid`);
    if (domid === this.#options.domid) throw new Error(`domain ${domid} is the host's own`);
    for (const { spec } of this.#guests.values()) {
      if (spec.domid === domid || spec.name === name || spec.uuid === uuid) {
        throw new Error(`guest ${spec.domid} (${spec.name}) exists already`);
      }
    }
    for (const disk of disks) checkCountersOfKind(disk.kind, disk.counters);
    const spec = { domid, name, uuid };
    this.#lastDomid = Math.max(this.#lastDomid, domid);
    this.#guests.set(domid, { spec, disks: new Map() });
    this.#writeNodes(guestNodes(this.#options.toolstack, spec));
    for (const disk of disks) this.#attach(domid, disk);
    this.#store.notify('@introduceDomain', true);
    await this.#backends.untilReady(domid);
    return { domid, uuid };
  }

  async removeGuest(domid: number): Promise<void> {
    const { spec, disks } = this.#guest(domid);
    for (const { options } of [...disks.values()]) this.detachDisk(domid, options.name);
    this.#removeDirectories(guestDirectories(this.#options.toolstack, spec));
    this.#guests.delete(domid);
    this.#store.notify('@releaseDomain', true);
    await this.#backends.removeGuest(domid);
  }

  async attachDisk(domid: number, disk: DiskOptions): Promise<void> {
    checkCountersOfKind(disk.kind, disk.counters);
    this.#attach(domid, disk);
    await this.#backends.untilReady(domid);
  }

  detachDisk(domid: number, name: string): void {
    const { statistics, options } = this.#disk(domid, name);
    statistics?.remove();
    this.#removeDirectories(diskDirectories(this.#options.toolstack, domid, options));
    this.#guest(domid).disks.delete(parseDiskName(name));
  }

  connectFrontend(domid: number, name: string): void {
    const disk = this.#disk(domid, name);
    if (isEmptyDrive(disk.options)) throw new Error(`${name} is an empty drive: it cannot connect`);
    disk.statistics?.connect();
    this.#writeNodes(connectedNodes(domid, disk.options));
    disk.connected = true;
  }

  disconnectFrontend(domid: number, name: string): void {
    const disk = this.#disk(domid, name);
    this.#writeNodes(disconnectedNodes(domid, disk.options));
    disk.connected = false;
    disk.statistics?.disconnect();
  }

  counters(domid: number, name: string): Counters {
    return this.#statistics(domid, name).values;
  }

  setCounters(domid: number, name: string, counters: CounterOptions): void {
    checkCountersOfKind(this.#disk(domid, name).options.kind, counters);
    this.#statistics(domid, name).set(counters);
  }

  io(domid: number, name: string, io: Io): void {
    const statistics = this.#statistics(domid, name);
    if (!this.#disk(domid, name).connected) {
      throw new Error(`${name} of domain ${domid} is not connected: no I/O`);
    }
    statistics.perform(io);
  }

  startWorkload(intervalMs: number, seed: number): void {
    this.stopWorkload();
    this.#streams = new WeakMap();
    this.#timer = setInterval(() => {
      this.#work(intervalMs / 1000, seed);
    }, intervalMs);
  }

  stopWorkload(): void {
    clearInterval(this.#timer);
  }

  write(path: string, value: string | Uint8Array): void {
    this.#store.write(this.#resolve(path), Buffer.from(value as string));
  }

  read(path: string): string | undefined {
    const node = this.#resolve(path);
    return this.#store.has(node) ? this.#store.read(node).toString() : undefined;
  }

  list(path: string): string[] | undefined {
    const node = this.#resolve(path);
    return this.#store.has(node) ? this.#store.list(node) : undefined;
  }

  remove(path: string): void {
    this.#store.remove(this.#resolve(path));
  }

  setFault(fault: Fault | undefined): Promise<void> {
    if (!fault) this.#backends.releaseQemus();
    return this.#xenstored.setFault(fault);
  }

  holdQemu(domid: number): void {
    this.#backends.holdQemu(domid);
  }

  #attach(domid: number, disk: DiskOptions): void {
    const { toolstack, domid: ownDomid } = this.#options;
    const { disks } = this.#guest(domid);
    const options = { backendDomid: ownDomid, ...disk };
    const devid = parseDiskName(disk.name);
    if (disks.has(devid)) throw new Error(`domain ${domid} has a disk ${disk.name} already`);

    const isServed = options.backendDomid === ownDomid && !isEmptyDrive(disk);
    const statistics = isServed ? this.#backends.attach(domid, options) : undefined;
    disks.set(devid, { options, connected: false, statistics });
    this.#writeNodes(diskNodes(toolstack, domid, options));
    if (disk.connected !== false && !isEmptyDrive(disk)) this.connectFrontend(domid, disk.name);
  }

  #work(seconds: number, seed: number): void {
    for (const [domid, { disks }] of this.#guests) {
      for (const [devid, disk] of disks) {
        if (!disk.connected || !disk.statistics) continue;
        const stream =
          this.#streams.get(disk) ??
          new WorkloadStream(disk.options.workload ?? {}, seed, domid, devid);
        this.#streams.set(disk, stream);
        disk.statistics.perform(stream.next(seconds));
      }
    }
  }

  #resolve(path: string): string {
    return path.startsWith('/') ? path : `/local/domain/${this.#options.domid}/${path}`;
  }

  #writeNodes(nodes: readonly Node[]): void {
    for (const [path, value] of nodes) this.#store.write(path, Buffer.from(value));
  }

  /** Removes directories, and parents that become empty, as libxl does. */
  #removeDirectories(directories: readonly string[]): void {
    for (const directory of directories) {
      let path = directory;
      do {
        if (this.#store.has(path)) this.#store.remove(path);
        path = path.slice(0, path.lastIndexOf('/'));
      } while (path !== '' && (this.list(path)?.length ?? 0) === 0);
    }
  }

  #guest(domid: number): Guest {
    const guest = this.#guests.get(domid);
    if (!guest) throw new Error(`no guest with domid ${domid}`);
    return guest;
  }

  #disk(domid: number, name: string): Disk {
    const disk = this.#guest(domid).disks.get(parseDiskName(name));
    if (!disk) throw new Error(`domain ${domid} has no disk ${name}`);
    return disk;
  }

  #statistics(domid: number, name: string): DiskStatistics {
    const { statistics } = this.#disk(domid, name);
    if (!statistics) {
      throw new Error(`${name} of domain ${domid} has no statistics in the host's own domain`);
    }
    return statistics;
  }
}
