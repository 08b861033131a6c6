import type { DiskSet } from '../sampling/disk-set';
import { DRIVERS, type DiskDriver } from '../xenstore/backend-kinds';

const ALL_DRIVERS = [...new Set(Object.values(DRIVERS))];

/** Returns the number of a set's unsupported disks of each driver, also when it is 0. */
export function countUnsupported(
  unsupported: DiskSet['unsupported'],
): { driver: DiskDriver; count: number }[] {
  return ALL_DRIVERS.map((driver) => ({
    driver,
    count: unsupported.filter((disk) => disk.driver === driver).length,
  }));
}
