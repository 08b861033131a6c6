import { constants } from 'node:os';
import { debuglog, getSystemErrorName } from 'node:util';
import { XenError } from '../errors';
import type { Host } from '../host';
import {
  monotonicTime,
  type Answer,
  type NativeXenstoreClient,
  type Operation,
  type XenstoreFailure,
} from '../native';

/** The value of a node: a string; null if xenstored refuses the request; undefined if the node does not exist. */
export type NodeText = string | null | undefined;

const EACCES = 13;
const EPERM = 1;

/** Control characters, which a terminal would interpret. */
const CONTROL_CHARACTERS = /\p{Cc}/gu;

/** The settings of a connection that its requests need. */
type Settings = Pick<Host, 'socket' | 'timeoutMs'>;

const log = debuglog('xen-block-stats');

/** Logs a request, with NODE_DEBUG=xen-block-stats. */
export function logRequest(
  operation: Operation,
  paths: readonly string[],
  start: number,
  answers: Answer[] | XenstoreFailure,
): void {
  if (!log.enabled) return;
  const result = Array.isArray(answers) ? 'answered' : `failed (${answers.failure})`;
  log('%s %s after %s ms: %s', operation, result, elapsed(start), paths.join(' '));
}

/** Logs watch events, with NODE_DEBUG=xen-block-stats. */
export function logEvents(changed: readonly string[], lost: boolean): void {
  if (changed.length > 0) log('watch events: %s', changed.join(' '));
  if (lost) log('the watches are lost');
}

function elapsed(start: number): string {
  return (performance.now() - start).toFixed(3);
}

/**
 * A synchronous client of xenstored: its requests wait for the response until a deadline. When the connection is
 * lost (xenstored restarts), the addon reconnects within the call (binding/xenstore_client.cc).
 */
export class XenstoreClient {
  readonly #settings: Settings;
  #client: NativeXenstoreClient | undefined;

  constructor({ native, ...settings }: Settings & Pick<Host, 'native'>) {
    this.#settings = settings;
    this.#client = new native.XenstoreClient(settings.socket);
  }

