import type { Faults } from 'xen-block-stats/simulator';

/** What a xenstored does wrong, and with which errors a call may end that asks it then. */
type Fault = [name: string, begin: (faults: Faults) => Promise<void>, codes: readonly string[]];

const TIMEOUT = ['ERR_XENSTORE_TIMEOUT'];
const IO = ['ERR_XENSTORE_IO'];
const CONNECT = ['ERR_XENSTORE_CONNECT'];

/** Faults of a simulated xenstored. */
export const FAULTS: Fault[] = [
  ['is not there', (faults) => faults.down(), CONNECT],
  ['refuses to answer (EACCES)', (faults) => faults.error('EACCES'), CONNECT],
  ['does not answer', (faults) => faults.hold(), TIMEOUT],
  ['stops in the middle of a header', (faults) => faults.hold({ bytes: 9 }), TIMEOUT],
  ['stops in the middle of a value', (faults) => faults.hold({ bytes: 17 }), TIMEOUT],
  ['hangs up in place of an answer', (faults) => faults.hangUp(), IO],
  ['hangs up in the middle of a value', (faults) => faults.hangUp({ bytes: 17 }), IO],
  ['hangs up after three answers', (faults) => faults.hangUp({ skip: 3 }), IO],
  ['sends a byte every millisecond', (faults) => faults.trickle(), TIMEOUT],
  ['sends a byte every 50 ms', (faults) => faults.trickle({ intervalMs: 50 }), TIMEOUT],
  ['answers with an error that nobody knows', (faults) => faults.error('EWHAT'), IO],
  ['answers with an error that it never documents', (faults) => faults.error('EIO'), IO],
];
