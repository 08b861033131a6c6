import type { Fault } from './faults';
import { MessageType, encode, type Message } from './wire';

/** The fault that a xenstored has, if any, and when it is its turn. */
export class FaultPlan {
  #fault: Fault | undefined;
  /** Answers that the fault was, or could have been, about. */
  #seen = 0;

  set(fault: Fault | undefined): void {
    this.#fault = fault;
    this.#seen = 0;
  }

  /** What is to be wrong with the answer to a request for this path. */
  next(path: string | undefined): Fault | undefined {
    const fault = this.#fault;
    if (fault === undefined || fault.kind === 'down') return undefined;
    const { path: folder, skip = 0, times = Infinity } = fault;
    if (folder !== undefined && path !== folder && path?.startsWith(`${folder}/`) !== true) {
      return undefined;
    }
    this.#seen += 1;
    return this.#seen > skip && this.#seen <= skip + times ? fault : undefined;
  }
}

/** What is on its way to one client. */
export class Outlet {
  readonly #write: (bytes: Buffer) => void;
  readonly #hangUp: () => void;
  /** What has to wait; undefined while everything is sent at once. */
  #waiting: Buffer | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(write: (bytes: Buffer) => void, hangUp: () => void) {
    this.#write = write;
    this.#hangUp = hangUp;
  }

  /** Sends a message, wrong in this way. */
  send(message: Message, fault: Fault | undefined): void {
    switch (fault?.kind) {
      case 'hold':
        this.#hold(encode(message), fault.bytes ?? 0);
        break;
      case 'hangUp':
        this.#pass(encode(message).subarray(0, fault.bytes ?? 0));
        this.#hangUp();
        break;
      case 'trickle':
        this.#trickle(encode(message), fault.intervalMs ?? 1);
        break;
      case 'error':
        this.#pass(
          encode({
            ...message,
            type: MessageType.error,
            payload: Buffer.from(`${fault.error}\0`, 'latin1'),
          }),
        );
        break;
      default:
        this.#pass(encode(message));
    }
  }

  /** Sends what waits, and nothing waits any more. */
  release(): void {
    clearInterval(this.#timer);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#pass(waiting);
  }

  #pass(bytes: Buffer): void {
    if (this.#waiting === undefined) {
      if (bytes.length > 0) this.#write(bytes);
    } else {
      this.#waiting = Buffer.concat([this.#waiting, bytes]);
    }
  }

  #hold(bytes: Buffer, sentFirst: number): void {
    this.#pass(bytes.subarray(0, sentFirst));
    this.#waiting ??= Buffer.alloc(0);
    this.#pass(bytes.subarray(sentFirst));
  }

  #trickle(bytes: Buffer, intervalMs: number): void {
    this.#hold(bytes, 0);
    this.#timer ??= setInterval(() => {
      const waiting = this.#waiting ?? Buffer.alloc(0);
      if (waiting.length === 0) return;
      this.#write(waiting.subarray(0, 1));
      this.#waiting = waiting.subarray(1);
    }, intervalMs);
  }
}
