import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import { decodeFailure, type VbdFailure } from '../native';
import type { DiskInfo } from '../xenstore/disks';

/** Returns the sysfs directory that has a directory for each backend device of this domain. */
export function devicesDirectory(sysfs: string): string {
  return `${sysfs}/bus/xen-backend/devices`;
}

/**
 * Creates the error for a failure to open or read a disk's statistics.
 *
 * @param sysfs - the directory that contains `bus/xen-backend/devices`.
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

/** Describes an errno of a {@link VbdFailure}. EBADMSG and EOVERFLOW come from the addon's parser. */
function reason(errno: number): string {
  switch (errno) {
    case EBADMSG:
      return 'it does not contain a number';
    case EOVERFLOW:
      return 'its number, or a count of bytes made of it, exceeds 2^63 - 1';
    case ENOENT:
      return 'ENOENT, the kernel has no statistics of this disk';
    case EMFILE:
      return 'EMFILE, too many open files: raise the limit (ulimit -n), each disk needs 7 descriptors';
    case ENFILE:
      return 'ENFILE, too many open files on this machine: raise fs.file-max (sysctl)';
    default:
      return getSystemErrorName(-errno);
  }
}
