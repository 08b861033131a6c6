import { XenError, type Connection, type Domain } from '..';

/** The domain that was meant: a number is a domid, unless there is only a name like it. */
export function findDomain(xen: Connection, text: string): Domain {
  if (!/^[0-9]{1,5}$/.test(text)) return xen.domain(text);
  try {
    return xen.domain(Number(text));
  } catch (error) {
    const missing = error instanceof RangeError || isCode(error, 'ERR_XEN_NO_DOMAIN');
    if (!missing) throw error;
    return xen.domain(text);
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof XenError && error.code === code;
}
