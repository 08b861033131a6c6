import type { DiskInfo } from '../xenstore/disks';

/** Returns the sysfs directory that has a directory for each backend device of this domain. */
export function devicesDirectory(sysfs: string): string {
  return `${sysfs}/bus/xen-backend/devices`;
}

/** Returns the directory of the statistics of a disk that blkback serves. */
export function statisticsDirectory(
  sysfs: string,
  { domid, devid }: Pick<DiskInfo, 'domid' | 'devid'>,
): string {
  return `${devicesDirectory(sysfs)}/vbd-${domid}-${devid}/statistics`;
}
