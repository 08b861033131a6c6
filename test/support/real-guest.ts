import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Decoder, MessageType, encode, type Message } from '../../lib/simulator/wire';
import type { RealXenstored } from './real-xenstored';

/*
 * The page that a guest shares with xenstored: two rings of bytes, with the index of the producer and of
 * the consumer of each (xen/include/public/io/xs_wire.h).
 */
const PAGE = 4096;
const RING = 1024;
const REQUESTS = { at: 0, consumed: 2048, produced: 2052 };
const RESPONSES = { at: RING, consumed: 2056, produced: 2060 };

/** The type of the request that introduces a domain: only toolstacks send it. */
const INTRODUCE = 8;

/** The page's grant and the event channel's port, as the guest numbers them. */
const GRANT = 1;
const PORT = 5;

/** A guest of a real xenstored. It makes its own requests, with the permissions of a guest. */
export class RealGuest {
  readonly #page: number;
  readonly #events: number;
  readonly #decoder = new Decoder();
  #lastId = 0;

  private constructor(page: number, events: number) {
    this.#page = page;
    this.#events = events;
  }

  /** Introduces a domain to xenstored, as a toolstack does after it has built the domain. */
  static async introduce(xenstored: RealXenstored, domid: number): Promise<RealGuest> {
    const page = openSync(join(xenstored.directory, `ring-${domid}`), 'wx+');
    ftruncateSync(page, PAGE);
    const toolstack = createConnection(xenstored.socket);
    const payload = Buffer.from([domid, GRANT, PORT].map((number) => `${number}\0`).join(''));
    toolstack.write(encode({ type: INTRODUCE, requestId: 1, transactionId: 0, payload }));
    const [bytes] = (await once(toolstack, 'data')) as [Buffer];
    toolstack.destroy();
    if (bytes.readUInt32LE(0) !== INTRODUCE) {
      throw new Error(`xenstored did not introduce the domain: ${bytes.toString('latin1', 16)}`);
    }
    return new RealGuest(page, openSync(join(xenstored.directory, 'events'), 'w'));
  }

  /** Writes a node. Resolves to `OK`, or to the name of an error. */
  async write(path: string, value: string): Promise<string> {
    return this.#request(MessageType.write, `${path}\0${value}`);
  }

  /** Removes a node. Resolves to `OK`, or to the name of an error. */
  async remove(path: string): Promise<string> {
    return this.#request(MessageType.rm, `${path}\0`);
  }

  /** Reads a node. Resolves to its value, or to the name of an error. */
  async read(path: string): Promise<string> {
    return this.#request(MessageType.read, `${path}\0`);
  }

  close(): void {
    closeSync(this.#page);
    closeSync(this.#events);
  }

  async #request(type: number, text: string): Promise<string> {
    this.#lastId += 1;
    const request = { type, requestId: this.#lastId, transactionId: 0 };
    let rest = encode({ ...request, payload: Buffer.from(text) });
    const deadline = performance.now() + 5000;
    for (;;) {
      rest = rest.subarray(this.#send(rest));
      const [response] = this.#receive();
      if (response !== undefined) return response.payload.toString().replace(/\0$/, '');
      if (performance.now() > deadline) throw new Error('xenstored did not respond to the guest');
      await delay(1);
    }
  }

  /** Puts the bytes that fit into the ring, and returns their number. */
  #send(bytes: Buffer): number {
    const produced = this.#index(REQUESTS.produced);
    const room = RING - (produced - this.#index(REQUESTS.consumed));
    const length = Math.min(room, bytes.length);
    for (let i = 0; i < length; i++) {
      writeSync(this.#page, bytes, i, 1, REQUESTS.at + ((produced + i) % RING));
    }
    if (length > 0) this.#move(REQUESTS.produced, produced + length);
    return length;
  }

  #receive(): Message[] {
    const consumed = this.#index(RESPONSES.consumed);
    const bytes = Buffer.alloc(this.#index(RESPONSES.produced) - consumed);
    for (let i = 0; i < bytes.length; i++) {
      readSync(this.#page, bytes, i, 1, RESPONSES.at + ((consumed + i) % RING));
    }
    if (bytes.length > 0) this.#move(RESPONSES.consumed, consumed + bytes.length);
    return [...this.#decoder.decode(bytes)];
  }

  #index(position: number): number {
    const bytes = Buffer.alloc(4);
    readSync(this.#page, bytes, 0, 4, position);
    return bytes.readUInt32LE();
  }

  /** Moves an index, and sends xenstored an event. */
  #move(position: number, to: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(to);
    writeSync(this.#page, bytes, 0, 4, position);
    bytes.writeUInt32LE(PORT);
    writeSync(this.#events, bytes);
  }
}
