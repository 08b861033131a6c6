import { constants } from 'node:os';
import { XenError } from '../errors';
import { Column, monotonicTime } from '../native';
import type { DiskInfo } from '../xenstore/disks';
import { QemuQuery, connectError, readError, type Monitor } from './qemu-query';
import { isJsonObject, type BlockStats, type JsonObject } from './qmp';

/** The first and the longest time for which a QEMU is not asked after a timeout, in milliseconds. */
const FIRST_BACKOFF_MS = 1000;
const LONGEST_BACKOFF_MS = 30_000;

/** The limit of the path of a unix socket, in bytes: see unix(7). */
const MAX_PATH_BYTES = 107;

/**
 * The monitors of the QEMU processes that serve disks, one a domain. A monitor serves one client, and other
 * programs (xentop, libxl) wait for it. So a connection lasts for one query. A QEMU that hangs keeps the
 * client of a query that timed out in its queue, which has two places, so it is not asked for a while.
 */
export class QemuMonitors {
  readonly #run: string;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, { query: QemuQuery; answer: Promise<QemuAnswer> }>();
  /** The domains whose QEMU did not answer; `until` is a time on the clock of `performance.now`. */
  readonly #backoffs = new Map<number, { readonly delayMs: number; readonly until: number }>();
  #isClosed = false;

