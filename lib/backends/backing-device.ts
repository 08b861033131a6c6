import { readFileSync, readdirSync } from 'node:fs';
import { XenError } from '../errors';
import type { Host } from '../host';
import { BACKING_ROW_LENGTH, BackingColumn, type BackingDevice, type BackingRow } from '../native';
import { devicesDirectory } from './blkback';

/**
 * The statistics of a disk's backing device: the block device of this host (logical volume, partition, loop
 * device) that stores the disk. They come from the device's file `stat` in sysfs, whose fields are in
 * parentheses (Linux's `Documentation/block/stat.rst`).
 *
 * Times are the backing device's, not the guest's: they do not include the time of a request in the ring
 * and in blkback. They are in milliseconds, and the kernel starts them from 0 again at 2^32. Everything is
 * 0 if the device's `queue/iostats` is 0.
 */
export interface BackingStats {
  /** The number of the device, `major:minor` in decimal, as in `/sys/dev/block`. */
  device: string;
  /**
   * Whether another vbd of this host has the same device, so that the numbers are of both, as of the moment
   * when the device was opened. It is false if
   * only this host itself uses the device, too, or another vbd uses a part of it.
   */
  shared: boolean;
  /** Completed reads (`read I/Os`). */
  rdIos: number;
  /** The time of all reads, from their start to their completion (`read ticks`). */
  rdTimeMs: number;
  /** Completed writes (`write I/Os`). A flush counts as a write, too. */
  wrIos: number;
  /** The time of all writes (`write ticks`). */
  wrTimeMs: number;
  /** Completed flushes (`flush I/Os`); -1 before Linux 5.5. */
  flIos: number;
  /** The time of all flushes (`flush ticks`); -1 before Linux 5.5. */
  flTimeMs: number;
  /** Requests that have started and are not completed (`in_flight`). Not a counter. */
  inFlight: number;
  /**
   * The time during which the device had requests (`io_ticks`). The kernel samples it at each request, in
   * units of a jiffy (1 to 10 ms), so that it is inexact for fast devices.
   */
  ioTimeMs: number;
  /** The time of all requests: reads, writes, flushes and discards (`time_in_queue`). */
  queueTimeMs: number;
}

/**
 * The average latencies and the load of a backing device between two reads, named after the columns of
 * `iostat -x`.
 */
export interface BackingRates {
  /** `r_await`: milliseconds a read; undefined without reads. */
  readonly rAwait: number | undefined;
  /** `w_await`: milliseconds a write, flushes included; undefined without writes. */
  readonly wAwait: number | undefined;
  /** `f_await`: milliseconds a flush; undefined without flushes, and before Linux 5.5. */
  readonly fAwait: number | undefined;
  /** `aqu-sz`: the average number of requests in flight. */
  readonly aquSz: number;
  /**
   * `%util`: the percentage of the time during which the device had requests, 0 to 100. A device that
   * serves requests in parallel is not saturated at 100.
   */
  readonly util: number;
}

/** The backing device of a vbd, with its file open. */
export class Backing {
  readonly #device: string;
  readonly #isShared: boolean;
  readonly #file: BackingDevice;
  readonly #row = new Float64Array(BACKING_ROW_LENGTH) as Float64Array & BackingRow;

  private constructor(device: string, isShared: boolean, file: BackingDevice) {
    this.#device = device;
    this.#isShared = isShared;
    this.#file = file;
  }

  /** Returns the backing device of a vbd; undefined if it has none. */
  static open(
    { native, vbds, sysfs }: Pick<Host, 'native' | 'vbds' | 'sysfs'>,
    { domid, devid }: { readonly domid: number; readonly devid: number },
  ): Backing | undefined {
    const device = readPhysicalDevice(sysfs, domid, devid);
    if (device === undefined) return undefined;
    const isShared = (countVbdsOfDevices(sysfs).get(device) ?? 0) > 1;
    const file = new native.BackingDevice(vbds, backingStatPath(sysfs, device));
    return new Backing(device, isShared, file);
  }

