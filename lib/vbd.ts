import { getSystemErrorName } from 'node:util';
import type { Reader, ReaderTarget } from './backend';
import { XenError } from './errors';
import { decodeFailure, type Native, type VbdFailure, type VbdHandle } from './native';

/** Opens the statistics that Linux's blkback keeps of a disk. */
export function openVbd(target: ReaderTarget): Reader {
  const devices = `${target.sysfs}/bus/xen-backend/devices`;
  const handle = target.native.openVbd(devices, target.domid, target.devid);
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

function statisticsError(
  { sysfs, domid, devid, disk }: ReaderTarget,
  failure: VbdFailure,
  syscall: string,
): XenError {
  const { errno, file } = decodeFailure(failure);
  const folder = `${sysfs}/bus/xen-backend/devices/vbd-${domid}-${devid}/statistics`;
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

function reason(errno: number): string {
  const name = getSystemErrorName(-errno);
  switch (name) {
    case 'EBADMSG':
      return 'it does not hold a number';
    case 'EOVERFLOW':
      return 'its number does not fit in 64 bits with a sign';
    case 'ENOENT':
      return 'ENOENT, the kernel has no statistics of it';
    case 'EMFILE':
    case 'ENFILE':
      return `${name}, too many open files: raise the limit (ulimit -n), each disk takes seven`;
    default:
      return name;
  }
}
