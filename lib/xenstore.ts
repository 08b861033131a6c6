import { isUtf8 } from 'node:buffer';
import { getSystemErrorName } from 'node:util';
import { XenError } from './errors';
import type { Native, XenstoreFailure, XenstoreHandle } from './native';

/** A node's value: its text; null if it may not be read or is not text; undefined if there is none. */
export type NodeText = string | null | undefined;

const EACCES = 13;
const EPERM = 1;

/** No text of xenstore that we have a use for has control characters, and a terminal obeys them. */
const CONTROL_CHARACTER = /\p{Cc}/u;

/** The connection to xenstored: whoever wants to know something opens a query. */
export class Xenstore {
  readonly #native: Native;
  readonly #timeoutMs: number;
  #handle: XenstoreHandle | undefined;

  constructor(native: Native, socket: string | undefined, timeoutMs: number) {
    this.#native = native;
    this.#timeoutMs = timeoutMs;
    this.#handle = native.openXenstore(socket);
  }

  /** Opens a query, for one call of the public interface: all its answers come within timeoutMs. */
  query(): Query {
    if (this.#handle === undefined) {
      throw new XenError('ERR_XEN_CLOSED', 'the connection to Xen is closed');
    }
    return new Query(this.#native, this.#handle, this.#timeoutMs);
  }

  get closed(): boolean {
    return this.#handle === undefined;
  }

  close(): void {
    if (this.#handle === undefined) return;
    this.#native.closeXenstore(this.#handle);
    this.#handle = undefined;
  }
}

/** What one call wants to know from xenstored. Many paths in one request cost one change of thread. */
export class Query {
  readonly #native: Native;
  readonly #handle: XenstoreHandle;
  readonly #timeoutMs: number;
  readonly #deadline: number;

  constructor(native: Native, handle: XenstoreHandle, timeoutMs: number) {
    this.#native = native;
    this.#handle = handle;
    this.#timeoutMs = timeoutMs;
    this.#deadline = performance.now() + timeoutMs;
  }

  /** The values of these nodes. */
  read(paths: readonly string[]): NodeText[] {
    if (paths.length === 0) return [];
    const answers = this.#native.askXenstore(this.#handle, false, paths, this.#remainingMs());
    if (!Array.isArray(answers)) throw this.#error(answers);
    return answers.map((answer) => {
      if (typeof answer === 'number') return isRefusal(answer) ? null : undefined;
      if (!isUtf8(answer)) return null;
      const text = answer.toString();
      return CONTROL_CHARACTER.test(text) ? null : text;
    });
  }

  /** The names of the children of these nodes; none for a node that is not there. */
  list(paths: readonly string[]): { names: string[]; refused: boolean }[] {
    if (paths.length === 0) return [];
    const answers = this.#native.askXenstore(this.#handle, true, paths, this.#remainingMs());
    if (!Array.isArray(answers)) throw this.#error(answers);
    return answers.map((answer) =>
      typeof answer === 'number'
        ? { names: [], refused: isRefusal(answer) }
        : { names: answer, refused: false },
    );
  }

  #remainingMs(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  #error({ failure, errno }: XenstoreFailure): XenError {
    const reason = errno > 0 ? getSystemErrorName(-errno) : 'no reason given';
    switch (failure) {
      case 'library':
        return new XenError(
          'ERR_XEN_NO_LIBXENSTORE',
          'libxenstore is not installed: install libxenstore4 (Debian, Ubuntu) or xen-libs (Fedora, SUSE)',
          { syscall: 'dlopen' },
        );
      case 'connect':
        return new XenError(
          'ERR_XENSTORE_CONNECT',
          `cannot connect to xenstored: ${reason} (is it running here, and is this user allowed to ask it?)`,
          { errno, syscall: 'xs_open' },
        );
      case 'timeout':
        return new XenError(
          'ERR_XENSTORE_TIMEOUT',
          `xenstored did not answer within ${this.#timeoutMs} ms`,
          { errno },
        );
      case 'broken':
        return new XenError(
          'ERR_XENSTORE_IO',
          `the connection to xenstored broke: ${reason} (the next call makes a new one)`,
          { errno },
        );
    }
  }
}

function isRefusal(errno: number): boolean {
  return errno === EACCES || errno === EPERM;
}
