/** The schedule of samples. */
export class Clock {
  #intervalMs: number;
  /** The time of the last sample. */
  #last = performance.now();

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Changes the time between samples. The next sample is that long after the last one. */
  set intervalMs(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Returns the milliseconds until the next sample. */
  remainingMs(): number {
    return Math.max(0, this.#last + this.#intervalMs - performance.now());
  }

  /** Moves to the next sample. Skips the samples that were missed while the process was stopped. */
  advance(): void {
    const now = performance.now();
    const due = this.#last + this.#intervalMs;
    this.#last = now - due < this.#intervalMs ? due : now;
  }
}
