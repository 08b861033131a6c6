import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Numbers of a block device's file `stat` (Linux's Documentation/block/stat.rst). Default: 0. */
export interface BackingNumbers {
  readonly rdIos?: number;
  readonly rdTimeMs?: number;
  readonly wrIos?: number;
  readonly wrTimeMs?: number;
  readonly inFlight?: number;
  readonly ioTimeMs?: number;
  readonly queueTimeMs?: number;
  readonly flIos?: number;
  readonly flTimeMs?: number;
}

/** Gives a vbd of a simulated host the backing device 254:0, as the kernel does in sysfs. */
export function addBackingDevice(sysfs: string, vbd: string, numbers: BackingNumbers): void {
  mkdirSync(join(sysfs, 'dev/block/254:0'), { recursive: true });
  setBackingStat(sysfs, formatStat(numbers));
  writeFileSync(join(sysfs, 'bus/xen-backend/devices', vbd, 'physical_device'), 'fe:0\n');
}

/** Writes the file `stat` of the device 254:0. */
export function setBackingStat(sysfs: string, text: string): void {
  writeFileSync(join(sysfs, 'dev/block/254:0/stat'), `${text}\n`);
}

function formatStat(numbers: BackingNumbers): string {
  const { rdIos, rdTimeMs, wrIos, wrTimeMs, inFlight, ioTimeMs, queueTimeMs } = numbers;
  const { flIos, flTimeMs } = numbers;
  const discards = [0, 0, 0, 0];
  const fields = [
    ...[rdIos, 0, 0, rdTimeMs],
    ...[wrIos, 0, 0, wrTimeMs],
    ...[inFlight, ioTimeMs, queueTimeMs],
    ...[...discards, flIos, flTimeMs],
  ];
  return fields.map((field = 0) => String(field).padStart(10)).join(' ');
}
