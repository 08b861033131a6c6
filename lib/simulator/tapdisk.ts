import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  Statistics,
  countTimedIo,
  type CounterOptions,
  type Io,
  type TimedCounter,
} from './counters';

const PAGE_BYTES = 4096;

const VERSION = 1;

/**
 * The counters of a disk that tapdisk serves: the file `td3-<pid>/vbd-<domid>-<devid>`, which exists while
 * the frontend is connected. This process is the tapdisk: it keeps the file open, and has the pid.
 */
export class TapdiskFile extends Statistics<TimedCounter> {
  readonly #path: string;
  /** Flushes are in the submitted write requests, and tapdisk never counts them as completed. */
  #flushes = 0n;
  /** Undefined while the frontend is not connected. */
  #descriptor: number | undefined;

  /**
   * @param shm - the directory that stands for `/dev/shm`.
   * @param disk - the domid and the devid: `1-51712`.
   */
  constructor(shm: string, disk: string, values: CounterOptions = {}) {
    super(countTapdiskIo);
    this.#path = join(shm, `td3-${process.pid}`, `vbd-${disk}`);
    this.set(values);
  }

  override set(values: CounterOptions): void {
    if (values.wr_req !== undefined) this.#flushes = 0n;
    super.set(values);
  }

  override perform(io: Io): void {
    this.#flushes += BigInt(io.flushes ?? 0);
    super.perform(io);
  }

  /** Creates the file. If there is one, removes it first, and the counters start at 0. */
  override connect(): void {
    this.disconnect();
    const directory = join(this.#path, '..');
    // creates no parents: they are missing only if the host's files are removed, because the process ends
    if (!existsSync(directory)) mkdirSync(directory, 0o700);
    this.#descriptor = openSync(this.#path, 'wx', 0o600);
    ftruncateSync(this.#descriptor, PAGE_BYTES);
    this.set({});
  }

  /** Removes the file. A reader of the open file reads the last counters. */
  override disconnect(): void {
    if (this.#descriptor === undefined) return;
    unlinkSync(this.#path);
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
    super.disconnect();
  }

  remove(): void {
    this.disconnect();
  }

  protected publish(values: Record<TimedCounter, bigint>): void {
    if (this.#descriptor === undefined) return;
    const { rd_req, rd_sect, rd_ns, wr_req, wr_sect, wr_ns, errors } = values;
    // typed arrays have the byte order of the host, as the file has
    const fields = BigUint64Array.of(
      ...[0n, 0n],
      ...[rd_req, rd_req, rd_sect, rd_ns / 1000n],
      ...[wr_req, wr_req - this.#flushes, wr_sect, wr_ns / 1000n],
      ...[errors, 0n],
    );
    new Uint32Array(fields.buffer)[0] = VERSION;
    const bytes = Buffer.from(fields.buffer);
    writeSync(this.#descriptor, bytes, 0, bytes.length, 0);
  }
}

/** Returns what tapdisk adds to its counters: failed requests and flushes are write requests, too. */
function countTapdiskIo(io: Io): Record<TimedCounter, bigint> {
  const added = countTimedIo(io);
  added.wr_req += BigInt((io.errors ?? 0) + (io.flushes ?? 0));
  return added;
}
