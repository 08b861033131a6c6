import { outOfRange } from '../errors';

/** A fault of a simulated xenstored. */
export type Fault =
  | { readonly kind: 'down' | 'hold' | 'refuse' }
  | { readonly kind: 'slow'; readonly delayMs: number };

/**
 * Faults of a simulated host's xenstored. A fault replaces the one before, and ends with
 * {@link Faults.clear}.
 */
export class Faults {
  readonly #set: (fault: Fault | undefined) => Promise<void>;

  /** @internal */
  constructor(set: (fault: Fault | undefined) => Promise<void>) {
    this.#set = set;
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

  /** Ends the fault. Responses and watch events that are due are sent. */
  async clear(): Promise<void> {
    return this.#set(undefined);
  }
}
