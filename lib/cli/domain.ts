import { XenError, type Connection, type DiskInfo, type Domain } from '..';

/**
 * Finds a running domain by its domid, name or UUID. Digits are a domid; if no domain has it, a name.
 */
export function findDomain(xen: Connection, text: string): Domain {
  if (!/^[0-9]{1,5}$/.test(text)) return xen.domain(text);
  try {
    return xen.domain(Number(text));
  } catch (error) {
    const isMissing = error instanceof RangeError || hasCode(error, 'ERR_XEN_NO_DOMAIN');
    if (!isMissing) throw error;
    return xen.domain(text);
  }
}

/**
 * Returns a filter for a set: the disk of a domain with this path, or all its disks if the path is ''.
 *
 * @throws as {@link Domain.disk}.
 */
export function diskFilter(domain: Domain, path: string): (disk: DiskInfo) => boolean {
  const backend = path === '' ? undefined : domain.disk(path).info.backend;
  return (disk) =>
    disk.domid === domain.domid && (backend === undefined || disk.backend === backend);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof XenError && error.code === code;
}
