/*
 * Messages between xenstored and its clients: a header of four little-endian 32-bit numbers (type,
 * request id, transaction id, length of the payload), then the payload.
 */

/** The types of messages that the simulator supports. A response has its request's type, or `error`. */
export const MessageType = {
  directory: 1,
  read: 2,
  watch: 4,
  unwatch: 5,
  transactionStart: 6,
  transactionEnd: 7,
  write: 11,
  rm: 13,
  watchEvent: 15,
  error: 16,
  directoryPart: 22,
} as const;

/** A request, a response or a watch event. */
export interface Message {
  /** A {@link MessageType}; a client can send others. */
  readonly type: number;
  /** A response has its request's, and its transaction id. */
  readonly requestId: number;
  readonly transactionId: number;
  readonly payload: Buffer;
}

/** The maximum length of a payload, in bytes. */
export const MAX_PAYLOAD = 4096;

const HEADER = 16;

/** Returns a message as bytes. */
export function encode({ type, requestId, transactionId, payload }: Message): Buffer {
  const header = Buffer.alloc(HEADER);
  [type, requestId, transactionId, payload.length].forEach((field, i) => {
    header.writeUInt32LE(field, 4 * i);
  });
  return Buffer.concat([header, payload]);
}

/** Finds the messages in a stream of bytes, which can be split anywhere. */
export class Decoder {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * Yields the messages that these bytes complete.
   *
   * @throws RangeError if a payload is longer than {@link MAX_PAYLOAD}: the rest of the stream cannot
   * be decoded then.
   */
  *decode(bytes: Buffer): Generator<Message, void> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= HEADER) {
      const length = this.#rest.readUInt32LE(12);
      if (length > MAX_PAYLOAD) throw new RangeError(`a payload of ${length} bytes`);
      if (this.#rest.length < HEADER + length) return;
      const message = this.#rest.subarray(0, HEADER + length);
      this.#rest = this.#rest.subarray(HEADER + length);
      yield {
        type: message.readUInt32LE(0),
        requestId: message.readUInt32LE(4),
        transactionId: message.readUInt32LE(8),
        payload: message.subarray(HEADER),
      };
    }
  }
}
