/*
 * Messages between xenstored and its clients: four 32-bit numbers, little endian (type, request,
 * transaction, length of the payload), then the payload.
 */

/** What a message asks for; an answer has its request's type, or `error`. */
export const MessageType = {
  directory: 1,
  read: 2,
  getPerms: 3,
  watch: 4,
  unwatch: 5,
  transactionStart: 6,
  transactionEnd: 7,
  introduce: 8,
  release: 9,
  getDomainPath: 10,
  write: 11,
  mkdir: 12,
  rm: 13,
  setPerms: 14,
  watchEvent: 15,
  error: 16,
  isDomainIntroduced: 17,
  resetWatches: 21,
  directoryPart: 22,
} as const;

/** One message, either way. */
export interface Message {
  /** See {@link MessageType}; others come too. */
  readonly type: number;
  /** An answer has its request's. */
  readonly requestId: number;
  /** 0 outside of transactions. */
  readonly transactionId: number;
  readonly payload: Buffer;
}

/** The most bytes that a payload can have. */
export const MAX_PAYLOAD = 4096;

const HEADER = 16;

/** Where in a header the payload's length is. */
const LENGTH = 12;

/** A message as bytes. */
export function encode({ type, requestId, transactionId, payload }: Message): Buffer {
  const message = Buffer.alloc(HEADER + payload.length);
  message.writeUInt32LE(type, 0);
  message.writeUInt32LE(requestId, 4);
  message.writeUInt32LE(transactionId, 8);
  message.writeUInt32LE(payload.length, LENGTH);
  payload.copy(message, HEADER);
  return message;
}

/** Finds the messages in a stream of bytes, wherever that is cut. */
export class Decoder {
  #rest: Buffer = Buffer.alloc(0);

  /**
   * The messages that these bytes complete.
   *
   * @throws RangeError if a payload is longer than {@link MAX_PAYLOAD}: the stream is of no use then.
   */
  *decode(bytes: Buffer): Generator<Message, void> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= HEADER) {
      const length = this.#rest.readUInt32LE(LENGTH);
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
