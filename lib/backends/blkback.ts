import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import { decodeFailure, type VbdFailure } from '../native';
import type { DiskInfo } from '../xenstore/disks';

/** The directory in which the kernel has one for each device that this domain serves. */
export function devicesDirectory(sysfs: string): string {
  return `${sysfs}/bus/xen-backend/devices`;
}

/**
 * The error for a failure of a disk's statistics.
 *
 * @param sysfs - the directory that has `bus/xen-backend/devices`.
 */
export function statisticsError(
  sysfs: string,
  { domid, devid, name }: Pick<DiskInfo, 'domid' | 'devid' | 'name'>,
  failure: VbdFailure,
  syscall: 'open' | 'pread',
): XenError {
  const { errno, file } = decodeFailure(failure);
  const directory = `${devicesDirectory(sysfs)}/vbd-${domid}-${devid}/statistics`;
  const path = file === undefined ? directory : `${directory}/${file}`;
  const what = file === undefined ? 'cannot open bus path' : 'cannot read';
  return new XenError(
    'ERR_XEN_STATS_UNAVAILABLE',
    `${what} ${path}: ${reason(errno)} (disk ${name})`,
    { errno, syscall, path, domid, disk: name },
  );
}

const { EBADMSG, EOVERFLOW, ENOENT, EMFILE, ENFILE } = constants.errno;

function reason(errno: number): string {
  switch (errno) {
    case EBADMSG:
      return 'it does not hold a number';
    case EOVERFLOW:
      return 'its number does not fit in 64 bits with a sign';
    case ENOENT:
      return 'ENOENT, the kernel has no statistics of it';
    case EMFILE:
      return 'EMFILE, too many open files: raise the limit (ulimit -n), each disk takes seven';
    case ENFILE:
      return 'ENFILE, too many open files on this machine: raise fs.file-max (sysctl)';
    default:
      return getSystemErrorName(-errno);
  }
}
