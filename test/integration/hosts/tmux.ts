import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** How large a terminal is. */
interface Size {
  readonly columns: number;
  readonly rows: number;
}

const PATIENCE_MS = 20_000;

/** A terminal with a shell in it: tmux, on a server of its own. */
export class Tmux {
  readonly #folder = mkdtempSync(join(tmpdir(), 'tmux-'));
  readonly #socket = join(this.#folder, 'socket');

  /** Starts one, with a shell that waits for commands. */
  static async start(env: Record<string, string>, size?: Partial<Size>): Promise<Tmux> {
    const it = new Tmux(env, size);
    await it.until('the prompt', (lines) => lines[0] === '$');
    return it;
  }

  private constructor(
    env: Record<string, string>,
    { columns = 100, rows = 20 }: Partial<Size> = {},
  ) {
    const variables = Object.entries({ PS1: '$ ', ...env }).map(
      ([name, value]) => `${name}=${value}`,
    );
    // a shell that reads no files of the user's
    const shell = ['env', '-i', `PATH=${process.env['PATH'] ?? ''}`, ...variables, 'sh'];
    this.run('new-session', '-d', '-x', String(columns), '-y', String(rows), ...shell);
  }

  /** tmux, with this terminal's server. */
  run(...args: string[]): string {
    try {
      return execFileSync('tmux', ['-S', this.#socket, '-f', '/dev/null', '-u', ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, TMUX: '' },
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new Error('there is no tmux: run script/bootstrap test, which installs it', {
        cause: error,
      });
    }
  }

  /** Types keys, by tmux' names of them (`Enter`, `C-c`, `Left`), or text. */
  type(...keys: string[]): void {
    this.run('send-keys', ...keys);
  }

  /** What is on the screen, line by line. */
  screen(): string[] {
    return this.run('capture-pane', '-p').split('\n');
  }

  /** What is on the screen, with colours as escape sequences. */
  colouredScreen(): string {
    return this.run('capture-pane', '-p', '-e');
  }

  /** What the terminal is set to: the alternate screen, cursor and line ends, in tmux' words. */
  modes(): string {
    const modes = ['alternate_on', 'cursor_flag', 'wrap_flag', 'keypad_flag', 'insert_flag'];
    return this.run('display-message', '-p', modes.map((mode) => `${mode}=#{${mode}}`).join(' '));
  }

  resize(columns: number, rows: number): void {
    this.run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Waits for the screen to be so. */
  async until(what: string, holds: (lines: string[]) => boolean): Promise<string[]> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const lines = this.screen();
      if (holds(lines)) return lines;
      if (performance.now() > deadline) {
        throw new Error(`not on the screen: ${what}\n${lines.join('\n')}`);
      }
      await delay(50);
    }
  }

  close(): void {
    this.run('kill-server');
    rmSync(this.#folder, { recursive: true });
  }
}
