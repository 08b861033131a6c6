import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { endChild, execFileSync, spawn } from './child-process';

/** The size of a terminal, in characters. */
interface Size {
  readonly columns: number;
  readonly rows: number;
}

const TIMEOUT_MS = 20_000;

/** A terminal with a shell, in a tmux server of its own. */
export class Tmux {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tmux-'));
  readonly #socket = join(this.#directory, 'socket');
  readonly #server: ChildProcess;

  /** Starts a terminal, and waits for the prompt of its shell. */
  static async start(
    env: Record<string, string>,
    { columns = 100, rows = 20 }: Partial<Size> = {},
  ): Promise<Tmux> {
    const terminal = new Tmux();
    while (!existsSync(terminal.#socket)) await delay(5);
    const variables = Object.entries({ PS1: '$ ', ...env }).map(
      ([name, value]) => `${name}=${value}`,
    );
    // an empty environment, so that the shell reads no files of the user
    const shell = ['env', '-i', `PATH=${process.env['PATH'] ?? ''}`, ...variables, 'sh'];
    terminal.run('new-session', '-d', '-x', String(columns), '-y', String(rows), ...shell);
    await terminal.until('the prompt', (lines) => lines[0] === '$');
    return terminal;
  }

  private constructor() {
    // -D: the server remains a child of this process, and ends with it
    this.#server = spawn('tmux', ['-D', '-S', this.#socket, '-f', '/dev/null'], {
      stdio: 'ignore',
      env: { ...process.env, TMUX: '' },
    });
  }

  /** Runs a tmux command on the server of this terminal, and returns its output. */
  run(...args: string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, '-u', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, TMUX: '' },
    });
  }

  /** Sends keys, by their names in tmux (`Enter`, `C-c`, `Left`), or text. */
  type(...keys: string[]): void {
    this.run('send-keys', ...keys);
  }

  /** Returns the lines of the screen. */
  screen(): string[] {
    return this.run('capture-pane', '-p').split('\n');
  }

  /** Returns the screen, with colours as escape sequences. */
  colouredScreen(): string {
    return this.run('capture-pane', '-p', '-e');
  }

  /** Returns the modes of the terminal (alternate screen, cursor, line wrap), in tmux' format variables. */
  modes(): string {
    const modes = ['alternate_on', 'cursor_flag', 'wrap_flag', 'keypad_flag', 'insert_flag'];
    return this.run('display-message', '-p', modes.map((mode) => `${mode}=#{${mode}}`).join(' '));
  }

  resize(columns: number, rows: number): void {
    this.run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Waits until a condition holds for the lines of the screen, and returns them. */
  async until(what: string, holds: (lines: string[]) => boolean): Promise<string[]> {
    const deadline = performance.now() + TIMEOUT_MS;
    for (;;) {
      const lines = this.screen();
      if (holds(lines)) return lines;
      if (performance.now() > deadline) {
        throw new Error(`not on the screen: ${what}\n${lines.join('\n')}`);
      }
      await delay(50);
    }
  }

  async close(): Promise<void> {
    await endChild(this.#server);
    rmSync(this.#directory, { recursive: true });
  }
}