  /**
   * Begins a call of the public interface: all of its requests share one deadline.
   *
   * @throws XenError `ERR_XEN_CLOSED`.
   */
  query(): Query {
    this.checkOpen();
    return new Query(this, this.#settings);
  }

  get isOpen(): boolean {
    return this.#client !== undefined;
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
  readonly #client: XenstoreClient;
  readonly #settings: Settings;
  /** The {@link monotonicTime}, in milliseconds. */
  readonly #deadlineMs: number;

  constructor(client: XenstoreClient, settings: Settings) {
    this.#client = client;
    this.#settings = settings;
    this.#deadlineMs = Number(monotonicTime()) / 1e6 + settings.timeoutMs;
  }

  /**
   * Returns the values of nodes.
   *
   * @param required - how many of the first nodes xenstored must not refuse.
   * @throws {@link XenError} `ERR_XENSTORE_CONNECT` if xenstored refuses one of them, because a refused
   * node may exist; `ERR_XENSTORE_TIMEOUT`, `ERR_XENSTORE_IO`.
   */
  read(paths: readonly string[], required = paths.length): NodeText[] {
    return this.readAll(paths, required).map(toText);
  }

  /**
   * Returns the names of the children of each node. A node that does not exist has none.
   *
   * @param required - as for {@link Query.read}.
   * @throws as {@link Query.read}.
   */
  list(paths: readonly string[], required = paths.length): string[][] {
    return this.readAll(paths.map(childrenOf), required).map(toNames);
  }

  /** Returns the names of the children of each node, and null for a node that xenstored refuses. */
  listPermitted(paths: readonly string[]): (string[] | null)[] {
    return this.readAll(paths.map(childrenOf), 0).map((answer) =>
      isRefusal(answer) ? null : toNames(answer),
    );
  }

  /**
   * Reads paths that may have `*`, `#` and `{}`: see {@link Operation}.
   *
   * @param required - as for {@link Query.read}.
   * @throws as {@link Query.read}.
   */
  readAll(paths: readonly string[], required = paths.length): Answer[] {
    const answers = this.#request('read', paths);
    checkPermitted(paths, answers.slice(0, required));
    return answers;
  }

  /**
   * Watches nodes. Returns a function that tells, without a request, whether what is read of them
   * afterwards is true: it returns false after any change that xenstored has told, and always if
   * there is no watch: xenstored refuses too many of a driver domain, and the first one needs another
   * connection, for which this process may have no descriptor.
   *
   * @throws {@link XenError} `ERR_XENSTORE_TIMEOUT`; the function: `ERR_XEN_CLOSED`.
   */
  watch(paths: readonly string[]): () => boolean {
    if (!this.#tryWatch(paths)) return () => false;
    const client = this.#client;
    const changes = client.checkOpen().changes();
    return () => client.checkOpen().changes() === changes;
  }

  /** Ends the watches of nodes, if there are any. */
  unwatch(paths: readonly string[]): void {
    this.#request('unwatch', paths);
  }

  /** Watches nodes. Returns whether all are watched. For the addon, a refusal is a lost connection. */
  #tryWatch(paths: readonly string[]): boolean {
    try {
      return this.#request('watch', paths).every((answer) => typeof answer !== 'number');
    } catch (error) {
      if (!(error instanceof XenError) || error.code === 'ERR_XENSTORE_TIMEOUT') throw error;
      return false; // the next request fails, too, if the connection is gone
    }
  }

  #request(operation: Operation, paths: readonly string[]): Answer[] {
    if (paths.length === 0) return [];
    const start = performance.now();
    const answers = this.#client.checkOpen().request(operation, paths, this.#deadlineMs);
    logRequest(operation, paths, start, answers);
    if (!Array.isArray(answers)) throw xenstoreError(answers, this.#settings);
    return answers;
  }
}

/** Returns the value of a node. U+FFFD replaces invalid UTF-8 and control characters. */
export function toText(answer: Answer | undefined): NodeText {
  if (typeof answer === 'string') return answer;
  if (Buffer.isBuffer(answer)) return answer.toString().replace(CONTROL_CHARACTERS, '\uFFFD');
  return isRefusal(answer) ? null : undefined;
}

/** Returns the values of the nodes of a path with `{}`. There are none if its directory does not exist. */
export function toTexts(answer: Answer | undefined): NodeText[] {
  return Array.isArray(answer) ? answer.map(toText) : [];
}

/** Returns the answer for each child, by its name, to a path that goes on after `*` or `#`. */
export function toChildren(answer: Answer | undefined): Map<string, Answer> {
  return new Map(Array.isArray(answer) ? (answer as [string, Answer][]) : []);
}

/** Returns the path whose answer is the names of a directory's children. */
export function childrenOf(directory: string): string {
  return `${directory}/*`;
}

/** Returns the names of a directory's children, from the answer to {@link childrenOf}. */
export function toNames(answer: Answer | undefined): string[] {
  return Array.isArray(answer) ? answer.map(String) : [];
}

function isRefusal(answer: Answer | undefined): answer is number {
  return answer === EACCES || answer === EPERM;
}

function findRefusal(answer: Answer): number | undefined {
  if (!Array.isArray(answer)) return isRefusal(answer) ? answer : undefined;
  for (const part of answer) {
    const errno = findRefusal(part);
    if (errno !== undefined) return errno;
  }
  return undefined;
}

/** @throws XenError `ERR_XENSTORE_CONNECT` if xenstored refuses one of these paths. */
export function checkPermitted(paths: readonly string[], answers: readonly Answer[]): void {
  answers.forEach((answer, i) => {
    const errno = findRefusal(answer);
    if (errno === undefined) return;
    const path = paths[i];
    throw new XenError(
      'ERR_XENSTORE_CONNECT',
      `xenstored refuses access to ${String(path)}: ${getSystemErrorName(-errno)} (is this user allowed to read it?)`,
      { errno, path },
    );
  });
}

/** What is likely when the connection fails, by the name of the error. */
const CONNECT_HINTS: Readonly<Record<string, string>> = {
  ENOENT: 'is this a Xen host, and is xenstored running?',
  ECONNREFUSED: 'xenstored is not running',
  EACCES: 'only root may connect',
  EPERM: 'only root may connect',
  EMFILE: 'too many open files: raise the limit (ulimit -n)',
  ENFILE: 'too many open files on this machine',
  EAGAIN: 'no thread can be started',
};

/** Returns the path of the socket that libxenstore connects to first. */
function defaultSocket(): string {
  const { XENSTORED_PATH: path, XENSTORED_RUNDIR: directory = '/var/run/xenstored' } = process.env;
  return path ?? `${directory}/socket`;
}

/** Creates the error for a request that had no response before its deadline. */
export function timeoutError(timeoutMs: number): XenError {
  const errno = constants.errno.ETIMEDOUT;
  const message = `xenstored did not respond within ${timeoutMs} ms`;
  return new XenError('ERR_XENSTORE_TIMEOUT', message, { errno });
}

/** Creates the error for a request that has no response. */
export function xenstoreError(
  { failure, errno }: XenstoreFailure,
  { timeoutMs, socket }: Settings,
): XenError {
  const reason = errno > 0 ? getSystemErrorName(-errno) : 'unknown reason';
  switch (failure) {
    case 'library':
      return new XenError(
        'ERR_XEN_NO_LIBXENSTORE',
        'libxenstore is not installed: install libxenstore4 (Debian, Ubuntu; libxenstore3.0 before Debian 12), xen-libs (Fedora, CentOS, Alpine) or xen (Arch)',
      );
    case 'connect': {
      const path = socket ?? defaultSocket();
      return new XenError(
        'ERR_XENSTORE_CONNECT',
        `cannot connect to xenstored at ${path}: ${reason} (${CONNECT_HINTS[reason] ?? 'is it running?'})`,
        { errno, syscall: 'connect', path },
      );
    }
    case 'timeout':
      return timeoutError(timeoutMs);
    case 'broken':
      return new XenError(
        'ERR_XENSTORE_IO',
        `the connection to xenstored was lost: ${reason} (the next call reconnects)`,
        { errno },
      );
  }
}
