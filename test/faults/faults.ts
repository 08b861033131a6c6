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

/** Faults of xenstored that a proxy causes. */
export const FAULTS: Fault[] = [
  ['is not there', (proxy) => proxy.down(), CONNECT],
  ['refuses to answer (EACCES)', (proxy) => proxy.error('EACCES'), CONNECT],
  ['does not answer', (proxy) => proxy.hold(), TIMEOUT],
  ['stops in the middle of a header', (proxy) => proxy.hold({ bytes: 9 }), TIMEOUT],
  ['stops in the middle of a value', (proxy) => proxy.hold({ bytes: 17 }), TIMEOUT],
  ['hangs up in place of an answer', (proxy) => proxy.hangUp(), IO],
  ['hangs up in the middle of a value', (proxy) => proxy.hangUp({ bytes: 17 }), IO],
  ['hangs up after three answers', (proxy) => proxy.hangUp({ skip: 3 }), IO],
  ['sends a byte every millisecond', (proxy) => proxy.trickle(), TIMEOUT],
  ['sends a byte every 50 ms', (proxy) => proxy.trickle({ intervalMs: 50 }), TIMEOUT],
  ['answers with an error that nobody knows', (proxy) => proxy.error('EWHAT'), IO],
  ['answers with an error that it never documents', (proxy) => proxy.error('EIO'), IO],
];
