import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import { onExit } from 'signal-exit';
import { outOfRange } from '../errors';
import type { CounterOptions, Counters, Io } from './counters';
import { Faults } from './faults';
import {
  MAX_DOMID,
  checkCounters,
  checkDisk,
  checkGuest,
  checkHost,
  checkIo,
  type DiskOptions,
  type GuestOptions,
  type HostOptions,
  type WorkloadOptions,
} from './options';
import { monitorName } from './qemu';
import type { Simulation, SimulationOptions } from './simulation';
import type { Call, Command, Result } from './worker';

/** The maximum length of a Unix socket's path, in bytes. */
const MAX_SOCKET_PATH = 107;

const SOCKET = 'xenstored.sock';

const RUN = 'run';

/** The longest name of a socket in the host's directory: the one of the QEMU of a guest. */
const LONGEST_SOCKET = join(RUN, monitorName(MAX_DOMID));

/**
 * A simulated Xen host, for tests of programs that use this package: a xenstored on a Unix socket, and
 * directories as in sysfs, with guests and disks whose counters move, those of QEMU and tapdisk too.
 *
 * It runs on a worker thread, which does not keep the process alive. docs/simulator.md has examples.
 */
export class SimulatedHost {
  /** Options for `connect()`. */
  readonly connectOptions: {
    readonly xenstore: string;
    readonly sysfs: string;
    /** The directory of tapdisk's statistics, as `/dev/shm`. */
    readonly shm: string;
    /** The directory of the sockets of QEMU, as `/run/xen`. */
    readonly run: string;
  };
  /** Faults of its xenstored, and of the QEMU of a guest. */
  readonly faults = new Faults(
    (fault) => this.#call('setFault', fault),
    (domid) => this.#call('holdQemu', domid),
  );
  readonly #worker: Worker;
  readonly #files: HostFiles;
  /** Why no call is possible any more. */
  #ended: string | undefined;

  private constructor(files: HostFiles, options: Omit<SimulationOptions, keyof HostFiles>) {
    const { xenstore, sysfs, bus, shm, run } = files;
    this.connectOptions = { xenstore, sysfs, shm, run };
    this.#files = files;
    const workerData: SimulationOptions = { ...options, xenstore, bus, shm, run };
    this.#worker = new Worker(join(__dirname, 'worker.js'), { workerData });
    this.#worker.unref();
    this.#worker.on('error', (error) => {
      this.#ended = `the simulated host failed: ${String(error)}`;
    });
  }

  /**
   * Starts a host, with Domain-0 and these guests.
   *
   * @throws TypeError, RangeError or XenError for invalid options; RangeError if the directory's path is
   * too long for a Unix socket in it.
   */
  static async start(options: HostOptions = {}): Promise<SimulatedHost> {
    checkHost(options);
    const { domid = 0, toolstack = 'xl', guests = [], directory } = options;
    const host = new SimulatedHost(new HostFiles(directory), { domid, toolstack });
    try {
      await host.#call('start');
      for (const guest of guests) await host.addGuest(guest);
      return host;
    } catch (error) {
      await host.stop();
      throw error;
    }
  }

  /** Starts a guest with its disks, and returns its domid and its UUID. */
  async addGuest(guest: GuestOptions): Promise<{ domid: number; uuid: string }> {
    checkGuest(guest);
    return this.#call('addGuest', guest);
  }

  /** Stops a guest, and removes its nodes and its disks. */
  async removeGuest(domid: number): Promise<void> {
    return this.#call('removeGuest', domid);
  }

  /** Attaches a disk. */
  async attachDisk(domid: number, disk: DiskOptions): Promise<void> {
    checkDisk(disk);
    return this.#call('attachDisk', domid, disk);
  }

  /** Detaches a disk. */
  async detachDisk(domid: number, disk: string): Promise<void> {
    return this.#call('detachDisk', domid, disk);
  }

  /** Connects the guest's frontend: xenstore has the sizes of the disk and of its sectors from now on. */
  async connectFrontend(domid: number, disk: string): Promise<void> {
    return this.#call('connectFrontend', domid, disk);
  }

  /** Disconnects the guest's frontend: the disk's counters become 0, except those of a disk of QEMU. */
  async disconnectFrontend(domid: number, disk: string): Promise<void> {
    return this.#call('disconnectFrontend', domid, disk);
  }

  /** Returns a disk's counters: requests, sectors of 512 bytes, nanoseconds and failed requests. */
  async counters(domid: number, disk: string): Promise<Counters> {
    return this.#call('counters', domid, disk);
  }

  /** Sets some of a disk's counters. */
  async setCounters(domid: number, disk: string, counters: CounterOptions): Promise<void> {
    checkCounters(counters);
    return this.#call('setCounters', domid, disk, counters);
  }

  /** Performs a guest's I/O: adds to the disk's counters as its backend does. */
  async io(domid: number, disk: string, io: Io): Promise<void> {
    checkIo(io);
    return this.#call('io', domid, disk, io);
  }

  /** Starts I/O of every guest on every connected disk, until {@link stopWorkload}. */
  async startWorkload({ intervalMs = 100, seed = 1 }: WorkloadOptions = {}): Promise<void> {
    return this.#call('startWorkload', intervalMs, seed);
  }

  async stopWorkload(): Promise<void> {
    return this.#call('stopWorkload');
  }

  /**
   * Writes a node of xenstore, and creates its missing parents.
   *
   * @param path - absolute, or relative to the own domain's directory, as in the methods below.
   */
  async write(path: string, value: string | Uint8Array): Promise<void> {
    return this.#call('write', path, value);
  }

  /** Returns a node's value as text; undefined if the node does not exist. */
  async read(path: string): Promise<string | undefined> {
    return this.#call('read', path);
  }

  /** Returns the names of a node's children; undefined if the node does not exist. */
  async list(path: string): Promise<string[] | undefined> {
    return this.#call('list', path);
  }

  /** Removes a node and all nodes below it. */
  async remove(path: string): Promise<void> {
    return this.#call('remove', path);
  }

  /** Disconnects all clients, ends the worker thread and removes the files. A second call does nothing. */
  async stop(): Promise<void> {
    this.#ended ??= 'the simulated host has been stopped';
    await this.#worker.terminate();
    this.#files.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #call<C extends Command>(
    command: C,
    ...args: Parameters<Simulation[C]>
  ): Promise<Awaited<ReturnType<Simulation[C]>>> {
    if (this.#ended !== undefined) throw new Error(this.#ended);
    // the port keeps the process alive until it is closed; the end of the worker closes it, too
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ command, args, port: port2 } satisfies Call, [port2]);
    const answers = [once(port1, 'message'), once(port1, 'close')];
    const [result] = (await Promise.race(answers)) as [Result?];
    port1.close();
    if (!result) throw new Error('the simulated host has been stopped, or failed');
    // created here, so that its stack has the caller
    if (result.error) throw Object.assign(new Error(result.error.message), result.error);
    return result.value as Awaited<ReturnType<Simulation[C]>>;
  }
}

