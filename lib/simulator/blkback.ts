import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  BLKBACK_COUNTERS,
  Statistics,
  countBlkbackIo,
  type BlkbackCounter,
  type CounterOptions,
} from './counters';

/**
 * The sysfs directory of a disk that blkback serves, with a file for each counter. Without a frontend the counters are
 * 0: blkback frees its rings, and with them the counters.
 */
export class CounterFiles extends Statistics<BlkbackCounter> {
  readonly #directory: string;
  /** Where the directory is created and removed, so that no reader sees a part of it. */
  readonly #hidden: string;
  readonly #files = new Map<BlkbackCounter, { readonly descriptor: number; text: string }>();

  /** @param device - its name in the directory `devices` of the bus: `vbd-1-51712`. */
  constructor(bus: string, device: string, values: CounterOptions = {}) {
    super(countBlkbackIo);
    this.#directory = join(bus, 'devices', device);
    this.#hidden = join(bus, `${device}.hidden`);
    const statistics = join(this.#hidden, 'statistics');
    // creates no parents: they are missing only if the host's files are removed, because the process ends
    mkdirSync(this.#hidden);
    mkdirSync(statistics);
    for (const counter of BLKBACK_COUNTERS) {
      const descriptor = openSync(join(statistics, counter), 'wx', 0o444);
      this.#files.set(counter, { descriptor, text: '' });
    }
    this.set(values);
    renameSync(this.#hidden, this.#directory);
  }

  protected publish(values: Record<BlkbackCounter, bigint>): void {
    for (const [counter, file] of this.#files) {
      const text = `${values[counter]}\n`;
      if (text === file.text) continue;
      // A reader can have the file open, and must never read an empty or a shortened number. Node's file
      // functions read as many bytes as the file had first, so the file grows before a longer text comes.
      if (text.length > file.text.length) ftruncateSync(file.descriptor, text.length);
      // a Buffer: Deno ignores the position of a string
      writeSync(file.descriptor, Buffer.from(text), 0, text.length, 0);
      if (text.length < file.text.length) ftruncateSync(file.descriptor, text.length);
      file.text = text;
    }
  }

  /** Removes the directory. A reader of an open file reads nothing more, where sysfs returns ENODEV. */
  remove(): void {
    renameSync(this.#directory, this.#hidden);
    rmSync(this.#hidden, { recursive: true });
    for (const { descriptor } of this.#files.values()) {
      ftruncateSync(descriptor, 0);
      closeSync(descriptor);
    }
    this.#files.clear();
  }
}