  /**
   * @param run - the directory of the sockets.
   * @param timeoutMs - the timeout of a query. Longer if the event loop is blocked.
   */
  constructor(run: string, timeoutMs: number) {
    this.#run = run;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Asks the QEMU of a domain for the statistics of its disks. A call while another one is unanswered
   * returns the same promise.
   *
   * @throws {@link XenError} `ERR_XEN_STATS_UNAVAILABLE` if QEMU does not answer, and at once for 1 to 30
   * seconds after a timeout.
   */
  query(domid: number): Promise<QemuAnswer> {
    if (this.#isClosed) return Promise.reject(closedError());
    const pending = this.#pending.get(domid);
    if (pending !== undefined) return pending.answer;
    const monitor = { domid, path: `${this.#run}/qmp-libxenstat-${domid}` };
    // Node.js cuts a longer one, which can then be the path of another domain's monitor
    if (Buffer.byteLength(monitor.path) > MAX_PATH_BYTES) return Promise.reject(pathError(monitor));
    const backoff = this.#backoffs.get(domid);
    const restMs = (backoff?.until ?? 0) - performance.now();
    if (restMs > 0) return Promise.reject(backoffError(monitor, restMs));

    const askedAt = monotonicTime();
    const query = new QemuQuery(monitor, this.#timeoutMs);
    const settle = () => {
      this.#pending.delete(domid);
      this.#backoffs.delete(domid);
      if (!query.isTimedOut) return;
      const delayMs = backoff === undefined ? FIRST_BACKOFF_MS : backoff.delayMs * 2;
      this.#backOff(domid, Math.min(delayMs, LONGEST_BACKOFF_MS));
    };
    const answer = query.answer
      .then((stats) => new QemuAnswer(monitor, askedAt, stats))
      .finally(settle);
    this.#pending.set(domid, { query, answer });
    return answer;
  }

  /** Rejects the pending queries with `ERR_XEN_CLOSED`, and closes their connections. */
  close(): void {
    this.#isClosed = true;
    for (const { query } of this.#pending.values()) query.fail(closedError());
  }

  #backOff(domid: number, delayMs: number): void {
    this.#backoffs.set(domid, { delayMs, until: performance.now() + delayMs });
  }
}

/** The answer of a domain's QEMU: the statistics of all its disks at one time. */
export class QemuAnswer {
  /** The {@link monotonicTime} when QEMU was asked. */
  readonly askedAt: bigint;
  /** The {@link monotonicTime} when the answer arrived. */
  readonly timestamp = monotonicTime();
  readonly #monitor: Monitor;
  readonly #stats: readonly BlockStats[];

  /** @internal */
  constructor(monitor: Monitor, askedAt: bigint, stats: readonly BlockStats[]) {
    this.askedAt = askedAt;
    this.#monitor = monitor;
    this.#stats = stats;
  }

  /**
   * Writes the numbers of a disk into a row of an array, each at its {@link Column}. Returns false if QEMU
   * has no such disk. Writes nothing then, and if it throws.
   *
   * @param offset - the index at which the row begins.
   * @throws {@link XenError} `ERR_XEN_STATS_UNAVAILABLE` if a number is invalid.
   */
  fill(
    disk: Pick<DiskInfo, 'name' | 'format'>,
    array: Float64Array | BigInt64Array,
    offset = 0,
  ): boolean {
    const node = nodeName(disk);
    const [stats, ...others] = this.#stats.filter(({ entry }) => entry['node-name'] === node);
    if (stats === undefined) return false;
    let row: QemuRow;
    try {
      if (others.length > 0) throw new Error('QEMU has more than one');
      row = toRow(stats);
    } catch (error) {
      const why = `node ${node}: ${(error as Error).message}`;
      throw readError(this.#monitor, why, { disk: disk.name });
    }
    for (const [name, column] of Object.entries(Column)) {
      const value = row[name as keyof QemuRow];
      if (array instanceof BigInt64Array) array[offset + column] = value;
      else array[offset + column] = Number(value);
    }
    return true;
  }
}

/** Returns the name that libxl gives a disk's node in QEMU. */
function nodeName({ name, format }: Pick<DiskInfo, 'name' | 'format'>): string {
  return `${name}-${format === 'vhd' ? 'vpc' : format}`;
}

type QemuRow = Readonly<Record<keyof typeof Column, bigint>>;

/** A counter that QEMU does not have: it counts neither flushes nor discards of a Xen guest. */
const NOT_COUNTED = -1n;

const MAX_INT64 = 2n ** 63n - 1n;

/** @throws Error if a number is invalid. */
function toRow({ entry, exact }: BlockStats): QemuRow {
  const stats = entry['stats'];
  if (!isJsonObject(stats)) throw new Error('it has no statistics');
  const sum = (...fields: readonly string[]) => {
    const values = fields.map((field) => toCounter(field, stats, exact['stats'] as JsonObject));
    const total = values.reduce((a, b) => a + b);
    if (total > MAX_INT64) throw new Error(`${fields.join(' + ')} exceeds 2^63 - 1`);
    return total;
  };
  const rdBytes = sum('rd_bytes');
  const wrBytes = sum('wr_bytes');
  return {
    // QEMU counts a failed request only as failed
    rdReq: sum('rd_operations', 'failed_rd_operations'),
    rdSectors: rdBytes / 512n,
    rdBytes,
    wrReq: sum('wr_operations', 'failed_wr_operations'),
    wrSectors: wrBytes / 512n,
    wrBytes,
    flushReq: NOT_COUNTED,
    discardReq: NOT_COUNTED,
    ooReq: NOT_COUNTED,
    rdTimeNs: sum('rd_total_time_ns'),
    wrTimeNs: sum('wr_total_time_ns'),
    ioErrors: sum(
      'failed_rd_operations',
      'failed_wr_operations',
      'failed_flush_operations',
      'failed_unmap_operations',
    ),
  };
}

function toCounter(field: string, stats: JsonObject, exact: JsonObject): bigint {
  const value = stats[field];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw new Error(`${field} is not a count`);
  }
  return BigInt(exact[field] as number | string);
}

function backoffError(monitor: Monitor, restMs: number): XenError {
  const seconds = (restMs / 1000).toFixed(1);
  return connectError(monitor, `QEMU did not answer in time, and is asked again in ${seconds} s`);
}

function pathError(monitor: Monitor): XenError {
  const why = `ENAMETOOLONG, the path of a socket has at most ${MAX_PATH_BYTES} bytes`;
  return connectError(monitor, why, { errno: constants.errno.ENAMETOOLONG });
}

function closedError(): XenError {
  return new XenError('ERR_XEN_CLOSED', 'the connection to Xen is closed');
}
