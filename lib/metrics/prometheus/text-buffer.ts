/** The length of the longest number in JavaScript's notation: -2.2250738585072014e-308. */
const MAX_NUMBER_LENGTH = 24;

/** The initial size of the memory, in bytes. */
const INITIAL_SIZE = 65536;

/** A buffer for text that reuses its memory, to create no garbage. */
export class TextBuffer {
  #memory = Buffer.allocUnsafeSlow(INITIAL_SIZE);
  #length = 0;

  /** Removes the text. */
  clear(): void {
    this.#length = 0;
  }

  /** Appends encoded text. */
  append(text: Uint8Array): void {
    this.#reserve(text.length);
    this.#memory.set(text, this.#length);
    this.#length += text.length;
  }

  /** Appends a space, a number in JavaScript's notation and a newline. */
  endLine(value: number): void {
    this.#reserve(MAX_NUMBER_LENGTH + 2);
    this.#memory[this.#length++] = 0x20;
    if (Number.isSafeInteger(value) && value >= 0) this.#appendDigits(value);
    else this.#length += this.#memory.write(String(value), this.#length, 'latin1');
    this.#memory[this.#length++] = 0x0a;
  }

  /** Returns a copy of the text. */
  copy(): Buffer {
    return Buffer.from(this.#memory.subarray(0, this.#length));
  }

  /** Appends the digits of a safe integer that is not negative, without creating a string. */
  #appendDigits(value: number): void {
    let end = this.#length + 1;
    for (let power = 10; power <= value; power *= 10) end++;
    this.#length = end;
    // nine digits at a time, because arithmetic with 32-bit integers is faster
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

  /** Grows the memory for this many more bytes, if necessary. */
  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#memory.length) return;
    const memory = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#memory.length));
    memory.set(this.#memory.subarray(0, this.#length));
    this.#memory = memory;
  }
}
