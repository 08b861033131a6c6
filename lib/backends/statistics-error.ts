import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import type { Host } from '../host';
import { decodeFailure, type VbdFailure } from '../native';
import type { DiskInfo } from '../xenstore/disks';
import { statisticsDirectory } from './blkback';
import { statisticsFile } from './tapdisk';

/** Creates the error for a failure to open or read a disk's statistics. */
export function statisticsError(
  { sysfs, shm }: Pick<Host, 'sysfs' | 'shm'>,
  disk: Pick<DiskInfo, 'domid' | 'devid' | 'name' | 'kind' | 'backend' | 'tapdiskPid'>,
  failure: VbdFailure,
  syscall: 'open' | 'pread',
): XenError {
  const { domid, name } = disk;
  const { errno, file } = decodeFailure(failure);
  const isBlkback = disk.kind === 'vbd';
  const base = isBlkback ? statisticsDirectory(sysfs, disk) : statisticsFile(shm, disk);
  const path = file === undefined ? base : `${base}/${file}`;
  const what = file === undefined && isBlkback ? 'cannot open bus path' : 'cannot read';
  const why = REASONS.get(errno) ?? (isBlkback ? BLKBACK_REASONS : tapdiskReasons(disk)).get(errno);
  return new XenError(
    'ERR_XEN_STATS_UNAVAILABLE',
    `${what} ${path}: ${why ?? getSystemErrorName(-errno)} (disk ${name})`,
    { errno, syscall, path, domid, disk: name },
  );
}

/** Creates the error for a disk that its domain's QEMU does not have. */
export function noNodeError({ domid, name }: Pick<DiskInfo, 'domid' | 'name'>): XenError {
  return new XenError(
    'ERR_XEN_STATS_UNAVAILABLE',
    `QEMU of domain ${domid} does not have disk ${name}: it has refused it, or the drive is empty`,
    { domid, disk: name },
  );
}

const {
  EACCES,
  EBADF,
  EBADMSG,
  EOVERFLOW,
  ENOENT,
  EMFILE,
  ENFILE,
  EPROTONOSUPPORT,
  ESRCH,
  ESTALE,
} = constants.errno;

/** What an errno of a {@link VbdFailure} means. EBADMSG and EOVERFLOW come from the addon's parsers. */
const REASONS = new Map([
  [EOVERFLOW, 'its number, or a count of bytes made of it, exceeds 2^63 - 1'],
  [
    EMFILE,
    'EMFILE, too many open files: raise the limit (ulimit -n), each disk needs up to 7 descriptors',
  ],
  [ENFILE, 'ENFILE, too many open files on this machine: raise fs.file-max (sysctl)'],
]);

const BLKBACK_REASONS = new Map([
  [EBADMSG, 'it does not contain a number'],
  [ENOENT, 'ENOENT, the kernel has no statistics of this disk'],
]);

/** See binding/tapdisk_statistics.h. */
function tapdiskReasons({
  tapdiskPid,
  backend,
}: Pick<DiskInfo, 'tapdiskPid' | 'backend'>): ReadonlyMap<number, string> {
  if (tapdiskPid === undefined) {
    return new Map([[ESRCH, `xenstore's node ${backend}/kthread-pid has no pid of a tapdisk`]]);
  }
  const tapdisk = `tapdisk ${tapdiskPid}`;
  return new Map([
    [EACCES, 'EACCES, only root may read it'],
    [EBADF, `${tapdisk} does not have it open: it is a file of an earlier process`],
    [EBADMSG, "it is no file of tapdisk's statistics"],
    [ENOENT, `ENOENT, ${tapdisk} has no statistics of this disk`],
    [EPROTONOSUPPORT, 'it has another version than 1'],
    [ESRCH, `${tapdisk} has ended`],
    [ESTALE, `${tapdisk} has removed it`],
  ]);
}
