import { XenError } from '../errors';
import type { Host } from '../host';
import type { Answer, NativeXenstoreClient, Operation } from '../native';
import { checkPermitted, logEvents, logRequest, timeoutError, xenstoreError } from './client';

/** The interval at which the connection is checked, in milliseconds. */
const HEARTBEAT_MS = 2000;

/** The time without a response after which xenstored counts as hung, in milliseconds. */
const HANG_MS = 5000;

/** A request that has no response yet. */
interface Pending {
  readonly operation: Operation;
  readonly paths: readonly string[];
  readonly resolve: (answers: Answer[]) => void;
  readonly reject: (error: XenError) => void;
}

/**
 * An asynchronous client of xenstored, which receives watch events. When the connection is lost (xenstored
 * restarts), its watches are lost, too. The next request reconnects: a set scans everything again
 * (sampling/disk-watch.ts). The garbage collector can collect an unclosed client.
 */
export class WatchingClient {
  readonly #client: NativeXenstoreClient;
  readonly #host: Host;
  readonly #onEvents: (changed: readonly string[], lost: boolean) => void;
  /** The requests without a response, in their order. The first one is posted: the addon takes one at a time. */
  readonly #pending: Pending[] = [];
  #postedAt = 0;
  #isHung = false;
  #heartbeat: NodeJS.Timeout;
  #isClosed = false;

  /**
   * @param onEvents - called with the paths of watch events, cut off after six names, and with whether the
   * connection was lost; also when {@link WatchingClient.isHung} changes. Must not hold a strong reference to
   * the owner of the client.
   */
  constructor(host: Host, onEvents: (changed: readonly string[], lost: boolean) => void) {
    this.#host = host;
    this.#onEvents = onEvents;
    this.#client = new host.native.XenstoreClient(
      host.socket,
      this.#weakCallback((self) => {
        self.#take();
      }),
    );
    this.#heartbeat = this.#scheduleHeartbeat();
  }

  /** Whether xenstored hangs: it has not responded to a request for five seconds. */
  get isHung(): boolean {
    return this.#isHung;
  }

  /**
   * Requests an operation for each path. A request has no deadline of its own.
   *
   * @param required - how many of the first paths xenstored must not refuse.
   * @throws {@link XenError} if xenstored cannot be reached or refuses, or the connection is lost or abandoned.
   */
  async request(
    operation: Operation,
    paths: readonly string[],
    required = paths.length,
  ): Promise<Answer[]> {
    if (paths.length === 0) return [];
    this.checkOpen();
    const answers = await new Promise<Answer[]>((resolve, reject) => {
      this.#pending.push({ operation, paths, resolve, reject });
      if (this.#pending.length === 1) this.#post();
    });
    checkPermitted(paths, answers.slice(0, required));
    return answers;
  }

  /** @throws XenError `ERR_XEN_CLOSED` after {@link WatchingClient.close}. */
  checkOpen(): void {
    if (this.#isClosed) throw closedError();
  }

  /** Sets whether the client keeps the process alive. */
  keepAlive(alive: boolean): void {
    this.#client.keepAlive(alive);
  }

  /** Closes the connection, and rejects the requests without a response. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#heartbeat);
    this.#client.close();
    for (const { reject } of this.#pending.splice(0)) reject(closedError());
  }

  /** Posts the first request, if any. */
  #post(): void {
    const [first] = this.#pending;
    if (first === undefined) return;
    this.#postedAt = performance.now();
    this.#client.post(first.operation, first.paths);
  }

  /** Removes and returns the posted request, and posts the next one. */
  #shift(): Pending | undefined {
    const first = this.#pending.shift();
    this.#post();
    return first;
  }

  /** Wraps a callback of a timer or the addon in a weak reference, so that an unclosed client can be collected. */
  #weakCallback(call: (self: WatchingClient) => void): () => void {
    const ref = new WeakRef(this);
    return () => {
      const self = ref.deref();
      if (self !== undefined && !self.#isClosed) call(self);
    };
  }

  /** Handles the response and the watch events that have arrived. */
  #take(): void {
    const { changed, lost, response } = this.#client.take();
    logEvents(changed, lost);
    const wasHung = this.#isHung;
    if (response !== undefined) {
      this.#isHung = false;
      const postedAt = this.#postedAt;
      const request = this.#shift();
      if (request !== undefined) logRequest(request.operation, request.paths, postedAt, response);
      if (Array.isArray(response)) request?.resolve(response);
      else request?.reject(xenstoreError(response, this.#host));
    }
    if (changed.length > 0 || lost || wasHung !== this.#isHung) this.#onEvents(changed, lost);
  }

  /** Abandons the connection, so that the next request reconnects: its thread may have missed that it was lost. */
  #giveUp(): void {
    const isAbandoned = this.#client.giveUp();
    if (isAbandoned) this.#shift()?.reject(timeoutError(HANG_MS));
    this.#onEvents([], isAbandoned);
  }

  #scheduleHeartbeat(): NodeJS.Timeout {
    const callback = this.#weakCallback((self) => {
      self.#heartbeat = self.#scheduleHeartbeat();
      self.#checkConnection();
    });
    return setTimeout(callback, HEARTBEAT_MS).unref();
  }

  /** Detects that xenstored hangs. Sends a request if none is pending. */
  #checkConnection(): void {
    // the response may have arrived while the event loop was busy
    this.#take();
    if (this.#pending.length === 0) {
      // the addon also reports a lost connection as an event
      this.request('read', ['domid']).catch(() => undefined);
    } else if (performance.now() - this.#postedAt > HANG_MS) {
      this.#isHung = true;
      this.#giveUp();
    }
  }
}

/** The error of a call after `close()`. */
export function closedError(): XenError {
  return new XenError('ERR_XEN_CLOSED', 'the set of disks is closed');
}
