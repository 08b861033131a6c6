import { XenError, type Connection, type Domain } from '..';

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

function hasCode(error: unknown, code: string): boolean {
  return error instanceof XenError && error.code === code;
}