/** The files of a host. They are removed when the process ends, at the latest. */
class HostFiles {
  readonly xenstore: string;
  readonly sysfs: string;
  /** The directory of the devices. */
  readonly bus: string;
  readonly shm: string;
  readonly run: string;
  /** The files and directories to remove. */
  #created: string[] = [];
  readonly #unregister: () => void;

  constructor(directory: string | undefined) {
    // Before there are files, because a signal can come at any moment. The signal ends the process as it would
    // without this: signal-exit raises it again.
    this.#unregister = onExit(() => {
      this.#removeFiles();
    });
    try {
      const root = createDirectory(directory);
      // other files in the caller's directory stay
      if (directory === undefined) this.#created = [root];
      const create = (name: string) => {
        const path = join(root, name);
        // throws if another host uses the directory, before anything of that host would be removed
        mkdirSync(path);
        if (directory !== undefined) this.#created.push(path);
        return path;
      };
      this.sysfs = create('sys');
      this.shm = create('shm');
      this.run = create(RUN);
      this.bus = join(this.sysfs, 'bus/xen-backend');
      mkdirSync(join(this.bus, 'devices'), { recursive: true });
      this.xenstore = join(root, SOCKET);
      if (directory !== undefined) this.#created.push(this.xenstore);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  remove(): void {
    this.#removeFiles();
    this.#unregister();
  }

  /** At the exit nothing is unregistered: signal-exit would skip its next listener. */
  #removeFiles(): void {
    for (const path of this.#created.filter(existsSync)) {
      // renamed first: the worker thread may still create files below the path
      const removed = `${path}.removed`;
      renameSync(path, removed);
      rmSync(removed, { recursive: true });
    }
  }
}

function createDirectory(directory: string | undefined): string {
  const prefix = join(tmpdir(), 'xen-block-stats-');
  const root = resolve(directory ?? `${prefix}XXXXXX`);
  if (Buffer.byteLength(join(root, LONGEST_SOCKET)) > MAX_SOCKET_PATH) {
    const limit = `so short that the path of ${LONGEST_SOCKET} in it has at most ${MAX_SOCKET_PATH} bytes`;
    throw outOfRange('options.directory', limit, root);
  }
  if (directory === undefined) return mkdtempSync(prefix);
  mkdirSync(root, { recursive: true });
  return root;
}
