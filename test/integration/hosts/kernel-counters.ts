import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

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

/** Returns the statistics directory of a disk of domain 1. */
export function statisticsFolder(sysfs: string, devid: number): string {
  return join(sysfs, `bus/xen-backend/devices/vbd-1-${devid}/statistics`);
}

/**
 * Creates a disk of domain 1 whose counters are those of a network device.
 *
 * @param others - other devices, for some of the counters.
 */
export function linkCounters(
  sysfs: string,
  devid: number,
  device: string,
  others: Partial<Record<keyof typeof LINKS, string>> = {},
): void {
  const directory = statisticsFolder(sysfs, devid);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const [file, counter] of Object.entries(LINKS)) {
    const source = others[file as keyof typeof LINKS] ?? device;
    symlinkSync(`/sys/class/net/${source}/statistics/${counter}`, join(directory, file));
  }
}

/** Creates a network device without traffic. */
export function plugIn(device: string): void {
  ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
}

/** Deletes a network device, if it exists. */
export function plugOut(device: string): void {
  if (existsSync(`/sys/class/net/${device}`)) ip('link', 'del', device);
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: 'pipe' });
}
