import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/*
 * The kernel keeps a network device's counters as it keeps a vbd's: a number a file, in sysfs. A folder
 * of links to them is a disk whose counters are the kernel's own.
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

/** Where a disk of domain 1 has its statistics. */
export function statisticsFolder(sysfs: string, devid: number): string {
  return join(sysfs, `bus/xen-backend/devices/vbd-1-${devid}/statistics`);
}

/**
 * Makes a disk of domain 1 of a network device.
 *
 * @param others - devices for some of the counters.
 */
export function linkCounters(
  sysfs: string,
  devid: number,
  device: string,
  others: Partial<Record<keyof typeof LINKS, string>> = {},
): void {
  const folder = statisticsFolder(sysfs, devid);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const [file, counter] of Object.entries(LINKS)) {
    const of = others[file as keyof typeof LINKS] ?? device;
    symlinkSync(`/sys/class/net/${of}/statistics/${counter}`, join(folder, file));
  }
}

/** Plugs a network device in. Nothing is ever sent through it. */
export function plugIn(device: string): void {
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
}

/** Plugs it out, if it is there. */
export function plugOut(device: string): void {
  if (existsSync(`/sys/class/net/${device}`)) ip('link', 'del', device);
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}
