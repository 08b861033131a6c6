import { constants } from 'node:os';
import { XenError } from '../errors';
import type { Host } from '../host';
import type { Answer, NativeXenstoreClient, Operation } from '../native';
import { checkPermitted, xenstoreError } from './client';

/** How often the connection is checked while there is nothing to request, in milliseconds. */
const HEARTBEAT_MS = 2000;

/** A response that takes longer than this is late, in milliseconds. */
const LATE_MS = 5000;

/** A request that is not answered yet. */
interface Pending {
  readonly since: number;
  readonly resolve: (answers: Answer[]) => void;
  readonly reject: (error: XenError) => void;
}

/**
 * A client of xenstored that never waits, and is told what changes. When its connection is lost, so are
 * its watches; the next request makes a new connection. It can be collected without being closed.
 */
export class WatchingClient {
  readonly #client: NativeXenstoreClient;
  readonly #timeoutMs: number;
  readonly #onEvents: (changed: readonly string[], lost: boolean) => void;
  #pending: Pending | undefined;
  /** Settles when the last request is answered: there is one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #isLate = false;
  #heartbeat: NodeJS.Timeout;
  #isClosed = false;

  /**
   * @param onEvents - called with paths below which something changed, cut off after six names, and
   * with whether the connection was lost. Must not reference the client's owner strongly.
   */
  constructor(
    { native, socket, timeoutMs }: Host,
    onEvents: (changed: readonly string[], lost: boolean) => void,
  ) {
    this.#timeoutMs = timeoutMs;
    this.#onEvents = onEvents;
    this.#client = new native.XenstoreClient(
      socket,
      this.#weakly((self) => {
        self.#take();
      }),
    );
    this.#heartbeat = this.#beatLater();
  }

  /** Whether xenstored hangs: a response has not come for five seconds. */
  get isLate(): boolean {
    return this.#isLate;
  }

  /**
   * Requests the same of many paths.
   *
   * @param mayBeRefused - how many of the first paths xenstored may refuse.
   * @throws {@link XenError} if xenstored cannot be reached, the connection is lost, or it refuses.
   */
  async request(
    operation: Operation,
    paths: readonly string[],
    mayBeRefused = 0,
  ): Promise<Answer[]> {
    if (paths.length === 0) return [];
    const response = this.#last.then(() => this.#post(operation, paths));
    this.#last = response.catch(() => undefined);
    const answers = await response;
    checkPermitted(paths.slice(mayBeRefused), answers.slice(mayBeRefused));
    return answers;
  }

  /** Whether the process goes on for its events. */
  keepAlive(alive: boolean): void {
    this.#client.keepAlive(alive);
  }

  /** Ends the connection. Requests that are not answered are rejected. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#heartbeat);
    this.#client.close();
    this.#pending?.reject(closedError());
    this.#pending = undefined;
  }

  #post(operation: Operation, paths: readonly string[]): Promise<Answer[]> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) {
        reject(closedError());
        return;
      }
      this.#pending = { since: performance.now(), resolve, reject };
      this.#client.post(operation, paths);
    });
  }

  /** Calls a method from a timer or the addon, which must not keep an unclosed client from being collected. */
  #weakly(call: (self: WatchingClient) => void): () => void {
    const ref = new WeakRef(this);
    return () => {
      const self = ref.deref();
      if (self !== undefined && !self.#isClosed) call(self);
    };
  }

  /** Takes the response and the watch events that have come. */
  #take(): void {
    const { changed, lost, response } = this.#client.take();
    const pending = this.#pending;
    if (response !== undefined && pending !== undefined) {
      this.#pending = undefined;
      this.#isLate = false;
      if (Array.isArray(response)) pending.resolve(response);
      else pending.reject(xenstoreError(response, this.#timeoutMs));
    }
    if (changed.length > 0 || lost) this.#onEvents(changed, lost);
  }

  /** Tries another connection, once: the thread of this one may have missed that it was lost. */
  #giveUp(): void {
    if (!this.#client.giveUp()) return;
    const failure = { failure: 'timeout', errno: constants.errno.ETIMEDOUT } as const;
    this.#pending?.reject(xenstoreError(failure, LATE_MS));
    this.#pending = undefined;
    this.#onEvents([], true);
  }

  #beatLater(): NodeJS.Timeout {
    const beat = this.#weakly((self) => {
      self.#heartbeat = self.#beatLater();
      self.#beat();
    });
    return setTimeout(beat, HEARTBEAT_MS).unref();
  }

  /** Notices a xenstored that hangs, also while there is nothing to request. */
  #beat(): void {
    // what has come while the event loop was busy is not late
    this.#take();
    if (this.#pending === undefined) {
      // a failure is an event, too
      this.request('read', ['domid']).catch(() => undefined);
    } else if (performance.now() - this.#pending.since > LATE_MS) {
      this.#isLate = true;
      this.#giveUp();
    }
  }
}

function closedError(): XenError {
  return new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
}
