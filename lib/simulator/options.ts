import { parseDiskName } from '../disk-name';
import { outOfRange } from '../errors';
import { Options } from '../options';
import type { CounterOptions, Io } from './counters';
import type { DiskSpec, Toolstack } from './toolstack';
import type { Workload } from './workload';

/** A disk to attach. */
export interface DiskOptions extends DiskSpec {
  /** Whether the guest's frontend is connected. Default: true; an empty drive is never connected. */
  readonly connected?: boolean;
  /** The first values of its counters, until the frontend disconnects. Default: 0. */
  readonly counters?: CounterOptions;
  /** What the guest does with the disk while the workload runs. */
  readonly workload?: Workload;
}

/** A guest to start. */
export interface GuestOptions {
  /** Unique among the guests. */
  readonly name: string;
  /** Unique, in lower case. Default: a random one. */
  readonly uuid?: string;
  /** 1 to 32751. Default: the highest domid until now, plus 1. */
  readonly domid?: number;
  readonly disks?: readonly DiskOptions[];
}

/** The host to simulate. */
export interface HostOptions {
  /** The domain that the caller is in. Default: 0; another one is a driver domain. */
  readonly domid?: number;
  /** The toolstack that starts the guests. Default: `xl`. */
  readonly toolstack?: Toolstack;
  readonly guests?: readonly GuestOptions[];
  /** The directory of the socket and the files. Default: a new temporary directory. */
  readonly directory?: string;
}

/** How the workload runs. */
export interface WorkloadOptions {
  /** Milliseconds between two steps. Default: 100. */
  readonly intervalMs?: number;
  /** An integer; with the same seed, every disk repeats the same I/O. Default: 1. */
  readonly seed?: number;
}

export const MAX_DOMID = 0x7ff0 - 1;
const MAX_COUNTER = 2n ** 64n - 1n;

/** Throws unless the domain that the caller is in is valid. The guests are checked when they start. */
export function checkHost(options: HostOptions): void {
  new Options(options).integer('domid', 0, MAX_DOMID);
}

/** Throws unless the name, the domid and the disks are valid. */
export function checkGuest(guest: GuestOptions): void {
  const given = new Options(guest);
  given.integer('domid', 1, MAX_DOMID);
  if (!given.string('name')) throw outOfRange('options.name', 'not empty', guest.name);
  guest.disks?.forEach(checkDisk);
}

/** Throws unless the name, the counters and the workload are valid. */
export function checkDisk(disk: DiskOptions): void {
  parseDiskName(new Options(disk).any('name') as string);
  checkCounters(disk.counters ?? {});
  checkBytes('workload', disk.workload ?? {});
}

/** Throws unless each counter is an integer from 0 to 2^64 - 1. */
export function checkCounters(counters: CounterOptions): void {
  for (const [name, value] of Object.entries(counters)) {
    // BigInt() throws for fractions
    if (BigInt(value) < 0n || value > MAX_COUNTER) throw outOfRange(name, '0 to 2^64 - 1', value);
  }
}

/** Throws unless the bytes are multiples of a sector. */
export function checkIo(io: Io): void {
  checkBytes('io', io);
}

function checkBytes(option: string, { readBytes = 0, writeBytes = 0 }: Io | Workload): void {
  for (const [name, bytes] of Object.entries({ readBytes, writeBytes })) {
    if (bytes % 512 !== 0) throw outOfRange(`${option}.${name}`, 'a multiple of 512', bytes);
  }
}
