import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { execFileSync } from './child-process';

/**
 * A loop device over a file of its own. The kernel removes it with the descriptor that this process has,
 * also when this process is killed. Needs CAP_SYS_ADMIN and the driver `loop`.
 */
export class LoopDevice {
  /** The path of the device. */
  readonly path: string;
  /** The number of the device, `major:minor` in decimal. */
  readonly number: string;
  readonly #descriptor: number;

  /** @param file - the path of the file, which is created and removed. */
  constructor(file: string, bytes: number) {
    writeFileSync(file, '');
    truncateSync(file, bytes);
    this.path = run('losetup', '--find', '--show', file);
    this.number = readNumber(basename(this.path));
    this.#descriptor = openSync(this.path, 'r');
    run('losetup', '--detach', this.path); // takes effect when it is closed
    rmSync(file);
  }

  /** Returns the numbers in the kernel's file `stat` of the device. */
  statistics(): number[] {
    const text = readFileSync(`/sys/dev/block/${this.number}/stat`, 'utf8');
    return text.trim().split(/\s+/).map(Number);
  }

  /** Waits until no process uses the device: udev reads a new device, and one that was written. */
  async settle(): Promise<void> {
    for (let before = ''; ;) {
      const now = this.statistics().join();
      if (now === before) return;
      before = now;
      await delay(100);
    }
  }

  /** Reads or writes the device with dd, without the page cache. */
  dd(...args: string[]): void {
    run('dd', 'status=none', ...args);
  }

  remove(): void {
    closeSync(this.#descriptor);
  }
}

const ZRAM = '/sys/class/zram-control';

/** A device of the driver `zram`, which can be removed from the kernel. Needs CAP_SYS_ADMIN. */
export class ZramDevice {
  /** The number of the device, `major:minor` in decimal. */
  readonly number: string;
  readonly #id: string;

  constructor() {
    this.#id = readFileSync(`${ZRAM}/hot_add`, 'utf8').trim();
    this.number = readNumber(`zram${this.#id}`);
  }

  remove(): void {
    writeFileSync(`${ZRAM}/hot_remove`, this.#id);
  }
}

/** Returns the number of a block device, `major:minor` in decimal. */
function readNumber(name: string): string {
  return readFileSync(`/sys/block/${name}/dev`, 'utf8').trim();
}

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' }).trim();
}
