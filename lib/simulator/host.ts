import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { outOfRange } from '../errors';
import type { Counters, Io } from './counters';
import { Faults } from './faults';
import {
  checkCounters,
  checkDisk,
  checkDiskName,
  checkDomid,
  checkGuest,
  checkHost,
  checkIo,
  checkNodePath,
  checkNodeValue,
  checkWorkload,
  type CounterOptions,
  type DiskOptions,
  type GuestOptions,
  type HostOptions,
  type WorkloadOptions,
  type XenstoreRequest,
} from './options';
import type { Simulation, SimulationOptions } from './simulation';
import type { Answer, Command, Question } from './worker';

/** The longest path that a Unix socket can have, in bytes. */
const MAX_SOCKET_PATH = 107;

const SOCKET = 'xenstored.sock';

/** What is left to remove if the process ends without {@link SimulatedHost.stop}. */
const leftovers = new Set<string>();
process.on('exit', () => {
  for (const path of leftovers) rmSync(path, { recursive: true, force: true });
});

/**
 * A Xen host that is none: a xenstored on a Unix socket, and folders as sysfs has them, with guests
 * and disks whose counters move. For the tests of programs that use this package, where there is no
 * Xen.
 *
 * It runs on a thread of its own, which does not keep the process alive.
 *
 * @example
 * ```ts
 * const host = await SimulatedHost.start({
 *   guests: [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/vg/web1' }] }],
 * });
 * const xen = connect(host.connectOptions);
 * await host.io(1, 'xvda', { reads: 2, readBytes: 8192 });
 * xen.domain('web1').blockStats('xvda'); // { rdReq: 2, rdBytes: 8192, ... }
 * xen.close();
 * await host.stop();
 * ```
 */
