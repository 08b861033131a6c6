import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** The floor, in a process of its own that lives as long as ours does. */
export interface Floor {
  /** Nanoseconds for one disk: so many counters of each of so many disks. */
  measure(disks: number, counters: 5 | 6 | 7): Promise<number>;
  stop(): Promise<void>;
}

/** How many disks are read in a measurement, one after the other. */
const READS = 3000;

/** Starts the program, which opens the counters of so many disks. */
export function startFloor(program: string, devices: string, disks: number): Floor {
  const child = spawn(program, [devices, String(disks)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    measure: async (count, counters) => {
      child.stdin.write(`${count} ${counters} ${Math.ceil(READS / count)}\n`);
      const answer = (await answers.next()) as IteratorResult<string, undefined>;
      if (answer.done === true) throw new Error('the floor could not read what it was asked for');
      return Number(answer.value);
    },
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
