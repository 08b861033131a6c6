import { isUtf8 } from 'node:buffer';
import { getSystemErrorName } from 'node:util';
import { XenError } from './errors';
import {
  Operation,
  type Native,
  type XenstoreAnswer,
  type XenstoreFailure,
  type XenstoreHandle,
} from './native';

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
    return new Query(this.#native, this.#open(), this.#timeoutMs);
  }

  /** @throws XenError `ERR_XEN_CLOSED`. */
  checkOpen(): void {
    this.#open();
  }

  close(): void {
    if (this.#handle === undefined) return;
    this.#native.closeXenstore(this.#handle);
    this.#handle = undefined;
  }

  #open(): XenstoreHandle {
    if (this.#handle !== undefined) return this.#handle;
    throw new XenError('ERR_XEN_CLOSED', 'the connection to Xen is closed');
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

  /**
   * The values of these nodes.
   *
   * @throws {@link XenError} `ERR_XENSTORE_CONNECT` if xenstored refuses to tell one: what we may not
   * know is not what is not there.
   */
  read(paths: readonly string[]): NodeText[] {
    return this.#askPermitted(Operation.read, paths).map(toText);
  }

  /** The same, and null for a node that xenstored does not tell us. */
  readPermitted(paths: readonly string[]): NodeText[] {
    return this.#ask(Operation.read, paths).map(toText);
  }

  /**
   * The names of the children of these nodes; none for a node that is not there.
   *
   * @throws as {@link Query.read}.
   */
  list(paths: readonly string[]): string[][] {
    return this.#askPermitted(Operation.list, paths).map(toNames);
  }

  /** The same, and null for a node that xenstored does not tell us of. */
  listPermitted(paths: readonly string[]): (string[] | null)[] {
    return this.#ask(Operation.list, paths).map((answer) =>
      isRefusal(answer) ? null : toNames(answer),
    );
  }

  #askPermitted(operation: number, paths: readonly string[]): XenstoreAnswer[] {
    const answers = this.#ask(operation, paths);
    checkPermitted(paths, answers);
    return answers;
  }

  #ask(operation: number, paths: readonly string[]): XenstoreAnswer[] {
    if (paths.length === 0) return [];
    const remainingMs = Math.max(0, this.#deadline - performance.now());
    const answers = this.#native.askXenstore(this.#handle, operation, paths, remainingMs);
    if (!Array.isArray(answers)) throw xenstoreError(answers, this.#timeoutMs);
    return answers;
  }
}

/** A node's value in an answer. */
export function toText(answer: XenstoreAnswer | undefined): NodeText {
  if (!Buffer.isBuffer(answer)) return isRefusal(answer) ? null : undefined;
  if (!isUtf8(answer)) return null;
  const text = answer.toString();
  return CONTROL_CHARACTER.test(text) ? null : text;
}

/** The names of a node's children in an answer. */
export function toNames(answer: XenstoreAnswer | undefined): string[] {
  return Array.isArray(answer) ? answer : [];
}

/** Whether xenstored does not tell us. */
export function isRefusal(answer: XenstoreAnswer | undefined): boolean {
  return answer === EACCES || answer === EPERM;
}

/** @throws XenError `ERR_XENSTORE_CONNECT` if one of the answers about these paths is a refusal. */
export function checkPermitted(paths: readonly string[], answers: readonly XenstoreAnswer[]): void {
  const path = paths.find((_, i) => isRefusal(answers[i]));
  if (path === undefined) return;
  throw new XenError(
    'ERR_XENSTORE_CONNECT',
    `xenstored refuses to answer about ${path}: EACCES (is this user allowed to ask it?)`,
    { errno: EACCES, path },
  );
}

/** The error for what kept xenstored from answering. */
export function xenstoreError({ failure, errno }: XenstoreFailure, timeoutMs: number): XenError {
  const reason = errno > 0 ? getSystemErrorName(-errno) : 'no reason given';
  switch (failure) {
    case 'connect':
      return new XenError(
        'ERR_XENSTORE_CONNECT',
        `cannot connect to xenstored: ${reason} (is it running here, and is this user allowed to ask it?)`,
        { errno, syscall: 'connect' },
      );
    case 'timeout':
      return new XenError(
        'ERR_XENSTORE_TIMEOUT',
        `xenstored did not answer within ${timeoutMs} ms`,
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
