import { createInterface } from 'node:readline';
import { spawn } from '../test/support/child-process';

/** The floor (floor.c), in a process of its own. */
export interface Floor {
  /** Reads this number of counters of each of the disks. Returns nanoseconds for one disk. */
  measure(disks: number, counters: 5 | 6 | 7): Promise<number>;
}

/** The number of reads of a disk in a measurement. */
const READS = 3000;

/** Starts the program, which opens the counters of this number of disks. */
export function startFloor(program: string, devices: string, disks: number): Floor {
  const child = spawn(program, [devices, String(disks)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    measure: async (count, counters) => {
      child.stdin.write(`${count} ${counters} ${Math.ceil(READS / count)}\n`);
      const line = (await lines.next()) as IteratorResult<string, undefined>;
      if (line.done === true) throw new Error('the floor program could not read the counters');
      return Number(line.value);
    },
  };
}
