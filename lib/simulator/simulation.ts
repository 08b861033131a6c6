import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseDiskName } from '../disk-name';
import { DeviceFolder, countIo, type Counters, type Io } from './counters';
import type { Fault } from './faults';
import type { CheckedDisk, CheckedGuest, XenstoreRequest } from './options';
import { Store, StoreError } from './store';
import {
  connectedNodes,
  diskFolders,
  diskNodes,
  disconnectedNodes,
  dom0Nodes,
  guestFolders,
  guestNodes,
  isEmptyDrive,
  placeDisk,
  type GuestSpec,
  type Node,
  type Toolstack,
} from './toolstack';
import { WorkloadStream } from './workload';
import { Xenstored } from './xenstored';

/** Where a simulation is and who it is of. */
export interface SimulationOptions {
  /** The path of the socket to serve. */
  readonly xenstore: string;
  /** The folder that is to have `bus/xen-backend`. */
  readonly sysfs: string;
  readonly domid: number;
  readonly toolstack: Toolstack;
}

interface Guest {
  readonly spec: GuestSpec;
  readonly disks: Map<number, Disk>;
}

interface Disk {
  readonly options: CheckedDisk;
  connected: boolean;
  readonly folder: DeviceFolder | undefined;
  stream: WorkloadStream;
}

/**
 * The host itself: its guests and what they do. Every call is complete before anyone else can look,
 * since it all happens on one thread.
 */
