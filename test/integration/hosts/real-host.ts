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
import { parseDiskName } from '../../../lib/disk-name';
import { RealGuest } from './real-guest';
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
    await host.xenstored.write(dom0Nodes('xl'));
    return host;
  }

  /** Starts xenstored again with what it knew: it forgets everything when it ends. */
  async restartXenstored() {
    await this.xenstored.kill();
    await this.xenstored.start();
    await this.xenstored.write(dom0Nodes('xl'));
    for (const [domid, { spec, disks }] of this.#guests) {
      const all = [...disks.values()].map(({ options }) => ({ backendDomid: 0, ...options }));
      const connected = all.filter((it) => it.connected !== false && !isEmptyDrive(it));
      await this.xenstored.write([
        ...guestNodes('xl', spec),
        ...all.flatMap((options) => diskNodes('xl', domid, options)),
        ...connected.flatMap((options) => connectedNodes(domid, options)),
      ]);
    }
  }

  async addGuest({ name, disks = [], ...guest }: GuestOptions) {
    const domid = guest.domid ?? Math.max(0, ...this.#guests.keys()) + 1;
    const uuid = guest.uuid ?? `00000000-0000-4000-8000-${String(domid).padStart(12, '0')}`;
    const spec = { name, domid, uuid };
    this.#guests.set(domid, { spec, disks: new Map() });
    await this.xenstored.write(guestNodes('xl', spec));
    await this.attachDisks(domid, disks);
    return { domid, uuid };
  }

  async removeGuest(domid: number) {
    const { spec, disks } = this.#guest(domid);
    await this.detachDisks(
      domid,
      [...disks.values()].map(({ options }) => options.name),
    );
    await this.xenstored.remove(guestFolders('xl', spec));
    this.#guests.delete(domid);
  }

  async attachDisk(domid: number, disk: DiskOptions) {
    await this.attachDisks(domid, [disk]);
  }

  async detachDisk(domid: number, name: string) {
    await this.detachDisks(domid, [name]);
  }

  /** As it happens on a real host: first the nodes, then the devices, and then the guest connects. */
  async attachDisks(domid: number, all: readonly DiskOptions[]) {
    const disks = all.map((options) => ({ backendDomid: 0, ...options }));
    await this.xenstored.write(disks.flatMap((options) => diskNodes('xl', domid, options)));
    for (const options of disks) {
      const { devid, kind } = placeDisk('xl', domid, options);
      const served = options.backendDomid === 0 && !isEmptyDrive(options);
      const folder = served
        ? new DeviceFolder(
            this.#bus,
            `${kind}-${domid}-${devid}`,
            kind === 'vbd',
            toCounters(options.counters),
          )
        : undefined;
      this.#guest(domid).disks.set(devid, { options, folder });
    }
    const connected = disks.filter((it) => it.connected !== false && !isEmptyDrive(it));
    await this.xenstored.write(connected.flatMap((options) => connectedNodes(domid, options)));
  }

  /** First the nodes, then the devices. */
  async detachDisks(domid: number, names: readonly string[]) {
    const disks = names.map((name) => this.#disk(domid, name));
    await this.xenstored.remove(
      disks.flatMap(({ options }) => diskFolders('xl', domid, { backendDomid: 0, ...options })),
    );
    for (const { options, folder } of disks) {
      folder?.remove();
      this.#guest(domid).disks.delete(parseDiskName(options.name));
    }
  }

  async connectFrontend(domid: number, name: string) {
    const { options } = this.#disk(domid, name);
    await this.xenstored.write(connectedNodes(domid, { backendDomid: 0, ...options }));
  }

  /** Lets a guest speak to xenstored itself, and write where libxl lets it. */
  async introduce(domid: number): Promise<RealGuest> {
    const { spec, disks } = this.#guest(domid);
    // permissions are for domains that there are
    const guest = await RealGuest.introduce(this.xenstored, domid);
    for (const folder of [`/local/domain/${domid}`, `/vm/${spec.uuid}`]) {
      await this.xenstored.permit(folder, 'n0', `r${domid}`);
    }
    for (const { options } of disks.values()) {
      const { frontend, backend } = placeDisk('xl', domid, options);
      await this.xenstored.permit(frontend, `n${domid}`, 'r0');
      await this.xenstored.permit(backend, 'n0', `r${domid}`);
    }
    return guest;
  }

  async setCounters(domid: number, name: string, counters: CounterOptions) {
    this.#disk(domid, name).folder?.set(toCounters(counters));
    return Promise.resolve();
  }

  async write(path: string, value: string | Uint8Array) {
    await this.xenstored.write([[path, Buffer.from(value).toString()]]);
  }

  async remove(path: string) {
    await this.xenstored.remove([path]);
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

function toCounters(options: CounterOptions = {}): Partial<Counters> {
  const values = Object.entries(options).map(([counter, value]) => [counter, BigInt(value)]);
  return Object.fromEntries(values) as Partial<Counters>;
}
