import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SimulatedHost } from 'xen-block-stats/simulator';
import { CounterFiles } from '../../lib/simulator/blkback';
import type { CounterOptions } from '../../lib/simulator/counters';
import type { DiskOptions, GuestOptions } from '../../lib/simulator/options';
import {
  connectedNodes,
  diskDirectories,
  diskNodes,
  dom0Nodes,
  guestDirectories,
  guestNodes,
  isEmptyDrive,
  placeDisk,
  type GuestSpec,
} from '../../lib/simulator/toolstack';
import { parseDiskName } from '../../lib/disk-name';
import { RealGuest } from './real-guest';
import { RealXenstored } from './real-xenstored';

/** The methods of a host that tests use. Both kinds of hosts have them. */
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
  /** The counters in sysfs; undefined for a disk that blkback does not serve. */
  readonly files: CounterFiles | undefined;
}

/** A host with a real xenstored, which has the nodes that xl writes, and with counters in files. */
export class RealHost implements TestHost {
  readonly xenstored = new RealXenstored();
  readonly connectOptions = {
    xenstore: this.xenstored.socket,
    sysfs: join(this.xenstored.directory, 'sys'),
    shm: join(this.xenstored.directory, 'shm'),
    run: join(this.xenstored.directory, 'run'),
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

  /** Restarts xenstored and writes the same nodes again, because xenstored keeps none after its end. */
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
    await this.xenstored.remove(guestDirectories('xl', spec));
    this.#guests.delete(domid);
  }

  async attachDisk(domid: number, disk: DiskOptions) {
    await this.attachDisks(domid, [disk]);
  }

  async detachDisk(domid: number, name: string) {
    await this.detachDisks(domid, [name]);
  }

  /** Attaches disks in the order of a real host: nodes, devices, connection of the guest's frontend. */
  async attachDisks(domid: number, all: readonly DiskOptions[]) {
    const disks = all.map((options) => ({ backendDomid: 0, ...options }));
    await this.xenstored.write(disks.flatMap((options) => diskNodes('xl', domid, options)));
    for (const options of disks) {
      const { devid, kind } = placeDisk('xl', domid, options);
      const isServed = kind === 'vbd' && options.backendDomid === 0 && !isEmptyDrive(options);
      const files = isServed
        ? new CounterFiles(this.#bus, `vbd-${domid}-${devid}`, options.counters)
        : undefined;
      this.#guest(domid).disks.set(devid, { options, files });
    }
    const connected = disks.filter((it) => it.connected !== false && !isEmptyDrive(it));
    await this.xenstored.write(connected.flatMap((options) => connectedNodes(domid, options)));
  }

  /** Detaches disks in the order of a real host: nodes, then devices. */
  async detachDisks(domid: number, names: readonly string[]) {
    const disks = names.map((name) => this.#disk(domid, name));
    await this.xenstored.remove(
      disks.flatMap(({ options }) => diskDirectories('xl', domid, { backendDomid: 0, ...options })),
    );
    for (const { options, files } of disks) {
      files?.remove();
      this.#guest(domid).disks.delete(parseDiskName(options.name));
    }
  }

  async connectFrontend(domid: number, name: string) {
    const { options } = this.#disk(domid, name);
    await this.xenstored.write(connectedNodes(domid, { backendDomid: 0, ...options }));
  }

  /** Introduces a guest to xenstored, with the permissions that libxl gives it. */
  async introduce(domid: number): Promise<RealGuest> {
    const { spec, disks } = this.#guest(domid);
    // xenstored sets permissions for existing domains only
    const guest = await RealGuest.introduce(this.xenstored, domid);
    for (const directory of [`/local/domain/${domid}`, `/vm/${spec.uuid}`]) {
      await this.xenstored.permit(directory, 'n0', `r${domid}`);
    }
    for (const { options } of disks.values()) {
      const { frontend, backend } = placeDisk('xl', domid, options);
      await this.xenstored.permit(frontend, `n${domid}`, 'r0');
      await this.xenstored.permit(backend, 'n0', `r${domid}`);
    }
    return guest;
  }

  async setCounters(domid: number, name: string, counters: CounterOptions) {
    this.#disk(domid, name).files?.set(counters);
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