export class Simulation {
  readonly #options: SimulationOptions;
  readonly #bus: string;
  readonly #store = new Store();
  readonly #xenstored: Xenstored;
  readonly #guests = new Map<number, Guest>();
  #lastDomid: number;
  #seed = 1;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#bus = join(options.sysfs, 'bus/xen-backend');
    this.#xenstored = new Xenstored(this.#store, options.domid, options.xenstore);
    this.#lastDomid = options.domid;
  }

  async start(): Promise<void> {
    const { domid, toolstack } = this.#options;
    mkdirSync(join(this.#bus, 'devices'), { recursive: true });
    this.#write(dom0Nodes(toolstack));
    this.#xenstored.introduce(0);
    if (domid !== 0) {
      const name = `driver-domain-${domid}`;
      this.#write(guestNodes(toolstack, { domid, name, uuid: randomUUID() }));
      this.#xenstored.introduce(domid);
    }
    await this.#xenstored.listen();
  }

  async stop(): Promise<void> {
    this.stopWorkload();
    await this.#xenstored.close();
    for (const { disks } of this.#guests.values()) {
      for (const { folder } of disks.values()) folder?.remove();
    }
    this.#guests.clear();
  }

  addGuest(options: CheckedGuest): { domid: number; uuid: string } {
    const { name, domid = this.#lastDomid + 1, uuid = randomUUID(), disks = [] } = options;
    const devids = disks.map((disk) => parseDiskName(disk.name));
    if (new Set(devids).size < devids.length) throw new Error(`two disks of ${name} are the same`);
    if (domid === this.#options.domid) throw new Error(`domain ${domid} is the host's own`);
    for (const { spec } of this.#guests.values()) {
      if (spec.domid === domid || spec.name === name || spec.uuid === uuid) {
        throw new Error(`there is a guest like ${name} already: ${this.#listGuests()}`);
      }
    }
    const spec = { domid, name, uuid };
    this.#lastDomid = Math.max(this.#lastDomid, domid);
    this.#guests.set(domid, { spec, disks: new Map() });
    this.#write(guestNodes(this.#options.toolstack, spec));
    for (const disk of disks) this.attachDisk(domid, disk);
    this.#xenstored.introduce(domid);
    return { domid, uuid };
  }

  removeGuest(domid: number): void {
    const { spec, disks } = this.#guest(domid);
    for (const disk of [...disks.values()]) this.detachDisk(domid, disk.options.name);
    this.#remove(guestFolders(this.#options.toolstack, spec));
    this.#guests.delete(domid);
    this.#xenstored.release(domid);
  }

  attachDisk(domid: number, disk: CheckedDisk): void {
    const { toolstack, domid: ownDomid } = this.#options;
    const { disks } = this.#guest(domid);
    const options = { backendDomid: ownDomid, ...disk };
    const { devid, kind } = placeDisk(toolstack, domid, options);
    if (disks.has(devid)) throw new Error(`${disk.name} is taken: ${listDisks(disks)}`);

    const here = options.backendDomid === ownDomid && !(kind === 'vbd' && isEmptyDrive(disk));
    const folder = here
      ? new DeviceFolder(this.#bus, `${kind}-${domid}-${devid}`, kind === 'vbd', disk.counters)
      : undefined;
    const stream = this.#newStream(domid, devid, disk);
    disks.set(devid, { options, connected: false, folder, stream });
    this.#write(diskNodes(toolstack, domid, options));
    if (disk.connected !== false && !isEmptyDrive(disk)) this.connectFrontend(domid, disk.name);
  }

  detachDisk(domid: number, name: string): void {
    const disk = this.#disk(domid, name);
    disk.folder?.remove();
    this.#remove(diskFolders(this.#options.toolstack, domid, disk.options));
    this.#guest(domid).disks.delete(parseDiskName(name));
  }

  connectFrontend(domid: number, name: string): void {
    const disk = this.#disk(domid, name);
    if (isEmptyDrive(disk.options))
      throw new Error(`${name} is an empty drive: nothing to connect`);
    this.#write(connectedNodes(domid, disk.options));
    disk.connected = true;
  }

  disconnectFrontend(domid: number, name: string): void {
    const disk = this.#disk(domid, name);
    this.#write(disconnectedNodes(domid, disk.options));
    disk.connected = false;
    // blkback frees its rings, and with them the counters
    disk.folder?.reset();
  }

  counters(domid: number, name: string): Counters {
    return this.#statistics(domid, name).values;
  }

  setCounters(domid: number, name: string, counters: Partial<Counters>): void {
    this.#statistics(domid, name).set(counters);
  }

  io(domid: number, name: string, io: Io): void {
    const statistics = this.#statistics(domid, name);
    if (!this.#disk(domid, name).connected) {
      throw new Error(`${name} of domain ${domid} is not connected: no I/O`);
    }
    statistics.add(countIo(io));
  }

  startWorkload(intervalMs: number, seed: number): void {
    this.stopWorkload();
    this.#seed = seed;
    for (const [domid, { disks }] of this.#guests) {
      for (const [devid, disk] of disks) disk.stream = this.#newStream(domid, devid, disk.options);
    }
    this.#timer = setInterval(() => {
      this.#work(intervalMs / 1000);
    }, intervalMs);
  }

  stopWorkload(): void {
    clearInterval(this.#timer);
  }

  write(path: string, value: Uint8Array): void {
    this.#store.tree.write(this.#absolute(path), Buffer.from(value));
  }

  read(path: string): string | undefined {
    return ifThere(() => this.#store.tree.read(this.#absolute(path)).toString());
  }

  list(path: string): string[] | undefined {
    return ifThere(() => this.#store.tree.list(this.#absolute(path)).names);
  }

  remove(path: string): void {
    this.#store.tree.remove(this.#absolute(path));
  }

  setFault(fault: Fault | undefined): Promise<void> {
    return this.#xenstored.setFault(fault);
  }

  requests(): XenstoreRequest[] {
    return this.#xenstored.takeRequests();
  }

  #work(seconds: number): void {
    for (const { disks } of this.#guests.values()) {
      for (const { connected, folder, stream } of disks.values()) {
        if (connected && folder?.hasStatistics === true) folder.add(countIo(stream.next(seconds)));
      }
    }
  }

  #newStream(domid: number, devid: number, disk: CheckedDisk): WorkloadStream {
    return new WorkloadStream(disk.workload ?? {}, this.#seed, domid, devid);
  }

  #absolute(path: string): string {
    return path.startsWith('/') ? path : `/local/domain/${this.#options.domid}/${path}`;
  }

  #write(nodes: readonly Node[]): void {
    for (const [path, value] of nodes) this.#store.tree.write(path, Buffer.from(value));
  }

  /** Removes folders, and those that they leave empty, as libxl does. */
  #remove(folders: readonly string[]): void {
    const { tree } = this.#store;
    for (const folder of folders) {
      let path = folder;
      do {
        if (tree.has(path)) tree.remove(path);
        path = path.slice(0, path.lastIndexOf('/'));
      } while (path !== '' && (!tree.has(path) || tree.list(path).names.length === 0));
    }
  }

  #guest(domid: number): Guest {
    const guest = this.#guests.get(domid);
    if (!guest) throw new Error(`no guest with domid ${domid}; there are: ${this.#listGuests()}`);
    return guest;
  }

  #listGuests(): string {
    const guests = [...this.#guests.values()].map(({ spec }) => `${spec.domid} (${spec.name})`);
    return guests.join(', ') || 'none';
  }

  #disk(domid: number, name: string): Disk {
    const { disks } = this.#guest(domid);
    const disk = disks.get(parseDiskName(name));
    if (!disk) throw new Error(`domain ${domid} has no disk ${name}; it has: ${listDisks(disks)}`);
    return disk;
  }

  #statistics(domid: number, name: string): DeviceFolder {
    const { folder, options } = this.#disk(domid, name);
    if (folder?.hasStatistics !== true) {
      const { kind = 'vbd', backendDomid = 0 } = options;
      const why = isEmptyDrive(options) ? 'empty' : `served by ${kind} in domain ${backendDomid}`;
      throw new Error(`${name} of domain ${domid} has no counters here: it is ${why}`);
    }
    return folder;
  }
}

function listDisks(disks: ReadonlyMap<number, Disk>): string {
  return [...disks.values()].map(({ options }) => options.name).join(', ') || 'none';
}

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof StoreError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
