import { emitKeypressEvents } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';
import type { Size } from './screen';
import type { Key } from './view';

/** Switches to the alternate screen, hides the cursor, and cuts lines that are too long. */
const ENTER = '\x1b[?1049h\x1b[?25l\x1b[?7l';
/** Undoes {@link ENTER}. */
const LEAVE = '\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l';

/** A terminal on which a screen is shown for a time, and which is restored afterwards. */
export class Terminal {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  readonly #keys: Key[] = [];
  #isEntered = false;
  #wake: () => void = () => undefined;

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input;
    this.#output = output;
  }

  /** The current size. */
  get size(): Size {
    const { columns, rows } = this.#output;
    // a terminal without a known size has 0
    return { columns: columns === 0 ? 80 : columns, rows: rows === 0 ? 24 : rows };
  }

  /** Takes the terminal. {@link leave} restores it, and so does the end of the process. */
  enter(): void {
    // restores the terminal before Node.js prints an uncaught error, so that it stays readable
    process.on('uncaughtExceptionMonitor', this.#restore);
    process.on('exit', this.#restore);
    process.on('SIGCONT', this.#retake);
    this.#output.on('resize', this.#onResize);
    if (this.#input.isTTY) {
      emitKeypressEvents(this.#input);
      this.#input.on('keypress', this.#onKey);
      this.#input.resume();
    }
    this.#take();
  }

  /** Restores the terminal. */
  leave(): void {
    this.#restore();
    if (this.#input.isTTY) {
      this.#input.pause();
      this.#input.off('keypress', this.#onKey);
    }
    this.#output.off('resize', this.#onResize);
    process.off('SIGCONT', this.#retake);
    process.off('exit', this.#restore);
    process.off('uncaughtExceptionMonitor', this.#restore);
  }

  /** Replaces all lines of the screen. */
  draw(lines: readonly string[]): void {
    // erases each line before writing: after a full line the cursor is still on its last character
    this.#output.write(`\x1b[H${lines.map((line) => `\x1b[K${line}`).join('\r\n')}`);
  }

  /** Resolves to the next key; to undefined at the timeout, or when the screen has to be drawn again. */
  async nextKey(timeoutMs: number): Promise<Key | undefined> {
    if (this.#keys.length === 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#keys.shift();
  }

  /** Ends the wait for a key. */
  wake(): void {
    this.#wake();
  }

  readonly #onResize = () => {
    this.#wake();
  };

  readonly #onKey = (_text: string | undefined, key: Key) => {
    if (key.ctrl === true && key.name === 'z') {
      this.#suspend();
      return;
    }
    this.#keys.push(key);
    this.#wake();
  };

  /** Stops the process until SIGCONT. Takes the terminal again before a timer can draw on it. */
  #suspend(): void {
    process.off('SIGCONT', this.#retake);
    this.#restore();
    // returns after SIGCONT; at once if there is no shell that could continue the process
    process.kill(process.pid, 'SIGTSTP');
    this.#take();
    process.on('SIGCONT', this.#retake);
  }

  #take(): void {
    this.#isEntered = true;
    if (this.#input.isTTY) this.#input.setRawMode(true);
    this.#output.write(ENTER);
    this.#wake();
  }

  /** Takes the terminal again after a stop that was not by a key: other programs may have changed it. */
  readonly #retake = () => {
    this.#restore();
    this.#take();
  };

  readonly #restore = () => {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    if (this.#input.isTTY) this.#input.setRawMode(false);
    this.#output.write(LEAVE);
  };
}
