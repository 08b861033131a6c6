import { constants } from 'node:os';
import { XenError } from '../errors';
import type { Host } from '../host';
import type { Answer, NativeXenstoreClient, Operation } from '../native';
import { checkPermitted, xenstoreError } from './client';

/** How often the connection is checked while there is nothing to request, in milliseconds. */
const HEARTBEAT_MS = 2000;

/** A response that takes longer than this is late, in milliseconds. */
const LATE_MS = 5000;

/** A request without a response. */
interface Pending {
  readonly operation: Operation;
  readonly paths: readonly string[];
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
  /** Requests in their order. The first one is posted: the thread takes one at a time. */
  readonly #pending: Pending[] = [];
  #postedAt = 0;
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
    if (this.#isClosed) throw closedError();
    const answers = await new Promise<Answer[]>((resolve, reject) => {
      this.#pending.push({ operation, paths, resolve, reject });
      if (this.#pending.length === 1) this.#post();
    });
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
    for (const { reject } of this.#pending.splice(0)) reject(closedError());
  }

  /** Posts the first request, if there is one. */
  #post(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    this.#postedAt = performance.now();
    this.#client.post(first.operation, first.paths);
  }

  /** Removes the request that is posted, and posts the next one. */
  #shift(): Pending | undefined {
    const first = this.#pending.shift();
    this.#post();
    return first;
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
    if (response !== undefined) {
      this.#isLate = false;
      const request = this.#shift();
      if (Array.isArray(response)) request?.resolve(response);
      else request?.reject(xenstoreError(response, this.#timeoutMs));
    }
    if (changed.length > 0 || lost) this.#onEvents(changed, lost);
  }

  /** Tries another connection, once: the thread of this one may have missed that it was lost. */
  #giveUp(): void {
    if (!this.#client.giveUp()) return;
    const failure = { failure: 'timeout', errno: constants.errno.ETIMEDOUT } as const;
    this.#shift()?.reject(xenstoreError(failure, LATE_MS));
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
    if (this.#pending.length === 0) {
      // a failure is an event, too
      this.request('read', ['domid']).catch(() => undefined);
    } else if (performance.now() - this.#postedAt > LATE_MS) {
      this.#isLate = true;
      this.#giveUp();
    }
  }
}

function closedError(): XenError {
  return new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
}
