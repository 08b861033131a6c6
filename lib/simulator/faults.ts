import { outOfRange } from '../errors';

/** A fault of a simulated xenstored. */
export type Fault =
  | { readonly kind: 'down' | 'hold' | 'refuse' }
  | { readonly kind: 'slow'; readonly delayMs: number };

/**
 * Faults of a simulated host's xenstored, and of the QEMU of a guest. A fault of xenstored replaces the one
 * before. All faults end with {@link Faults.clear}.
 */
export class Faults {
  readonly #set: (fault: Fault | undefined) => Promise<void>;
  readonly #holdQemu: (domid: number) => Promise<void>;

  /** @internal */
  constructor(
    set: (fault: Fault | undefined) => Promise<void>,
    holdQemu: (domid: number) => Promise<void>,
  ) {
    this.#set = set;
    this.#holdQemu = holdQemu;
  }

  /** Stops xenstored: its clients are disconnected, and new ones cannot connect. It keeps its nodes. */
  async down(): Promise<void> {
    return this.#set({ kind: 'down' });
  }

  /** Lets xenstored hang: it accepts requests, and sends nothing until the fault ends. */
  async hold(): Promise<void> {
    return this.#set({ kind: 'hold' });
  }

  /**
   * Makes xenstored slow: before each response or watch event, it waits.
   *
   * @param delayMs - more than 0, in milliseconds.
   */
  async slow(delayMs: number): Promise<void> {
    if (!(delayMs > 0)) throw outOfRange('delayMs', 'more than 0', delayMs);
    return this.#set({ kind: 'slow', delayMs });
  }

  /** Lets xenstored refuse every request with the error EACCES. */
  async refuse(): Promise<void> {
    return this.#set({ kind: 'refuse' });
  }

  /** Lets the QEMU of a guest hang: it accepts clients, and sends nothing until the fault ends. */
  async holdQemu(domid: number): Promise<void> {
    return this.#holdQemu(domid);
  }

  /** Ends all faults. Responses and watch events that are due are sent. */
  async clear(): Promise<void> {
    return this.#set(undefined);
  }
}
