import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Fault } from './faults';
import { StoreError, type Store } from './store';
import { Decoder, MAX_PAYLOAD, MessageType, encode, type Message } from './wire';

/**
 * Serves a store on a Unix socket, as xenstored serves the tools of one domain. It supports what
 * libxenstore needs to read, list, write, remove and watch nodes.
 */
export class Xenstored {
  readonly store: Store;
  /** The domain of all clients. */
  readonly domid: number;
  readonly #socketPath: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  /** Set by {@link setFault}. */
  fault: Fault | undefined;

  constructor(store: Store, domid: number, socketPath: string) {
    this.store = store;
    this.domid = domid;
    this.#socketPath = socketPath;
    this.#server = createServer((socket) => {
      const connection = new Connection(this, socket);
      this.#connections.add(connection);
      socket.on('close', () => {
        this.#connections.delete(connection);
        connection.end();
      });
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#socketPath);
    await once(this.#server, 'listening');
  }

  /** Replaces the fault. What the previous one held back is sent. */
  async setFault(fault: Fault | undefined): Promise<void> {
    this.fault = fault;
    for (const connection of this.#connections) connection.release();
    if (fault?.kind !== 'down') {
      if (!this.#server.listening) await this.listen();
    } else if (this.#server.listening) {
      const closed = once(this.#server, 'close');
      this.#server.close();
      for (const { socket } of this.#connections) socket.destroy();
      await closed;
    }
  }
}

/** A connection of one client. */
class Connection {
  readonly #xenstored: Xenstored;
  readonly socket: Socket;
  /** Functions that remove the watches, by path and token. */
  readonly #watches = new Map<string, () => void>();
  /** Messages that a fault holds back. */
  readonly #held: Buffer[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(xenstored: Xenstored, socket: Socket) {
    this.#xenstored = xenstored;
    this.socket = socket;
    const decoder = new Decoder();
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const message of decoder.decode(bytes)) this.#respond(message);
      } catch (error) {
        // after a wrong length, xenstored disconnects the client, too
        if (!(error instanceof RangeError)) throw error;
        socket.destroy();
      }
    });
    // 'close' follows
    socket.on('error', () => undefined);
  }

  /** Releases what belongs to the connection, after it was closed. */
  end(): void {
    clearTimeout(this.#timer);
    for (const unwatch of this.#watches.values()) unwatch();
  }

  /** Sends the messages that a fault has held back. */
  release(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const bytes of this.#held.splice(0)) this.socket.write(bytes);
  }

  #respond(request: Message): void {
    const [path = '', ...rest] = request.payload.toString('latin1').split('\0');
    let { type } = request;
    let payload: Buffer;
    try {
      if (this.#xenstored.fault?.kind === 'refuse') throw new StoreError('EACCES', 'a fault');
      if (rest.length === 0) throw new StoreError('EINVAL', 'a string without NUL');
      payload = this.#handle(request, path, rest[0] ?? '');
      if (payload.length > MAX_PAYLOAD) throw new StoreError('E2BIG', 'use directoryPart');
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      type = MessageType.error;
      payload = toBytes(error.code);
    }
    this.#send({ ...request, type, payload });
    // the first event tells that the watch is set, and follows the response
    if (type === MessageType.watch) this.#sendEvent(path, rest[0] ?? '');
  }

  /** Executes a request, and returns the payload of its response. */
  #handle({ type, payload }: Message, path: string, argument: string): Buffer {
    const { store } = this.#xenstored;
    switch (type) {
      case MessageType.directory:
        return toBytes(...store.list(this.#resolve(path)));
      case MessageType.directoryPart:
        return this.#listPart(path, Number(argument));
      case MessageType.read:
        return store.read(this.#resolve(path));
      case MessageType.write:
        store.write(this.#resolve(path), payload.subarray(path.length + 1));
        return toBytes('OK');
      case MessageType.rm:
        store.remove(this.#resolve(path));
        return toBytes('OK');
      // `xenstore list` needs transactions; they are not isolated, and always succeed
      case MessageType.transactionStart:
        return toBytes('1');
      case MessageType.transactionEnd:
        return toBytes('OK');
      case MessageType.watch:
        this.#watch(path, argument);
        return toBytes('OK');
      case MessageType.unwatch:
        this.#unwatch(path, argument);
        return toBytes('OK');
      default:
        throw new StoreError('ENOSYS', `request ${type}`);
    }
  }

  /** Returns a node's absolute path. @throws StoreError `EACCES` if it is not for this domain. */
  #resolve(path: string): string {
    const { domid } = this.#xenstored;
    const home = `/local/domain/${domid}`;
    const absolute = path.startsWith('/') ? path : `${home}/${path}`;
    // a driver domain may read its own directory and the frontends of disks, dom0 may read all nodes
    const permitted =
      domid === 0 ||
      `${absolute}/`.startsWith(`${home}/`) ||
      /^\/local\/domain\/\d+\/device\/[a-z_]+\/\d+(\/|$)/.test(absolute);
    if (!permitted) throw new StoreError('EACCES', `not for domain ${domid}`);
    return absolute;
  }

  /** Returns the generation and the names that fit, from an offset in bytes; the last part ends with NUL. */
  #listPart(path: string, offset: number): Buffer {
    const { store } = this.#xenstored;
    const names = toBytes(...store.list(this.#resolve(path))).subarray(offset);
    const generation = toBytes(String(store.generation));
    const room = MAX_PAYLOAD - generation.length - 1;
    if (names.length <= room) return Buffer.concat([generation, names, Buffer.alloc(1)]);
    return Buffer.concat([generation, names.subarray(0, names.lastIndexOf(0, room - 1) + 1)]);
  }

  #watch(path: string, token: string): void {
    const notify = (changed: string) => {
      this.#sendEvent(changed, token);
    };
    this.#unwatch(path, token);
    this.#watches.set(`${path}\0${token}`, this.#xenstored.store.watch(path, notify));
  }

  #unwatch(path: string, token: string): void {
    const key = `${path}\0${token}`;
    this.#watches.get(key)?.();
    this.#watches.delete(key);
  }

  #sendEvent(path: string, token: string): void {
    const payload = toBytes(path, token);
    this.#send({ type: MessageType.watchEvent, requestId: 0, transactionId: 0, payload });
  }

  #send(message: Message): void {
    const { fault } = this.#xenstored;
    if (fault?.kind !== 'hold' && fault?.kind !== 'slow') {
      this.socket.write(encode(message));
      return;
    }
    this.#held.push(encode(message));
    if (fault.kind === 'slow') this.#sendAfter(fault.delayMs);
  }

  /** Sends the held messages, each after a delay. */
  #sendAfter(delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const bytes = this.#held.shift();
      if (bytes) this.socket.write(bytes);
      if (this.#held.length > 0) this.#sendAfter(delayMs);
    }, delayMs);
  }
}

/** Returns strings that each end with NUL. */
function toBytes(...strings: string[]): Buffer {
  return Buffer.from(strings.map((text) => `${text}\0`).join(''), 'latin1');
}