  /** Reads the statistics; undefined if the device was removed. */
  read(): BackingStats | undefined {
    if (this.#file.read(this.#row, 0) !== 0) return undefined;
    return toBackingStats(this.#device, this.#isShared, this.#row);
  }

  close(): void {
    this.#file.close();
  }
}

/** Returns the path of a block device's file `stat`. */
export function backingStatPath(sysfs: string, device: string): string {
  return `${sysfs}/dev/block/${device}/stat`;
}

/**
 * Reads which backing device a vbd has. It stays the same as long as the vbd exists.
 *
 * @returns `major:minor` in decimal; undefined if the vbd has no device, or none yet, or does not exist.
 * @throws XenError `ERR_XEN_STATS_UNAVAILABLE` if there is no free descriptor.
 */
export function readPhysicalDevice(
  sysfs: string,
  domid: number,
  devid: number,
): string | undefined {
  return readDeviceOf(`${devicesDirectory(sysfs)}/vbd-${domid}-${devid}`);
}

/**
 * Counts the vbds of each backing device of this host. A device of two is shared. Reads a file of each vbd.
 */
export function countVbdsOfDevices(sysfs: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of listVbds(devicesDirectory(sysfs))) {
    const device = readDeviceOf(`${devicesDirectory(sysfs)}/${name}`);
    if (device !== undefined) counts.set(device, (counts.get(device) ?? 0) + 1);
  }
  return counts;
}

/** Creates the statistics of a backing device from a row. */
export function toBackingStats(device: string, shared: boolean, row: BackingRow): BackingStats {
  return {
    device,
    shared,
    rdIos: row[BackingColumn.rdIos],
    rdTimeMs: row[BackingColumn.rdTimeMs],
    wrIos: row[BackingColumn.wrIos],
    wrTimeMs: row[BackingColumn.wrTimeMs],
    flIos: row[BackingColumn.flIos],
    flTimeMs: row[BackingColumn.flTimeMs],
    inFlight: row[BackingColumn.inFlight],
    ioTimeMs: row[BackingColumn.ioTimeMs],
    queueTimeMs: row[BackingColumn.queueTimeMs],
  };
}

/**
 * Calculates the rates between two rows of the same device.
 *
 * @param seconds - the time between the reads.
 * @returns undefined if a counter decreased: another device has got the number.
 */
export function backingRates(
  before: BackingRow,
  after: BackingRow,
  seconds: number,
): BackingRates | undefined {
  const ios = (column: keyof BackingRow) => after[column] - before[column];
  const timeMs = (column: keyof BackingRow) => timeBetween(before[column], after[column]);
  const reads = { ios: ios(BackingColumn.rdIos), timeMs: timeMs(BackingColumn.rdTimeMs) };
  const writes = { ios: ios(BackingColumn.wrIos), timeMs: timeMs(BackingColumn.wrTimeMs) };
  const flushes = { ios: ios(BackingColumn.flIos), timeMs: timeMs(BackingColumn.flTimeMs) };
  const ioTimeMs = timeMs(BackingColumn.ioTimeMs);
  const queueTimeMs = timeMs(BackingColumn.queueTimeMs);

  const requests = [reads, writes, flushes].flatMap((kind) => [kind.ios, kind.timeMs]);
  if ([...requests, ioTimeMs, queueTimeMs].some((difference) => difference < 0)) return undefined;
  return {
    rAwait: averageTime(reads),
    wAwait: averageTime(writes),
    fAwait: averageTime(flushes),
    aquSz: queueTimeMs / 1000 / seconds,
    util: Math.min((100 * ioTimeMs) / 1000 / seconds, 100),
  };
}

/** The kernel's times are 32-bit numbers of milliseconds, which overflow. */
const TIME_RANGE = 2 ** 32;

/** Returns the difference of two times; a negative one unless the later is ahead by less than half the range. */
function timeBetween(before: number, after: number): number {
  const difference = after - before;
  return difference < -TIME_RANGE / 2 ? difference + TIME_RANGE : difference;
}

function averageTime({ ios, timeMs }: { ios: number; timeMs: number }): number | undefined {
  return ios === 0 ? undefined : timeMs / ios;
}

/** Returns the names of the directories of all vbds. */
function listVbds(devices: string): string[] {
  try {
    return readdirSync(devices).filter((name) => /^vbd-[0-9]+-[0-9]+$/.test(name));
  } catch (error) {
    checkDescriptors(error, devices);
    return []; // blkback is not loaded
  }
}

/**
 * The number of a block device as blkback writes it: in hexadecimal, without leading zeros. A major has 12
 * bits and is not 0, a minor has 20.
 */
const PHYSICAL_DEVICE = /^([1-9a-f][0-9a-f]{0,2}):(0|[1-9a-f][0-9a-f]{0,4})\n?$/;

/** Returns the backing device of the vbd that has this directory. */
function readDeviceOf(directory: string): string | undefined {
  const path = `${directory}/physical_device`;
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (error) {
    checkDescriptors(error, path);
    return undefined; // the vbd has been removed, or the kernel is still making it
  }
  const [, major, minor] = PHYSICAL_DEVICE.exec(text) ?? [];
  if (major === undefined || minor === undefined) return undefined;
  return `${parseInt(major, 16)}:${parseInt(minor, 16)}`;
}

/** Throws if an error says that there is no free descriptor: it is not known then whether the file exists. */
function checkDescriptors(error: unknown, path: string): void {
  const { code, errno } = error as NodeJS.ErrnoException;
  if (code !== 'EMFILE' && code !== 'ENFILE') return;
  const message = `cannot read ${path}: ${code}, too many open files: raise the limit (ulimit -n)`;
  throw new XenError('ERR_XEN_STATS_UNAVAILABLE', message, {
    ...(errno !== undefined && { errno: Math.abs(errno) }),
    syscall: 'open',
    path,
    cause: error,
  });
}
