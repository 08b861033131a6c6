import {
  backingRates,
  backingStatPath,
  readPhysicalDevice,
  type BackingRates,
} from '../backends/backing-device';
import { XenError } from '../errors';
import type { Host } from '../host';
import { BACKING_ROW_LENGTH, type BackingDevice, type BackingRow } from '../native';
import type { DiskInfo } from '../xenstore/disks';

/** How many devices are looked up in one sample, which takes about a millisecond. */
const LOOKUPS_AT_ONCE = 32;

/** The statistics of a disk's backing device in a sample. */
export interface BackingSample {
  /** The number of the device, `major:minor` in decimal. */
  readonly device: string;
  /** Later samples replace its numbers. */
  readonly row: BackingRow;
}

/** A block device, and its statistics in the last two samples. */
interface Device {
  readonly file: BackingDevice;
  row: Float64Array & BackingRow;
  previous: Float64Array & BackingRow;
  isRead: boolean;
  wasRead: boolean;
}

/** The backing devices of a set's disks. Two disks of the same device read it once. */
export class BackingRows {
  readonly #host: Host;
  #disks: readonly DiskInfo[] = [];
  /** The device of each disk, by its backend: a number, or undefined if it has none. */
  #numbers = new Map<string, string | undefined>();
  readonly #devices = new Map<string, Device>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** Replaces the disks of the set. */
  update(disks: readonly DiskInfo[]): void {
    this.#disks = disks.filter(({ kind }) => kind === 'vbd');
    const backends = new Set(this.#disks.map(({ backend }) => backend));
    this.#numbers = new Map([...this.#numbers].filter(([backend]) => backends.has(backend)));
    this.#closeUnused();
  }

  /** Forgets the device of a disk, which could not be read or was attached again: it may have another one. */
  forget({ backend }: DiskInfo): void {
    this.#numbers.delete(backend);
    this.#closeUnused();
  }

  /** Reads every device. */
  sample(): void {
    this.#lookUp();
    for (const [number, device] of this.#devices) {
      [device.row, device.previous] = [device.previous, device.row];
      device.wasRead = device.isRead;
      device.isRead = device.file.read(device.row, 0) === 0;
      // another device may get the number
      if (!device.isRead) this.#drop(number);
    }
  }

  /** Returns the rates of a disk's device between the last two samples; undefined if it was not read in both. */
  rates({ backend }: DiskInfo, seconds: number): BackingRates | undefined {
    const device = this.#devices.get(this.#numbers.get(backend) ?? '');
    if (device === undefined || !device.isRead || !device.wasRead) return undefined;
    return backingRates(device.previous, device.row, seconds);
  }

  /** Returns the statistics of a disk's device in the last sample; undefined if it was not read. */
  of({ backend }: DiskInfo): BackingSample | undefined {
    const number = this.#numbers.get(backend);
    const device = this.#devices.get(number ?? '');
    if (number === undefined || device?.isRead !== true) return undefined;
    return { device: number, row: device.row };
  }

  /** Closes the files. The rates of the last samples stay. */
  close(): void {
    for (const { file } of this.#devices.values()) file.close();
  }

  /** Finds the devices of disks that have come. */
  #lookUp(): void {
    const { native, vbds, sysfs } = this.#host;
    const unknown = this.#disks.filter(({ backend }) => !this.#numbers.has(backend));
    for (const { backend, domid, devid } of unknown.slice(0, LOOKUPS_AT_ONCE)) {
      let number: string | undefined;
      try {
        number = readPhysicalDevice(sysfs, domid, devid);
      } catch (error) {
        if (error instanceof XenError) return; // no free descriptor: the next sample continues
        throw error;
      }
      this.#numbers.set(backend, number);
      if (number === undefined || this.#devices.has(number)) continue;
      this.#devices.set(number, {
        file: new native.BackingDevice(vbds, backingStatPath(sysfs, number)),
        row: makeRow(),
        previous: makeRow(),
        isRead: false,
        wasRead: false,
      });
    }
  }

  /** Closes a device. Its disks are looked up again. */
  #drop(number: string): void {
    this.#devices.get(number)?.file.close();
    this.#devices.delete(number);
    for (const [backend, it] of this.#numbers) if (it === number) this.#numbers.delete(backend);
  }

  #closeUnused(): void {
    const used = new Set(this.#numbers.values());
    for (const number of this.#devices.keys()) if (!used.has(number)) this.#drop(number);
  }
}

function makeRow(): Float64Array & BackingRow {
  return new Float64Array(BACKING_ROW_LENGTH) as Float64Array & BackingRow;
}
