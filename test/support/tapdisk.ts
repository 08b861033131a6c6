import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { endChild, execFileSync, spawn } from './child-process';

/** The offsets of the fields of a tapdisk's statistics. */
export const FIELDS = {
  oo_reqs: 8,
  read_reqs_submitted: 16,
  read_reqs_completed: 24,
  read_sectors: 32,
  read_total_ticks: 40,
  write_reqs_submitted: 48,
  write_reqs_completed: 56,
  write_sectors: 64,
  write_total_ticks: 72,
  io_errors: 80,
} as const;

/** A process that has the statistics of one disk as tapdisk has them: see tapdisk.c. */
export class Tapdisk {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    if (child.stdout === null) throw new Error('tapdisk has no output');
    this.#child = child;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  /** Builds the program in a directory. Returns its path. */
  static build(directory: string): string {
    const program = join(directory, 'tapdisk');
    if (!existsSync(program)) {
      execFileSync('gcc', ['-O1', '-Wall', '-o', program, join(__dirname, 'tapdisk.c')]);
    }
    return program;
  }

  /** Makes a directory in place of /dev/shm. */
  static makeShm(): string {
    return mkdtempSync(join(tmpdir(), 'shm-'));
  }

  static async start(program: string, shm: string, domid: number, devid: number): Promise<Tapdisk> {
    const args = [shm, String(domid), String(devid)];
    const tapdisk = new Tapdisk(spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] }));
    await tapdisk.#lines.next();
    return tapdisk;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async set(values: Partial<Record<keyof typeof FIELDS, number | bigint>>): Promise<void> {
    for (const [name, value] of Object.entries(values)) {
      await this.command(`set ${FIELDS[name as keyof typeof FIELDS]} ${value}`);
    }
  }

  /** Gives the process a command of tapdisk.c. */
  async command(line: string): Promise<void> {
    this.#child.stdin?.write(`${line}\n`);
    const { value } = (await this.#lines.next()) as IteratorResult<string, undefined>;
    if (value !== 'ok') throw new Error(`tapdisk does not know: ${line}`);
  }

  /** Lets the process remove its statistics and end. */
  async end(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin?.end();
    await ended;
  }

  /** Kills the process: its statistics stay. */
  async kill(): Promise<void> {
    await endChild(this.#child);
  }
}
