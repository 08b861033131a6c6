import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SimulatedHost } from 'xen-block-stats/simulator';
import { DeviceFolder, type Counters } from '../../../lib/simulator/counters';
import type { CounterOptions, DiskOptions, GuestOptions } from '../../../lib/simulator/options';
import {
  connectedNodes,
  diskFolders,
  diskNodes,
  dom0Nodes,
  guestFolders,
  guestNodes,
  isEmptyDrive,
  placeDisk,
  type GuestSpec,
} from '../../../lib/simulator/toolstack';
import { parseDiskName } from '../../../lib/vdev';
import { RealXenstored } from './real-xenstored';

/** What a test needs of a host: both kinds have it. */
export type TestHost = Pick<
  SimulatedHost,
  | 'connectOptions'
  | 'addGuest'
  | 'removeGuest'
  | 'attachDisk'
  | 'detachDisk'
  | 'connectFrontend'
  | 'setCounters'
  | 'write'
  | 'remove'
  | 'stop'
>;

interface RealDisk {
  readonly options: DiskOptions;
  readonly folder: DeviceFolder | undefined;
}

/** A host with a real xenstored, filled as xl fills it, and counters in files. */
export class RealHost implements TestHost {
  readonly xenstored = new RealXenstored();
  readonly connectOptions = {
    xenstore: this.xenstored.socket,
    sysfs: join(this.xenstored.folder, 'sys'),
  };
  readonly #bus = join(this.connectOptions.sysfs, 'bus/xen-backend');
  readonly #guests = new Map<number, { spec: GuestSpec; disks: Map<number, RealDisk> }>();

  static async start(): Promise<RealHost> {
    const host = new RealHost();
    mkdirSync(join(host.#bus, 'devices'), { recursive: true });
    await host.xenstored.start();
    host.xenstored.write(dom0Nodes('xl'));
    return host;
  }

  async addGuest({ name, disks = [], ...guest }: GuestOptions) {
    const domid = guest.domid ?? Math.max(0, ...this.#guests.keys()) + 1;
    const uuid = guest.uuid ?? `00000000-0000-4000-8000-${String(domid).padStart(12, '0')}`;
    const spec = { name, domid, uuid };
    this.#guests.set(domid, { spec, disks: new Map() });
    this.xenstored.write(guestNodes('xl', spec));
    for (const disk of disks) await this.attachDisk(domid, disk);
    return { domid, uuid };
  }

  async removeGuest(domid: number) {
    const { spec, disks } = this.#guest(domid);
    for (const { options } of disks.values()) await this.detachDisk(domid, options.name);
    this.xenstored.remove(guestFolders('xl', spec));
    this.#guests.delete(domid);
  }

  async attachDisk(domid: number, options: DiskOptions) {
    const { devid, kind } = placeDisk('xl', domid, { backendDomid: 0, ...options });
    const served = (options.backendDomid ?? 0) === 0 && !isEmptyDrive(options);
    const folder = served
      ? new DeviceFolder(this.#bus, `${kind}-${domid}-${devid}`, kind === 'vbd')
      : undefined;
    this.#guest(domid).disks.set(devid, { options, folder });
    this.xenstored.write(diskNodes('xl', domid, { backendDomid: 0, ...options }));
    if (options.connected !== false && !isEmptyDrive(options)) {
      await this.connectFrontend(domid, options.name);
    }
    if (options.counters) await this.setCounters(domid, options.name, options.counters);
  }

  async detachDisk(domid: number, name: string) {
    const { options, folder } = this.#disk(domid, name);
    folder?.remove();
    this.xenstored.remove(diskFolders('xl', domid, { backendDomid: 0, ...options }));
    this.#guest(domid).disks.delete(parseDiskName(name));
    return Promise.resolve();
  }

  async connectFrontend(domid: number, name: string) {
    const { options } = this.#disk(domid, name);
    this.xenstored.write(connectedNodes(domid, { backendDomid: 0, ...options }));
    return Promise.resolve();
  }

  async setCounters(domid: number, name: string, counters: CounterOptions) {
    const values = Object.entries(counters).map(([counter, value]) => [counter, BigInt(value)]);
    this.#disk(domid, name).folder?.set(Object.fromEntries(values) as Partial<Counters>);
    return Promise.resolve();
  }

  async write(path: string, value: string | Uint8Array) {
    this.xenstored.write([[path, Buffer.from(value).toString()]]);
    return Promise.resolve();
  }

  async remove(path: string) {
    this.xenstored.remove([path]);
    return Promise.resolve();
  }

  async stop() {
    await this.xenstored.stop();
  }

  #guest(domid: number) {
    const guest = this.#guests.get(domid);
    if (guest === undefined) throw new Error(`no guest ${domid}`);
    return guest;
  }

  #disk(domid: number, name: string): RealDisk {
    const disk = this.#guest(domid).disks.get(parseDiskName(name));
    if (disk === undefined) throw new Error(`no disk ${name}`);
    return disk;
  }
}
