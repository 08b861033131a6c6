import {
  checkAnswers,
  checkErrorWord,
  checkHeldAnswers,
  checkSlowAnswers,
  type Answers,
  type HeldAnswers,
  type SlowAnswers,
} from './options';

/** What a xenstored does wrong. */
export type Fault =
  | { readonly kind: 'down' }
  | (HeldAnswers & { readonly kind: 'hold' })
  | (HeldAnswers & { readonly kind: 'hangUp' })
  | (SlowAnswers & { readonly kind: 'trickle' })
  | (Answers & { readonly kind: 'error'; readonly error: string });

/**
 * What can go wrong with the xenstored of a simulated host, one thing at a time: each replaces the one
 * before, until {@link Faults.clear}. All but `down` may be about some answers only.
 *
 * @example
 * ```ts
 * await host.faults.hold(); // xenstored hangs
 * xen.domains(); // throws ERR_XENSTORE_TIMEOUT
 * await host.faults.clear();
 * ```
 */
export class Faults {
  readonly #set: (fault: Fault | undefined) => Promise<void>;

  /** @internal */
  constructor(set: (fault: Fault | undefined) => Promise<void>) {
    this.#set = set;
  }

  /** It is killed: clients are cut off, and nobody listens. What it knows it knows again afterwards. */
  async down(): Promise<void> {
    return this.#set({ kind: 'down' });
  }

  /** It hangs: an answer does not come, and nothing after it, until all this is over. */
  async hold(answers: HeldAnswers = {}): Promise<void> {
    return this.#set({ kind: 'hold', ...checkHeldAnswers('answers', answers) });
  }

  /** It cuts the client off in place of an answer, or in the middle of it. */
  async hangUp(answers: HeldAnswers = {}): Promise<void> {
    return this.#set({ kind: 'hangUp', ...checkHeldAnswers('answers', answers) });
  }

  /** It is slow: an answer comes byte by byte, and so does what is sent after it. */
  async trickle(answers: SlowAnswers = {}): Promise<void> {
    return this.#set({ kind: 'trickle', ...checkSlowAnswers('answers', answers) });
  }

  /**
   * It answers with an error.
   *
   * @param error - its word: `EACCES`, or one that nobody knows.
   */
  async error(error: string, answers: Answers = {}): Promise<void> {
    return this.#set({
      kind: 'error',
      error: checkErrorWord('error', error),
      ...checkAnswers('answers', answers),
    });
  }

  /** All is well again: what was held is sent, and who asks is answered. */
  async clear(): Promise<void> {
    return this.#set(undefined);
  }
}
