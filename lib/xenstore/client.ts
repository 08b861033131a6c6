import { getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import type { Host } from '../host';
import type { Answer, NativeXenstoreClient, XenstoreFailure } from '../native';

/** The value of a node: a string; null if xenstored refuses the request; undefined if the node does not exist. */
export type NodeText = string | null | undefined;

const EACCES = 13;
const EPERM = 1;

/** Control characters, which a terminal would interpret. */
const CONTROL_CHARACTERS = /\p{Cc}/gu;

/** A synchronous client of xenstored: its requests wait for the response until a deadline. */
export class XenstoreClient {
  readonly #timeoutMs: number;
  #client: NativeXenstoreClient | undefined;

  constructor({ native, socket, timeoutMs }: Pick<Host, 'native' | 'socket' | 'timeoutMs'>) {
    this.#timeoutMs = timeoutMs;
    this.#client = new native.XenstoreClient(socket);
  }

  /**
   * Begins a call of the public interface: all of its requests share one deadline.
   *
   * @throws XenError `ERR_XEN_CLOSED`.
   */
  query(): Query {
    return new Query(this.checkOpen(), this.#timeoutMs);
  }

  /** @throws XenError `ERR_XEN_CLOSED`. */
  checkOpen(): NativeXenstoreClient {
    if (this.#client !== undefined) return this.#client;
    throw new XenError('ERR_XEN_CLOSED', 'the connection to Xen is closed');
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}

/** The requests of one public call. A request for many paths needs only one switch of threads. */
export class Query {
  readonly #client: NativeXenstoreClient;
  readonly #timeoutMs: number;
  /** In milliseconds on the clock of `process.hrtime`. */
  readonly #deadlineMs: number;

  constructor(client: NativeXenstoreClient, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#deadlineMs = Number(process.hrtime.bigint()) / 1e6 + timeoutMs;
  }

  /**
   * Returns the values of nodes.
   *
   * @param required - how many of the first nodes xenstored must not refuse.
   * @throws {@link XenError} `ERR_XENSTORE_CONNECT` if xenstored refuses one of them, because a refused
   * node may exist; `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_IO`.
   */
  read(paths: readonly string[], required = paths.length): NodeText[] {
    const answers = this.#request('read', paths);
    checkPermitted(paths, answers.slice(0, required));
    return answers.map(toText);
  }

  /**
   * Returns the names of the children of each node. A node that does not exist has none.
   *
   * @param required - as for {@link Query.read}.
   * @throws as {@link Query.read}.
   */
  list(paths: readonly string[], required = paths.length): string[][] {
    const answers = this.#request('directory', paths);
    checkPermitted(paths, answers.slice(0, required));
    return answers.map(toNames);
  }

  /** Returns the names of the children of each node, and null for a node that xenstored refuses. */
  listPermitted(paths: readonly string[]): (string[] | null)[] {
    return this.#request('directory', paths).map((answer) =>
      isRefusal(answer) ? null : toNames(answer),
    );
  }

  #request(operation: 'read' | 'directory', paths: readonly string[]): Answer[] {
    if (paths.length === 0) return [];
    const answers = this.#client.request(operation, paths, this.#deadlineMs);
    if (!Array.isArray(answers)) throw xenstoreError(answers, this.#timeoutMs);
    return answers;
  }
}

/** Returns the value of a node. U+FFFD replaces invalid UTF-8 and control characters. */
export function toText(answer: Answer | undefined): NodeText {
  if (typeof answer === 'string') return answer;
  if (Buffer.isBuffer(answer)) return answer.toString().replace(CONTROL_CHARACTERS, '\uFFFD');
  return isRefusal(answer) ? null : undefined;
}

/** Returns the names of a node's children. */
export function toNames(answer: Answer | undefined): string[] {
  return Array.isArray(answer) ? answer : [];
}

function isRefusal(answer: Answer | undefined): boolean {
  return answer === EACCES || answer === EPERM;
}

/** @throws XenError `ERR_XENSTORE_CONNECT` if xenstored refuses one of these paths. */
export function checkPermitted(paths: readonly string[], answers: readonly Answer[]): void {
  const refused = answers.findIndex(isRefusal);
  if (refused < 0) return;
  const errno = answers[refused] as number;
  const path = paths[refused];
  throw new XenError(
    'ERR_XENSTORE_CONNECT',
    `xenstored refuses access to ${String(path)}: ${getSystemErrorName(-errno)} (is this user allowed to read it?)`,
    { errno, path },
  );
}

/** Creates the error for a request that has no response. */
export function xenstoreError({ failure, errno }: XenstoreFailure, timeoutMs: number): XenError {
  const reason = errno > 0 ? getSystemErrorName(-errno) : 'unknown reason';
  switch (failure) {
    case 'library':
      return new XenError(
        'ERR_XEN_NO_LIBXENSTORE',
        'libxenstore is not installed: install libxenstore4 (Debian, Ubuntu; libxenstore3.0 before Debian 12), xen-libs (Fedora, CentOS, Alpine) or xen (Arch)',
      );
    case 'connect':
      return new XenError(
        'ERR_XENSTORE_CONNECT',
        `cannot connect to xenstored: ${reason} (is it running, and is this user allowed to connect?)`,
        { errno, syscall: 'connect' },
      );
    case 'timeout':
      return new XenError(
        'ERR_XENSTORE_TIMEOUT',
        `xenstored did not respond within ${timeoutMs} ms`,
        { errno },
      );
    case 'broken':
      return new XenError(
        'ERR_XENSTORE_IO',
        `the connection to xenstored was lost: ${reason} (the next call reconnects)`,
        { errno },
      );
  }
}
