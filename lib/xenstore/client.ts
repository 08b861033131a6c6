import { getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import type { Host } from '../host';
import type { Answer, NativeXenstoreClient, XenstoreFailure } from '../native';

/** The value of a node: its text; null if xenstored refuses it; undefined if there is no such node. */
export type NodeText = string | null | undefined;

const EACCES = 13;
const EPERM = 1;

/** A terminal obeys control characters. */
const CONTROL_CHARACTERS = /\p{Cc}/gu;

/** The client of a connection to Xen: its calls wait for xenstored until their deadline. */
export class XenstoreClient {
  readonly #timeoutMs: number;
  #client: NativeXenstoreClient | undefined;

  constructor({ native, socket, timeoutMs }: Pick<Host, 'native' | 'socket' | 'timeoutMs'>) {
    this.#timeoutMs = timeoutMs;
    this.#client = new native.XenstoreClient(socket);
  }

  /** Begins a call of the public interface: all that it requests is answered before one deadline. */
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

/** What one public call requests of xenstored. Many paths in one request cost one change of thread. */
export class Query {
  readonly #client: NativeXenstoreClient;
  readonly #timeoutMs: number;
  /** On the clock of `process.hrtime`. */
  readonly #deadlineMs: number;

  constructor(client: NativeXenstoreClient, timeoutMs: number) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#deadlineMs = Number(process.hrtime.bigint()) / 1e6 + timeoutMs;
  }

  /**
   * The values of these nodes.
   *
   * @param required - how many of the first nodes xenstored must not refuse.
   * @throws {@link XenError} `ERR_XENSTORE_CONNECT` if it refuses one of them: what may not be read is
   * not what is not there.
   */
  read(paths: readonly string[], required = paths.length): NodeText[] {
    const answers = this.#request('read', paths);
    checkPermitted(paths, answers.slice(0, required));
    return answers.map(toText);
  }

  /**
   * The names of the children of these nodes; none for a node that is not there.
   *
   * @param required - as for {@link Query.read}.
   * @throws as {@link Query.read}.
   */
  list(paths: readonly string[], required = paths.length): string[][] {
    const answers = this.#request('directory', paths);
    checkPermitted(paths, answers.slice(0, required));
    return answers.map(toNames);
  }

  /** The names of the children of these nodes; null for a node that xenstored refuses. */
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

/** The value of a node in an answer. U+FFFD is in the place of what is not UTF-8 or not printable. */
export function toText(answer: Answer | undefined): NodeText {
  if (typeof answer === 'string') return answer;
  if (Buffer.isBuffer(answer)) return answer.toString().replace(CONTROL_CHARACTERS, '\uFFFD');
  return isRefusal(answer) ? null : undefined;
}

/** The names of a node's children in an answer. */
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
    `xenstored refuses to answer about ${String(path)}: ${getSystemErrorName(-errno)} (is this user allowed to ask it?)`,
    { errno, path },
  );
}

/** The error for what kept xenstored from answering. */
export function xenstoreError({ failure, errno }: XenstoreFailure, timeoutMs: number): XenError {
  const reason = errno > 0 ? getSystemErrorName(-errno) : 'no reason given';
  switch (failure) {
    case 'library':
      return new XenError(
        'ERR_XEN_NO_LIBXENSTORE',
        'libxenstore is not installed: install libxenstore4 (Debian, Ubuntu; libxenstore3.0 before Debian 12), xen-libs (Fedora, CentOS, Alpine) or xen (Arch)',
      );
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
