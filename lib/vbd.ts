import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { Reader, ReaderTarget } from './backend';
import { XenError } from './errors';
import { decodeFailure, type Native, type VbdFailure, type VbdHandle } from './native';

/** Where the kernel has a folder for each device that this domain serves. */
export function devicesFolder(sysfs: string): string {
  return `${sysfs}/bus/xen-backend/devices`;
}

/** Opens the statistics that Linux's blkback keeps of a disk. */
export function openVbd(target: ReaderTarget): Reader {
  const handle = target.native.openVbd(devicesFolder(target.sysfs), target.domid, target.devid);
  if (typeof handle === 'number') throw statisticsError(target, handle, 'open');
  return new VbdReader(target, handle);
}

class VbdReader implements Reader {
  readonly #native: Native;
  readonly #handle: VbdHandle;
  readonly #target: ReaderTarget;

  constructor(target: ReaderTarget, handle: VbdHandle) {
    this.#native = target.native;
    this.#handle = handle;
    this.#target = target;
  }

  read(counters: number): VbdFailure | undefined {
    return this.#native.readVbd(this.#handle, counters);
  }

  error(failure: VbdFailure): XenError {
    return statisticsError(this.#target, failure, 'pread');
  }

  close(): void {
    this.#native.closeVbd(this.#handle);
  }
}

/** The error for a failure of a vbd's statistics. */
export function statisticsError(
  { sysfs, domid, devid, disk }: Omit<ReaderTarget, 'native'>,
  failure: VbdFailure,
  syscall: string,
): XenError {
  const { errno, file } = decodeFailure(failure);
  const folder = `${devicesFolder(sysfs)}/vbd-${domid}-${devid}/statistics`;
  const path = file === undefined ? folder : `${folder}/${file}`;
  const what = file === undefined ? 'cannot open bus path' : 'cannot read';
  return new XenError(
    'ERR_XEN_STATS_UNAVAILABLE',
    `${what} ${path}: ${reason(errno)} (disk ${disk})`,
    {
      errno,
      syscall,
      path,
      domid,
      disk,
    },
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
