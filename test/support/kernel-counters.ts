import { existsSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endChild, execFileSync, spawn } from './child-process';

/*
 * The kernel exposes the counters of a network device in sysfs like those of a vbd: a file with a number
 * each. A directory of symbolic links to them stands for a disk with real kernel counters.
 */
const LINKS = {
  oo_req: 'rx_dropped',
  rd_req: 'rx_packets',
  wr_req: 'tx_packets',
  f_req: 'rx_errors',
  ds_req: 'tx_errors',
  rd_sect: 'rx_bytes',
  wr_sect: 'tx_bytes',
};

/** Options of a disk. */
interface LinkOptions {
  /** Default: 1. */
  readonly domid?: number;
  /** Other devices, for some of the counters. */
  readonly others?: Partial<Record<keyof typeof LINKS, string>>;
}

/** Returns the statistics directory of a disk. */
export function statisticsFolder(sysfs: string, devid: number, domid = 1): string {
  return join(sysfs, `bus/xen-backend/devices/vbd-${domid}-${devid}/statistics`);
}

/** Creates a disk whose counters are those of a network device. Returns the paths of the counters. */
export function linkCounters(
  sysfs: string,
  devid: number,
  device: string,
  { domid = 1, others = {} }: LinkOptions = {},
): string[] {
  const directory = statisticsFolder(sysfs, devid, domid);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  return Object.entries(LINKS).map(([file, counter]) => {
    const source = others[file as keyof typeof LINKS] ?? device;
    const path = join(directory, file);
    symlinkSync(`/sys/class/net/${source}/statistics/${counter}`, path);
    return path;
  });
}

/**
 * A network device that can be plugged in and out. The end of its cable is in the network namespace of a
 * child process: the kernel deletes the device with the namespace, also when this process is killed.
 * Needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for the namespace.
 */
export class NetworkDevice {
  readonly name: string;
  readonly #namespace = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });

  /** @param prefix - the begin of the name, to which the process ID is added. */
  private constructor(prefix: string) {
    this.name = `${prefix}${process.pid}`;
  }

  /** Creates a device, and plugs it in. */
  static async create(prefix: string): Promise<NetworkDevice> {
    const device = new NetworkDevice(prefix);
    const namespaceOf = (pid: unknown) => readlinkSync(`/proc/${String(pid)}/ns/net`);
    while (namespaceOf(device.#namespace.pid) === namespaceOf('self')) await delay(1);
    device.plugIn();
    return device;
  }

  /** Creates the device in the kernel, without traffic. */
  plugIn(): void {
    const peer = ['peer', 'name', 'peer', 'netns', String(this.#namespace.pid)];
    ip('link', 'add', this.name, 'type', 'veth', ...peer);
  }

  /** Deletes the device in the kernel, if it exists. */
  plugOut(): void {
    if (existsSync(`/sys/class/net/${this.name}`)) ip('link', 'del', this.name);
  }

  async remove(): Promise<void> {
    this.plugOut();
    await endChild(this.#namespace);
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}
