import type { XenstoredProxy } from '../support/xenstored-proxy';

/** A fault of xenstored, and the codes of the errors of calls that wait for xenstored then. */
type Fault = [
  name: string,
  begin: (proxy: XenstoredProxy) => Promise<void>,
  codes: readonly string[],
];

const TIMEOUT = ['ERR_XENSTORE_TIMEOUT'];
const IO = ['ERR_XENSTORE_IO'];
const CONNECT = ['ERR_XENSTORE_CONNECT'];

/** Faults of xenstored that a proxy can cause. */
export const FAULTS: Fault[] = [
  ['is absent', (proxy) => proxy.down(), CONNECT],
  ['refuses requests (EACCES)', (proxy) => proxy.error('EACCES'), CONNECT],
  ['does not respond', (proxy) => proxy.hold(), TIMEOUT],
  ['stops in the middle of a header', (proxy) => proxy.hold({ bytes: 9 }), TIMEOUT],
  ['stops in the middle of a value', (proxy) => proxy.hold({ bytes: 17 }), TIMEOUT],
  ['disconnects in place of a response', (proxy) => proxy.hangUp(), IO],
  ['disconnects in the middle of a value', (proxy) => proxy.hangUp({ bytes: 17 }), IO],
  ['disconnects after three responses', (proxy) => proxy.hangUp({ skip: 3 }), IO],
  ['sends a byte every millisecond', (proxy) => proxy.trickle(), TIMEOUT],
  ['sends a byte every 50 ms', (proxy) => proxy.trickle({ intervalMs: 50 }), TIMEOUT],
  ['responds with an unknown error', (proxy) => proxy.error('EWHAT'), IO],
  ['responds with an undocumented error', (proxy) => proxy.error('EIO'), IO],
];
