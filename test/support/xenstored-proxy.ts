import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';

/** Selects the responses that have a fault. */
export interface Responses {
  /** Those about this node, as the client writes its path, and about nodes below it. Default: all. */
  readonly path?: string;
  /** The number of selected responses that pass first. Default: 0. */
  readonly skip?: number;
  /** The number of responses that then have the fault. Default: all. */
  readonly times?: number;
}

/** Selects responses, and how much of them is sent. */
export interface CutResponses extends Responses {
  /** The number of bytes that are sent, of the header's 16 and the payload's. Default: 0. */
  readonly bytes?: number;
}

/** A request that xenstored has responded to. */
export interface XenstoreRequest {
  /** `read`, `directory`, `watch` and so on. */
  readonly type: string;
  /** The node's path, as the client wrote it. */
  readonly path: string;
}

interface Connectable {
  readonly connectOptions: { readonly xenstore: string; readonly sysfs: string };
}

/**
 * A proxy between clients and the xenstored of a host, simulated or real. It causes faults, one at a time:
 * each replaces the one before, until {@link clear}. It runs on a worker thread.
 */
export class XenstoredProxy {
  /** Options for `connect()`: the proxy's socket, and the host's sysfs. */
  readonly connectOptions: { readonly xenstore: string; readonly sysfs: string };
  readonly #directory = mkdtempSync(join(tmpdir(), 'xenstored-proxy-'));
  readonly #worker: Worker;

  private constructor({ connectOptions: { xenstore, sysfs } }: Connectable) {
    const socket = join(this.#directory, 'socket');
    this.connectOptions = { xenstore: socket, sysfs };
    this.#worker = new Worker(join(__dirname, 'xenstored-proxy-worker.cjs'), {
      workerData: { socket, xenstored: xenstore },
    });
    this.#worker.unref();
  }

  static async start(host: Connectable): Promise<XenstoredProxy> {
    const proxy = new XenstoredProxy(host);
    await proxy.clear();
    return proxy;
  }

  /** Disconnects all clients, and refuses new ones. */
  async down(): Promise<void> {
    await this.#setFault({ kind: 'down' });
  }

  /** Holds a response back, and all that follows on its connection. */
  async hold(responses: CutResponses = {}): Promise<void> {
    await this.#setFault({ kind: 'hold', ...responses });
  }

  /** Disconnects the client in place of a response, or in the middle of it. */
  async hangUp(responses: CutResponses = {}): Promise<void> {
    await this.#setFault({ kind: 'hangUp', ...responses });
  }

  /** Sends a response, and all that follows on its connection, byte by byte. */
  async trickle(responses: Responses & { readonly intervalMs?: number } = {}): Promise<void> {
    await this.#setFault({ kind: 'trickle', ...responses });
  }

  /** Replaces a response by an error of this name. */
  async error(error: string, responses: Responses = {}): Promise<void> {
    await this.#setFault({ kind: 'error', error, ...responses });
  }

  /** Ends the fault, and sends what was held back. */
  async clear(): Promise<void> {
    await this.#setFault(undefined);
  }

  /** Returns the requests that got a response since the last call of this method, also a held one. */
  async requests(): Promise<XenstoreRequest[]> {
    return (await this.#call('takeRequests')) as XenstoreRequest[];
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
    rmSync(this.#directory, { recursive: true });
  }

  async #setFault(fault: object | undefined): Promise<void> {
    await this.#call('setFault', fault);
  }

  async #call(command: string, argument?: unknown): Promise<unknown> {
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ command, argument, port: port2 }, [port2]);
    const [result] = (await once(port1, 'message')) as unknown[];
    port1.close();
    return result;
  }
}
