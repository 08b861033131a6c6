import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Fault } from './faults';
import type { XenstoreRequest } from './options';
import { FaultPlan, Outlet } from './outlet';
import {
  StoreError,
  checkPath,
  type Store,
  type Transaction,
  type Tree,
  type Watch,
} from './store';
import { Decoder, MAX_PAYLOAD, MessageType, type Message } from './wire';

/** A client that reads none of this much, in bytes, is cut off. */
const MAX_UNREAD = 16 * 2 ** 20;

/** The longest relative path, in bytes. */
const MAX_RELATIVE_PATH = 2048;

/** So many requests are remembered. */
const MAX_REQUESTS = 10000;

/** Serves a store on a Unix socket, as xenstored does to the tools of one domain. */
export class Xenstored {
  readonly #store: Store;
  readonly #domid: number;
  readonly #domids = new Set<number>();
  readonly #path: string;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #faults = new FaultPlan();
  #requests: XenstoreRequest[] = [];

  /**
   * @param domid - the domain that every client is in.
   * @param path - of the socket.
   */
  constructor(store: Store, domid: number, path: string) {
    this.#store = store;
    this.#domid = domid;
    this.#path = path;
    this.#server = createServer((socket) => {
      const connection = new Connection(this, this.#store, this.#domid, socket);
      this.#connections.add(connection);
      socket.on('close', () => {
        this.#connections.delete(connection);
        connection.end();
      });
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#path);
    await once(this.#server, 'listening');
  }

  /** Ends all connections too, and removes the socket. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => {
        resolve();
      });
      for (const connection of this.#connections) connection.cut();
    });
  }

  /** Does wrong in this way from now on, or in none. */
  async setFault(fault: Fault | undefined): Promise<void> {
    this.#faults.set(fault);
    for (const connection of this.#connections) connection.release();
    const listens = this.#server.listening;
    if (fault?.kind === 'down') {
      if (listens) await this.close();
    } else if (!listens) {
      await this.listen();
    }
  }

  /** Takes note of a request, and says what is to be wrong with its answer. */
  note(request: XenstoreRequest): Fault | undefined {
    this.#requests.push(request);
    if (this.#requests.length > MAX_REQUESTS) this.#requests.shift();
    return this.#faults.next(request.path);
  }

  /** The last requests, each of which is told once. */
  takeRequests(): XenstoreRequest[] {
    const requests = this.#requests;
    this.#requests = [];
    return requests;
  }

  /** Takes note of a domain and says so to who watches `@introduceDomain`. */
  introduce(domid: number): void {
    this.#domids.add(domid);
    this.#store.announceDomain('@introduceDomain');
  }

  /** Forgets a domain and says so to who watches `@releaseDomain`. */
  release(domid: number): void {
    this.#domids.delete(domid);
    this.#store.announceDomain('@releaseDomain');
  }

  isIntroduced(domid: number): boolean {
    return this.#domids.has(domid);
  }
}

/** A request's payload, of which handlers take what they know of. */
interface Request {
  readonly tree: Tree;
  readonly transactionId: number;
  readonly payload: Buffer;
  /** The payload as strings that each ended with a NUL. */
  readonly strings: string[];
}

/** The strings, or the bytes, of an answer. */
type Answer = string[] | Buffer;

const OK: Answer = ['OK'];

const TYPE_NAMES = new Map<number, string>(
  Object.entries(MessageType).map(([name, type]) => [type, name]),
);

class Connection {
  readonly #daemon: Xenstored;
  readonly #store: Store;
  readonly #domid: number;
  readonly #socket: Socket;
  readonly #outlet: Outlet;
  readonly #transactions = new Map<number, Transaction>();
  readonly #watches = new Map<string, Watch>();
  #lastTransactionId = 0;

  constructor(daemon: Xenstored, store: Store, domid: number, socket: Socket) {
    this.#daemon = daemon;
    this.#store = store;
    this.#domid = domid;
    this.#socket = socket;
    this.#outlet = new Outlet(
      (bytes) => {
        this.#transmit(bytes);
      },
      () => {
        // what has been written is sent before that
        socket.destroySoon();
      },
    );
    const decoder = new Decoder();
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const message of decoder.decode(bytes)) this.#answer(message);
      } catch {
        // after a bad length nothing can be told apart: xenstored hangs up too
        socket.destroy();
      }
    });
    socket.on('drain', () => socket.resume());
    // 'close' follows, and that is all there is to do
    socket.on('error', () => undefined);
  }

  /** Ends it at once. */
  cut(): void {
    this.#socket.destroy();
  }

  /** Sends what a fault has held back. */
  release(): void {
    this.#outlet.release();
  }

  /** Forgets it all: the client is gone. */
  end(): void {
    this.#outlet.release();
    this.#resetWatches();
  }

  /** Takes away all watches and transactions. */
  #resetWatches(): Answer {
    for (const watch of this.#watches.values()) this.#store.unwatch(watch);
    this.#watches.clear();
    this.#transactions.clear();
    return OK;
  }

  #answer(message: Message): void {
    const fault = this.#daemon.note(describe(message));
    let type = message.type;
    let payload: Buffer;
    try {
      payload = toBytes(this.#handle(message));
      if (payload.length > MAX_PAYLOAD) throw new StoreError('E2BIG', 'the answer is too long');
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      type = MessageType.error;
      payload = toBytes([error.code]);
    }
    this.#outlet.send({ ...message, type, payload }, fault);
    // only now: the client knows the watch by its answer
    if (type === MessageType.watch) this.#fireFirst(message);
  }

  #transmit(bytes: Buffer): void {
    // the client may have gone while this was held back
    if (this.#socket.destroyed) return;
    if (!this.#socket.write(bytes)) this.#socket.pause();
    if (this.#socket.writableLength > MAX_UNREAD) this.#socket.destroy();
  }

  #handle({ type, transactionId, payload }: Message): Answer {
    const transaction = this.#transactions.get(transactionId);
    if (transactionId !== 0 && !transaction) throw new StoreError('ENOENT', 'no such transaction');
    const tree = transaction?.tree ?? this.#store.tree;
    const strings = payload.toString('latin1').split('\0').slice(0, -1);
    const request: Request = { tree, transactionId, payload, strings };

    switch (type) {
      case MessageType.directory:
        return tree.list(this.#path(strings, 1)).names;
      case MessageType.directoryPart:
        return this.#directoryPart(request);
      case MessageType.read:
        return tree.read(this.#path(strings, 1));
      case MessageType.write:
        return this.#write(request);
      case MessageType.mkdir:
        tree.mkdir(this.#path(strings, 1));
        return OK;
      case MessageType.rm:
        tree.remove(this.#path(strings, 1));
        return OK;
      case MessageType.getPerms:
        tree.read(this.#path(strings, 1));
        return [`n${this.#domid}`];
      case MessageType.setPerms:
        // everyone here is in one domain, which may do all
        tree.read(this.#path(strings, 2));
        return OK;
      case MessageType.watch:
        return this.#watch(strings);
      case MessageType.unwatch:
        return this.#unwatch(strings);
      case MessageType.resetWatches:
        return this.#resetWatches();
      case MessageType.transactionStart:
        return this.#begin(request);
      case MessageType.transactionEnd:
        return this.#end(request);
      case MessageType.introduce:
        this.#daemon.introduce(parseDomid(strings));
        return OK;
      case MessageType.release:
        this.#daemon.release(parseDomid(strings));
        return OK;
      case MessageType.getDomainPath:
        return [`/local/domain/${parseDomid(strings)}`];
      case MessageType.isDomainIntroduced:
        return [this.#daemon.isIntroduced(parseDomid(strings)) ? 'T' : 'F'];
      default:
        throw new StoreError('ENOSYS', `request ${type}`);
    }
  }

  /** The first of at least so many strings, as an absolute path. */
  #path(strings: string[], atLeast: number): string {
    const [path] = strings;
    if (path === undefined || strings.length < atLeast) {
      throw new StoreError('EINVAL', 'not enough strings');
    }
    return this.#permitted(this.#absolute(path));
  }

  /** A driver domain may see its own folder, and the guests' folders of disks: who runs in dom0, all. */
  #permitted(path: string): string {
    const home = `/local/domain/${this.#domid}`;
    const permitted =
      this.#domid === 0 ||
      path === home ||
      path.startsWith(`${home}/`) ||
      /^\/local\/domain\/\d+\/device\/[a-z_]+\/\d+(\/|$)/.test(path);
    if (!permitted) throw new StoreError('EACCES', `not for domain ${this.#domid}`);
    return path;
  }

  #absolute(path: string): string {
    if (path.startsWith('/')) return path;
    const absolute = `/local/domain/${this.#domid}/${path}`;
    checkPath(absolute);
    if (path.length > MAX_RELATIVE_PATH) throw new StoreError('EINVAL', 'too long a path');
    return absolute;
  }

  #write({ tree, payload, strings }: Request): Answer {
    const path = this.#path(strings, 1);
    tree.write(path, payload.subarray(payload.indexOf(0) + 1));
    return OK;
  }

  /** As many names as fit, from an offset in bytes, and after the last one an empty string. */
  #directoryPart({ tree, strings }: Request): Answer {
    const { generation, names } = tree.list(this.#path(strings, 2));
    const head = toBytes([String(generation)]);
    const all = toBytes(names);
    const offset = parseNumber(strings[1]);
    if (offset > all.length) throw new StoreError('EINVAL', 'behind the last name');
    const room = MAX_PAYLOAD - head.length - 1;
    if (all.length - offset <= room) {
      return Buffer.concat([head, all.subarray(offset), Buffer.alloc(1)]);
    }
    return Buffer.concat([head, all.subarray(offset, all.lastIndexOf(0, offset + room - 1) + 1)]);
  }

  #watch(strings: string[]): Answer {
    const [wanted = '', token] = strings;
    if (token === undefined) throw new StoreError('EINVAL', 'a watch is a path and a token');
    const relative = !wanted.startsWith('/') && !wanted.startsWith('@');
    const path = relative ? this.#absolute(wanted) : wanted;
    const key = watchKey(strings);
    if (this.#watches.has(key)) throw new StoreError('EEXIST', 'watched already');
    const base = relative ? path.length - wanted.length : 0;
    const watch: Watch = {
      path,
      notify: (changed) => {
        this.#fire(changed.slice(base), token);
      },
    };
    this.#store.watch(watch);
    this.#watches.set(key, watch);
    return OK;
  }

  #fireFirst({ payload }: Message): void {
    const [path = '', token = ''] = payload.toString('latin1').split('\0');
    this.#fire(path, token);
  }

  #fire(path: string, token: string): void {
    this.#outlet.send(
      {
        type: MessageType.watchEvent,
        requestId: 0,
        transactionId: 0,
        payload: toBytes([path, token]),
      },
      undefined,
    );
  }

  #unwatch(strings: string[]): Answer {
    const key = watchKey(strings);
    const watch = this.#watches.get(key);
    if (!watch) throw new StoreError('ENOENT', 'no such watch');
    this.#store.unwatch(watch);
    this.#watches.delete(key);
    return OK;
  }

  #begin({ transactionId }: Request): Answer {
    if (transactionId !== 0) throw new StoreError('EBUSY', 'in a transaction already');
    this.#lastTransactionId += 1;
    this.#transactions.set(this.#lastTransactionId, this.#store.begin());
    return [String(this.#lastTransactionId)];
  }

  #end({ transactionId, strings: [how] }: Request): Answer {
    const transaction = this.#transactions.get(transactionId);
    if (!transaction) throw new StoreError('ENOENT', 'no transaction');
    if (how !== 'T' && how !== 'F') throw new StoreError('EINVAL', 'neither T nor F');
    this.#transactions.delete(transactionId);
    if (how === 'T') this.#store.commit(transaction);
    return OK;
  }
}

function describe({ type, payload }: Message): XenstoreRequest {
  const [path = ''] = payload.toString('latin1').split('\0', 1);
  return { type: TYPE_NAMES.get(type) ?? String(type), path };
}

function watchKey([path = '', token = '']: string[]): string {
  return `${path}\0${token}`;
}

function toBytes(answer: Answer): Buffer {
  if (Buffer.isBuffer(answer)) return answer;
  return Buffer.from(answer.map((text) => `${text}\0`).join(''), 'latin1');
}

function parseNumber(text: string | undefined): number {
  if (text === undefined || !/^[0-9]{1,9}$/.test(text)) throw new StoreError('EINVAL', 'no number');
  return Number(text);
}

function parseDomid([text]: string[]): number {
  return parseNumber(text);
}
