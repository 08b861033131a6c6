import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  Statistics,
  countTimedIo,
  type CounterOptions,
  type DiskStatistics,
  type Io,
  type TimedCounter,
} from './counters';
import { QmpClient } from './qmp';
import type { DiskSpec } from './toolstack';

/** Returns the name of the socket of a domain's QEMU. */
export function monitorName(domid: number): string {
  return `qmp-libxenstat-${domid}`;
}

/**
 * The QEMU of a domain: its disks, and the monitor (QMP) that serves their statistics on a Unix socket. It
 * serves one client at a time, as QEMU does. The other clients wait.
 */
export class Qemu {
  /** In the order of attachment. */
  readonly #disks = new Set<QemuDisk>();
  /** The number of the next disk in QEMU's list of devices; others come first. */
  #nextDevice = 2;
  readonly #server: Server;
  /** Settles when the socket accepts clients, or when it cannot. */
  readonly listening: Promise<unknown>;
  /** In the order of their connections. The first one is served. */
  readonly #clients: QmpClient[] = [];
  #isHeld = false;

  /** @param run - the directory that stands for `/run/xen`. */
  constructor(run: string, domid: number) {
    this.#server = createServer((socket) => {
      this.#accept(socket);
    });
    this.#server.listen(join(run, monitorName(domid)));
    this.listening = once(this.#server, 'listening');
  }

  /** Attaches a disk. */
  attach(spec: DiskSpec, values?: CounterOptions): DiskStatistics {
    const disk = new QemuDisk(spec, this.#nextDevice++, values, () => {
      this.#disks.delete(disk);
    });
    this.#disks.add(disk);
    return disk;
  }

  /** Hangs: accepts clients, and neither greets nor answers them until {@link release}. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#serve();
  }

  /** Disconnects all clients, and removes the socket. */
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const { socket } of this.#clients) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    const client = new QmpClient(
      socket,
      () => [...this.#disks].map((disk) => disk.describe()),
      () => {
        this.#serve();
      },
    );
    this.#clients.push(client);
    socket.on('close', () => {
      this.#clients.splice(this.#clients.indexOf(client), 1);
      this.#serve();
    });
    this.#serve();
  }

  #serve(): void {
    if (!this.#isHeld) this.#clients[0]?.serve();
  }
}

const ZERO = countTimedIo({});

/** Statistics that QEMU reports, and that are always 0 here, as for disks of real guests. */
const UNUSED = {
  ...{ rd_merged: 0, wr_merged: 0, wr_highest_offset: 0, timed_stats: [] },
  ...{ flush_operations: 0, flush_total_time_ns: 0, failed_flush_operations: 0 },
  ...{ unmap_bytes: 0, unmap_operations: 0, unmap_total_time_ns: 0, unmap_merged: 0 },
  ...{ failed_unmap_operations: 0, invalid_rd_operations: 0, invalid_wr_operations: 0 },
  ...{ invalid_flush_operations: 0, invalid_unmap_operations: 0 },
};

/** A disk of QEMU with its counters. */
class QemuDisk extends Statistics<TimedCounter> {
  readonly #spec: DiskSpec;
  readonly #device: number;
  readonly remove: () => void;
  /** The time of the last I/O on the monotonic clock, in nanoseconds. */
  #lastIo: bigint | undefined;

  constructor(spec: DiskSpec, device: number, values: CounterOptions = {}, remove: () => void) {
    super(countTimedIo);
    this.#spec = spec;
    this.#device = device;
    this.remove = remove;
    this.set(values);
  }

  override perform(io: Io): void {
    super.perform(io);
    this.#lastIo = process.hrtime.bigint();
  }

  override disconnect(): void {
    // QEMU keeps the counters
  }

  protected publish(): void {
    // they are read when QEMU is asked
  }

  /** Returns the disk's entry in the answer to `query-blockstats`. */
  describe() {
    const { name, format = 'raw' } = this.#spec;
    const driver = format === 'vhd' ? 'vpc' : format;
    const idle =
      this.#lastIo === undefined ? {} : { idle_time_ns: process.hrtime.bigint() - this.#lastIo };
    return {
      device: '',
      parent: {
        stats: toStats(ZERO, false),
        'node-name': `#block${100 + this.#device}`,
        'driver-specific': {
          'discard-bytes-ok': 0,
          'discard-nb-ok': 0,
          driver: 'file',
          'discard-nb-failed': 0,
        },
      },
      stats: { ...toStats(this.values, true), ...idle },
      'node-name': `${name}-${driver}`,
      qdev: `/machine/unattached/device[${this.#device}]`,
    };
  }
}

function toStats(values: typeof ZERO, isAccounted: boolean) {
  return {
    ...UNUSED,
    account_invalid: isAccounted,
    account_failed: isAccounted,
    rd_bytes: BigInt.asUintN(64, values.rd_sect * 512n),
    rd_operations: values.rd_req,
    rd_total_time_ns: values.rd_ns,
    failed_rd_operations: 0,
    wr_bytes: BigInt.asUintN(64, values.wr_sect * 512n),
    wr_operations: values.wr_req,
    wr_total_time_ns: values.wr_ns,
    failed_wr_operations: values.errors,
  };
}
