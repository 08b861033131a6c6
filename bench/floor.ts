import { createInterface } from 'node:readline';
import { spawn } from '../test/support/child-process';
import type { Call } from './latency';

/** The ticks of a thread that samples disks at an interval. */
export interface Ticks {
  /** The share of ticks that began less than half an interval late. */
  readonly onTime: number;
  /** The processor time for one disk, in nanoseconds. */
  readonly cpuNs: number;
}

/** The number of reads of a disk in a measurement of the mean. */
const READS = 3000;

/** The floor (floor.c), in a process of its own, which reads the first counters of the first disks of a backend. */
export class Floor {
  readonly #stdin;
  readonly #lines: AsyncIterator<string, undefined>;

  /** Starts the program, which opens the disks that its arguments name: see floor.c. */
  constructor(
    program: string,
    backend: 'blkback' | 'tapdisk' | 'qemu',
    ...args: (string | number)[]
  ) {
    const stdio: ['pipe', 'pipe', 'inherit'] = ['pipe', 'pipe', 'inherit'];
    const child = spawn(program, [backend, ...args.map(String)], { stdio });
    this.#stdin = child.stdin;
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  /** Returns the mean time for one disk, in nanoseconds. */
  async mean(disks: number, counters: number, reads = READS): Promise<number> {
    return Number(await this.#run('mean', disks, counters, Math.ceil(reads / disks)));
  }

  /** Returns single rounds of reads. */
  async calls(disks: number, counters: number, count: number): Promise<Call[]> {
    const line = await this.#run('latency', disks, counters, count);
    return line
      .trim()
      .split(' ')
      .map((text) => {
        const [nanoseconds, isDisturbed] = text.split(':').map(Number);
        return { nanoseconds: nanoseconds ?? NaN, isDisturbed: isDisturbed === 1 };
      });
  }

  /** Samples at an interval, in nanoseconds, for three seconds. */
  async ticks(disks: number, counters: number, interval: number): Promise<Ticks> {
    const line = await this.#run('ticks', disks, counters, interval);
    const [onTime = NaN, cpuNs = NaN] = line.split(' ').map(Number);
    return { onTime, cpuNs };
  }

  async #run(...words: (string | number)[]): Promise<string> {
    this.#stdin.write(`${words.join(' ')}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the floor program could not read the disks');
    return line.value;
  }
}
