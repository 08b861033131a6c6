import { createConnection, type Socket } from 'node:net';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { callAfter } from '../deadline';
import { XenError, type XenErrorDetails } from '../errors';
import { COMMANDS, QmpReader, type BlockStats } from './qmp';

/** The monitor of a domain's QEMU: a unix socket on which QEMU serves one client at a time. */
export interface Monitor {
  readonly domid: number;
  readonly path: string;
}

/** A query of a monitor, on a connection of its own. Connects again while the queue of clients is full. */
export class QemuQuery {
  readonly answer: Promise<BlockStats[]>;
  readonly #monitor: Monitor;
  readonly #timeoutMs: number;
  readonly #reader = new QmpReader();
  #resolve!: (stats: BlockStats[]) => void;
  #reject!: (error: XenError) => void;
  #socket: Socket;
  /** The timer until the next attempt to connect; undefined during one. */
  #retry: NodeJS.Timeout | undefined;
  readonly #cancelDeadline: () => void;
  #isTimedOut = false;

  constructor(monitor: Monitor, timeoutMs: number) {
    this.#monitor = monitor;
    this.#timeoutMs = timeoutMs;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#socket = this.#connect();
    this.#cancelDeadline = callAfter(timeoutMs, () => {
      this.#expire();
    });
  }

  /** Whether the deadline has passed without an answer. */
  get isTimedOut(): boolean {
    return this.#isTimedOut;
  }

  /** Rejects the answer, unless it has arrived. */
  fail(error: XenError): void {
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.#cancelDeadline();
    clearTimeout(this.#retry);
    this.#socket.destroy();
  }

  #connect(): Socket {
    const socket = createConnection(this.#monitor.path).setEncoding('latin1');
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#handleError(error);
    });
    socket.on('data', (chunk: string) => {
      this.#receive(chunk);
    });
    socket.on('end', () => {
      this.fail(readError(this.#monitor, 'QEMU closed the connection before it answered'));
    });
    socket.write(COMMANDS);
    return socket;
  }

  #receive(chunk: string): void {
    let stats;
    try {
      stats = this.#reader.push(chunk);
    } catch (error) {
      this.fail(readError(this.#monitor, (error as Error).message));
      return;
    }
    if (stats === undefined) return;
    this.#end();
    this.#resolve(stats);
  }

  #handleError({ errno: negative, syscall, message }: NodeJS.ErrnoException): void {
    const errno = negative === undefined ? undefined : Math.abs(negative);
    const why = errno === undefined ? message : reason(errno);
    if (syscall !== 'connect') {
      this.fail(readError(this.#monitor, why, { errno }));
    } else if (errno === EAGAIN) {
      // after a random time, so that two clients do not collide again
      const delayMs = 2 + 4 * Math.random();
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#socket = this.#connect();
      }, delayMs);
    } else {
      this.fail(connectError(this.#monitor, why, { errno }));
    }
  }

  #expire(): void {
    this.#isTimedOut = true;
    const late = `QEMU did not answer within ${this.#timeoutMs} ms`;
    if (this.#retry !== undefined) {
      const why = `${late}: it hangs, or other programs use its monitor (EAGAIN)`;
      this.fail(connectError(this.#monitor, why, { errno: EAGAIN }));
    } else {
      const why = this.#reader.isGreeted ? '' : ', or another program uses its monitor';
      this.fail(readError(this.#monitor, `${late}: it hangs${why}`));
    }
  }
}

/** Creates the error for a failure to connect to a monitor. */
export function connectError(monitor: Monitor, why: string, details?: XenErrorDetails): XenError {
  return monitorError(monitor, `cannot connect to ${monitor.path}: ${why}`, {
    syscall: 'connect',
    ...details,
  });
}

/** Creates the error for a failure after the connection to a monitor. */
export function readError(monitor: Monitor, why: string, details?: XenErrorDetails): XenError {
  return monitorError(monitor, `cannot read ${monitor.path}: ${why}`, {
    syscall: 'read',
    ...details,
  });
}

function monitorError(monitor: Monitor, message: string, details: XenErrorDetails): XenError {
  const text = `${message} (domain ${monitor.domid})`;
  return new XenError('ERR_XEN_STATS_UNAVAILABLE', text, { ...monitor, ...details });
}

const { EACCES, EAGAIN, ECONNREFUSED, ECONNRESET, EMFILE, ENOENT } = constants.errno;

function reason(errno: number): string {
  switch (errno) {
    case ENOENT:
      return 'ENOENT, the domain has no QEMU';
    case ECONNREFUSED:
      return 'ECONNREFUSED, the QEMU of the domain has crashed or was killed';
    case EACCES:
      return 'EACCES, only root may connect';
    case ECONNRESET:
      return 'ECONNRESET, the QEMU of the domain has ended';
    case EMFILE:
      return 'EMFILE, too many open files: raise the limit (ulimit -n)';
    default:
      return getSystemErrorName(-errno);
  }
}
