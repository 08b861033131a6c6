/** The longest text of a number: -2.2250738585072014e-308. */
const LONGEST_NUMBER = 24;

/** Beyond it, digits are left to JavaScript. */
const SAFE = Number.MAX_SAFE_INTEGER;

const INITIAL_SIZE = 65536;

/** Text that is written into the same memory again and again, and leaves no garbage. */
export class TextBuffer {
  #memory = Buffer.allocUnsafeSlow(INITIAL_SIZE);
  #length = 0;

  /** Forgets what was written. */
  clear(): void {
    this.#length = 0;
  }

  append(text: Uint8Array): void {
    this.#reserve(text.length);
    this.#memory.set(text, this.#length);
    this.#length += text.length;
  }

  /** Appends a blank, a number and the end of the line. */
  endLine(value: number): void {
    this.#reserve(LONGEST_NUMBER + 2);
    this.#memory[this.#length++] = 0x20;
    if (Number.isInteger(value) && value >= 0 && value <= SAFE) this.#digits(value);
    else this.#length += this.#memory.write(String(value), this.#length, 'latin1');
    this.#memory[this.#length++] = 0x0a;
  }

  /** A copy of what was written. */
  copy(): Buffer {
    return Buffer.from(this.#memory.subarray(0, this.#length));
  }

  #digits(value: number): void {
    let end = this.#length + 1;
    for (let power = 10; power <= value; power *= 10) end++;
    this.#length = end;
    // nine digits at a time, as 32-bit integers
    while (value >= 1e9) {
      const rest = Math.floor(value / 1e9);
      let part = value - rest * 1e9;
      for (let i = 0; i < 9; i++, part = (part / 10) | 0) this.#memory[--end] = 0x30 + (part % 10);
      value = rest;
    }
    for (let part = value | 0, first = true; first || part > 0; part = (part / 10) | 0) {
      this.#memory[--end] = 0x30 + (part % 10);
      first = false;
    }
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#memory.length) return;
    const memory = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#memory.length));
    memory.set(this.#memory.subarray(0, this.#length));
    this.#memory = memory;
  }
}
