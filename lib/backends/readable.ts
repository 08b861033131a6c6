import { XenError } from '../errors';
import type { DiskKind } from '../xenstore/backend-kinds';
import type { DiskInfo } from '../xenstore/disks';

/** The kinds of disks that can be read. */
export const READABLE_KINDS = ['vbd', 'vbd3', 'qdisk'] as const;

/** Whether blkback, tapdisk or QEMU in this domain serves the disk, from its description in xenstore. */
export function isReadable({ kind, backendDomid, format }: DiskInfo, ownDomid: number): boolean {
  const kinds: readonly DiskKind[] = READABLE_KINDS;
  return backendDomid === ownDomid && kinds.includes(kind) && (kind !== 'vbd' || format === 'raw');
}

/**
 * Checks that blkback in this domain serves the disk, as libvirt does.
 *
 * @throws XenError `ERR_XEN_UNSUPPORTED_DRIVER`, `ERR_XEN_UNSUPPORTED_FORMAT`.
 */
export function checkBlkback(info: DiskInfo, ownDomid: number): void {
  if (info.kind === 'vbd' && isReadable(info, ownDomid)) return;
  checkReadable(info, ownDomid);
  throw unsupportedKind(
    info,
    info.kind === 'qdisk' ? 'disk.readAsync() reads it' : 'disk.read() reads it',
  );
}

/**
 * Checks that a disk is readable.
 *
 * @throws XenError `ERR_XEN_UNSUPPORTED_DRIVER`, `ERR_XEN_UNSUPPORTED_FORMAT`.
 */
export function checkReadable(info: DiskInfo, ownDomid: number): void {
  if (isReadable(info, ownDomid)) return;
  const { driver, kind, format, backendDomid } = info;
  if (backendDomid !== ownDomid) {
    throw unsupported(
      'ERR_XEN_UNSUPPORTED_DRIVER',
      `unsupported disk driver ${driver} in domain ${backendDomid}`,
      info,
      'is served by that domain: read its statistics there',
    );
  }
  if (kind !== 'vbd') throw unsupportedKind(info);
  throw unsupported(
    'ERR_XEN_UNSUPPORTED_FORMAT',
    `unsupported format ${format}`,
    info,
    'is not raw',
  );
}

/**
 * Creates the error for a disk of a kind that a call cannot read.
 *
 * @param hint - the call that can, if there is one.
 */
export function unsupportedKind(info: DiskInfo, hint?: string): XenError {
  const { driver, kind } = info;
  const message = `unsupported disk driver ${driver}`;
  const why = `is served by ${kind}, not by blkback${hint === undefined ? '' : `: ${hint}`}`;
  return unsupported('ERR_XEN_UNSUPPORTED_DRIVER', message, info, why);
}

function unsupported(
  code: 'ERR_XEN_UNSUPPORTED_DRIVER' | 'ERR_XEN_UNSUPPORTED_FORMAT',
  message: string,
  { name: disk, domid, domain = String(domid) }: DiskInfo,
  why: string,
): XenError {
  return new XenError(code, `${message} (disk ${disk} of domain ${domain} ${why})`, {
    domid,
    disk,
  });
}