export class SimulatedHost {
  /** What to give to `connect()`. */
  readonly connectOptions: { readonly xenstore: string; readonly sysfs: string };
  /** What can go wrong with its xenstored. */
  readonly faults = new Faults((fault) => this.#call('setFault', fault));
  readonly #worker: Worker;
  readonly #made: readonly string[];
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;
  #end: string | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(options: SimulationOptions, made: readonly string[]) {
    const { xenstore, sysfs } = options;
    this.connectOptions = { xenstore, sysfs };
    this.#made = made;
    this.#worker = new Worker(join(__dirname, 'worker.js'), { workerData: options });
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => {
      this.#settle(answer);
    });
    this.#worker.on('error', (error) => {
      this.#fail(`the simulated host broke down: ${String(error)}`);
    });
    this.#worker.on('exit', () => {
      this.#fail('the simulated host has been stopped');
    });
  }

  /**
   * Starts a host, with Domain-0 and these guests.
   *
   * @throws TypeError, RangeError or XenError if it cannot be such a host; RangeError if the folder's
   * path is too long for a Unix socket in it.
   */
  static async start(options: HostOptions = {}): Promise<SimulatedHost> {
    const { domid = 0, toolstack = 'xl', guests = [], folder } = checkHost('options', options);
    const root = makeFolder(folder);
    const xenstore = join(root, SOCKET);
    const sysfs = join(root, 'sys');
    // fails if another host lives there, and before anything of that one is ours to remove
    mkdirSync(sysfs);
    // a folder of the caller's keeps what else is in it, one of ours goes
    const made = folder === undefined ? [root] : [xenstore, sysfs];
    for (const path of made) leftovers.add(path);
    const host = new SimulatedHost({ xenstore, sysfs, domid, toolstack }, made);
    try {
      await host.#call('start');
      for (const guest of guests) await host.#call('addGuest', guest);
      return host;
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  /** Starts a guest with its disks, and says which domid and uuid it got. */
  async addGuest(guest: GuestOptions): Promise<{ domid: number; uuid: string }> {
    return this.#call('addGuest', checkGuest('guest', guest));
  }

  /** Ends a guest: nothing is left of it or of its disks. */
  async removeGuest(domid: number): Promise<void> {
    return this.#call('removeGuest', checkDomid('domid', domid));
  }

  /** Plugs a disk in. */
  async attachDisk(domid: number, disk: DiskOptions): Promise<void> {
    return this.#call('attachDisk', checkDomid('domid', domid), checkDisk('disk', disk));
  }

  /** Plugs a disk out. */
  async detachDisk(domid: number, disk: string): Promise<void> {
    return this.#call('detachDisk', checkDomid('domid', domid), checkDiskName('disk', disk));
  }

  /** The guest's driver connects: only now xenstore says how large the disk and its sectors are. */
  async connectFrontend(domid: number, disk: string): Promise<void> {
    return this.#call('connectFrontend', checkDomid('domid', domid), checkDiskName('disk', disk));
  }

  /** The guest's driver lets go of the disk: its counters are 0 from then on. */
  async disconnectFrontend(domid: number, disk: string): Promise<void> {
    return this.#call(
      'disconnectFrontend',
      checkDomid('domid', domid),
      checkDiskName('disk', disk),
    );
  }

  /** A disk's counters: requests, and sectors of 512 bytes. */
  async counters(domid: number, disk: string): Promise<Counters> {
    return this.#call('counters', checkDomid('domid', domid), checkDiskName('disk', disk));
  }

  /** Sets some of a disk's counters, and leaves the others as they are. */
  async setCounters(domid: number, disk: string, counters: CounterOptions): Promise<void> {
    return this.#call(
      'setCounters',
      checkDomid('domid', domid),
      checkDiskName('disk', disk),
      checkCounters('counters', counters),
    );
  }

  /** Lets a guest use a disk: its counters move as blkback moves them. */
  async io(domid: number, disk: string, io: Io): Promise<void> {
    return this.#call(
      'io',
      checkDomid('domid', domid),
      checkDiskName('disk', disk),
      checkIo('io', io),
    );
  }

  /** Lets every guest use every disk that it can, until {@link stopWorkload}. */
  async startWorkload(options: WorkloadOptions = {}): Promise<void> {
    const { intervalMs = 100, seed = 1 } = checkWorkload('options', options);
    return this.#call('startWorkload', intervalMs, seed);
  }

  async stopWorkload(): Promise<void> {
    return this.#call('stopWorkload');
  }

  /**
   * Writes a node of xenstore, and makes its parents.
   *
   * @param path - a relative one is below the own domain's folder, here and in the calls below.
   */
  async write(path: string, value: string | Uint8Array): Promise<void> {
    return this.#call('write', checkNodePath('path', path), checkNodeValue('value', value));
  }

  /** A node's value as text; undefined if there is no such node. */
  async read(path: string): Promise<string | undefined> {
    return this.#call('read', checkNodePath('path', path));
  }

  /** The names of a node's children; undefined if there is no such node. */
  async list(path: string): Promise<string[] | undefined> {
    return this.#call('list', checkNodePath('path', path));
  }

  /** Removes a node and all below it. */
  async remove(path: string): Promise<void> {
    return this.#call('remove', checkNodePath('path', path));
  }

  /** What clients have asked of xenstored since the last call of this, but the last 10,000 at most. */
  async requests(): Promise<XenstoreRequest[]> {
    return this.#call('requests');
  }

  /** Hangs up on all clients, ends the thread and removes its files. Again, it does nothing. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<void> {
    // a thread that broke down needs no asking
    if (this.#end === undefined) await this.#call('stop').catch(() => undefined);
    await this.#worker.terminate();
    for (const path of this.#made) {
      rmSync(path, { recursive: true, force: true });
      leftovers.delete(path);
    }
  }

  async #call<C extends Command>(
    command: C,
    ...args: Parameters<Simulation[C]>
  ): Promise<Awaited<ReturnType<Simulation[C]>>> {
    if (this.#end !== undefined) throw new Error(this.#end);
    this.#lastId += 1;
    const question: Question = { id: this.#lastId, command, args };
    const { result, error } = await new Promise<Answer>((answered) => {
      this.#waiting.set(question.id, answered);
      this.#worker.ref();
      this.#worker.postMessage(question);
    });
    // made here, for the caller to be in its stack
    if (error) throw Object.assign(new Error(error.message), error);
    return result as Awaited<ReturnType<Simulation[C]>>;
  }

  #settle(answer: Answer): void {
    this.#waiting.get(answer.id)?.(answer);
    this.#waiting.delete(answer.id);
    if (this.#waiting.size === 0) this.#worker.unref();
  }

  #fail(message: string): void {
    this.#end ??= message;
    for (const id of this.#waiting.keys())
      this.#settle({ id, error: { message, code: undefined } });
  }
}

function makeFolder(folder: string | undefined): string {
  const prefix = join(tmpdir(), 'xen-block-stats-');
  const socket = join(resolve(folder ?? `${prefix}XXXXXX`), SOCKET);
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH) {
    const limit = `so short that ${socket} has at most ${MAX_SOCKET_PATH} bytes`;
    throw outOfRange('options.folder', limit, dirname(socket));
  }
  if (folder === undefined) return mkdtempSync(prefix);
  mkdirSync(folder, { recursive: true });
  return resolve(folder);
}
