'use strict';

/*
 * The worker thread of XenstoredProxy. It needs an event loop of its own: a synchronous call blocks the
 * test's event loop while it waits for xenstored.
 *
 * xenstored responds to the requests of a connection in their order, and libxenstore gives all of them
 * the same request id. So a connection keeps a queue of the paths of its requests.
 */

const { Buffer } = require('node:buffer');
const { createConnection, createServer } = require('node:net');
const { clearInterval, setInterval } = require('node:timers');
const { parentPort, workerData } = require('node:worker_threads');
const { Decoder, MessageType, encode } = require('../../dist/simulator/wire');

const TYPE_NAMES = new Map(Object.entries(MessageType).map(([name, type]) => [type, name]));

const connections = new Set();
let requests = [];
let fault;
/** The number of responses that match the fault's path. */
let matching = 0;

/** Returns the fault of the next response about a path, or undefined. */
function nextFault(path) {
  if (fault === undefined) return undefined;
  const { path: directory, skip = 0, times = Infinity } = fault;
  if (directory !== undefined && path !== directory && !path.startsWith(`${directory}/`)) {
    return undefined;
  }
  matching += 1;
  return matching > skip && matching <= skip + times ? fault : undefined;
}

/** A client's connection, and its connection to xenstored. */
class Connection {
  /** Requests without a response. */
  #requests = [];
  /** Bytes that are held back; undefined while responses pass at once. */
  #held;
  #timer;

  constructor(client) {
    const xenstored = createConnection(workerData.xenstored);
    this.client = client;
    const [fromClient, fromXenstored] = [new Decoder(), new Decoder()];
    client.on('data', (bytes) => {
      for (const { type, payload } of fromClient.decode(bytes)) {
        const [path] = payload.toString('latin1').split('\0', 1);
        this.#requests.push({ type: TYPE_NAMES.get(type) ?? String(type), path });
      }
      xenstored.write(bytes);
    });
    xenstored.on('data', (bytes) => {
      for (const message of fromXenstored.decode(bytes)) this.#receive(message);
    });
    // 'close' follows
    for (const socket of [client, xenstored]) socket.on('error', () => undefined);
    client.on('close', () => {
      clearInterval(this.#timer);
      connections.delete(this);
      xenstored.destroy();
    });
    xenstored.on('close', () => client.destroySoon());
  }

  /** Sends what is held back. */
  release() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#pass(held);
  }

  #receive(message) {
    if (message.type === MessageType.watchEvent) {
      this.#pass(encode(message));
      return;
    }
    const request = this.#requests.shift();
    this.#send(message, nextFault(request.path));
    // after xenstored has responded: a change of the tree cannot reach this response any more
    requests.push(request);
  }

  #send(message, { kind, bytes = 0, intervalMs = 1, error } = {}) {
    const response = encode(message);
    switch (kind) {
      case 'hold':
        this.#hold(response, bytes);
        break;
      case 'hangUp':
        this.#pass(response.subarray(0, bytes));
        // sends what has been written before
        this.client.destroySoon();
        break;
      case 'trickle':
        this.#hold(response, 0);
        this.#timer ??= setInterval(() => {
          if (this.#held.length > 0) this.client.write(this.#held.subarray(0, 1));
          this.#held = this.#held.subarray(1);
        }, intervalMs);
        break;
      case 'error': {
        const payload = Buffer.from(`${error}\0`, 'latin1');
        this.#pass(encode({ ...message, type: MessageType.error, payload }));
        break;
      }
      default:
        this.#pass(response);
    }
  }

  #pass(bytes) {
    if (this.#held !== undefined) this.#held = Buffer.concat([this.#held, bytes]);
    else if (bytes.length > 0) this.client.write(bytes);
  }

  /** Sends the first bytes, and holds back the others and all that follows. */
  #hold(bytes, sent) {
    this.#pass(bytes.subarray(0, sent));
    this.#held ??= Buffer.alloc(0);
    this.#pass(bytes.subarray(sent));
  }
}

const server = createServer((client) => connections.add(new Connection(client)));

const listen = () => new Promise((resolve) => server.listen(workerData.socket, resolve));

const close = () =>
  new Promise((resolve) => {
    server.close(resolve);
    for (const { client } of connections) client.destroy();
  });

const commands = {
  async setFault(next) {
    fault = next;
    matching = 0;
    for (const connection of connections) connection.release();
    if (fault?.kind === 'down') {
      if (server.listening) await close();
    } else if (!server.listening) {
      await listen();
    }
  },
  takeRequests() {
    const taken = requests;
    requests = [];
    return taken;
  },
};

parentPort.on('message', async ({ command, argument, port }) => {
  port.postMessage(await commands[command](argument));
});
