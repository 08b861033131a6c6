import { loadAddon } from './addon';

/** An encoded reason why the counters of a vbd were not read, or 0: see {@link decodeFailure}. */
export type VbdFailure = number;

/** The open vbds of a connection, within one descriptor budget (binding/vbd_pool.h). */
export interface VbdPool {
  /** Closes the descriptors of the pool itself. Vbds can still be read. */
  close(): void;
}

/** The statistics of one vbd (binding/vbd_pool.h). */
export interface Vbd {
  /** Opens the vbd. Its files stay open while the budget has room for them. */
  open(): VbdFailure;
  /**
   * Reads counters into a row of an array, each at its {@link Column}. Writes nothing if a counter cannot
   * be read.
   *
   * @param counters - a set of bits of {@link Counter}.
   * @param offset - the index at which the row begins.
   */
  read(array: Float64Array | BigInt64Array, counters: number, offset: number): VbdFailure;
  /** Closes the files. */
  close(): void;
}

/** The statistics of one block device (binding/backing_statistics.h). */
export interface BackingDevice {
  /**
   * Reads the statistics into a row of an array, each at its {@link BackingColumn}. The first read opens the
   * file, which stays open while the pool's budget has room for it. Writes nothing on failure.
   *
   * @param offset - the index at which the row begins.
   * @returns 0 or an errno. Every later read returns it, too, unless it is EMFILE, ENFILE or EINVAL, which
   * an array that is too short gives.
   */
  read(array: Float64Array, offset: number): number;
  /** Closes the file. */
  close(): void;
}

/**
 * The statistics of many vbds, a row each (binding/vbd_set.h). A vbd is three numbers: domid, devid, and the
 * pid of its tapdisk, or 0 if blkback serves it.
 */
export interface VbdSet {
  /** Opens vbds as candidates for the next `assign`. */
  prepare(vbds: Uint32Array): void;
  /** Closes prepared vbds. Ignores those that are not prepared. */
  discard(vbds: Uint32Array): void;
  /**
   * Replaces the rows, and closes the vbds that have none afterwards. Returns the generation of the rows:
   * another number if one of them has changed.
   *
   * @param reopened - receives 1 for each row whose vbd was opened anew, else 0.
   */
  assign(vbds: Uint32Array, reopened: Uint32Array): number;
  /**
   * Reads all rows.
   *
   * @param failures - receives a {@link VbdFailure} for each row.
   * @param clock - receives the {@link monotonicTime} of this sample and of the previous one.
   * @returns how many rows failed; -1 if an array is too short, in which case nothing was read.
   */
  sample(values: Float64Array | BigInt64Array, failures: Uint32Array, clock: BigInt64Array): number;
  /** Closes all files and removes all rows. */
  close(): void;
}

/** Frames of the same rows, that a recorder has taken. */
export interface RecordedRun {
  /** What `VbdSet.assign` returned for the rows; 0 before its first call. */
  readonly generation: number;
  /** The {@link monotonicTime} of each frame. */
  readonly timestamps: BigInt64Array<ArrayBuffer>;
  /** The frames, one after the other, each of a row for each vbd. */
  readonly values: Float64Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;
}

/** Samples a set of vbds on a thread (binding/recorder.h). */
export interface NativeRecorder {
  /**
   * Starts the thread. The other methods need that.
   *
   * @param interval - nanoseconds.
   * @param capacity - the number of frames that are kept until they are taken.
   * @returns an errno: 0, ENOMEM or EAGAIN.
   */
  start(set: VbdSet, interval: number, capacity: number): number;
  /** Returns the frames since the last call. */
  take(bigint: boolean): RecordedRun[];
  /** Returns the number of ticks that came too late. */
  missed(): number;
  /** Returns the number of frames that were overwritten before they were taken. */
  overwritten(): number;
  /** Ends the thread. Frames can still be taken. */
  stop(): void;
}

/**
 * An operation that xenstored is requested to do for each path. In a path of `read`, `*` stands for each child
 * of the directory before it, `#` for each whose name is a number, and `{name,vm}` for these names.
 */
export type Operation = 'read' | 'watch' | 'unwatch';

/**
 * The part of a response that is about one path: an errno; or the value of the node, a Buffer if it is not
 * printable ASCII. For a path with `{}`, an array of answers. For one that ends with `*` or `#`, an array of
 * names; if the path goes on, of arrays of a name and the answer to the rest. `''` after `watch` and `unwatch`.
 */
export type Answer = number | string | Buffer | Answer[];

/** The reason why a request has no response. `errno` is 0 if it is unknown. */
export interface XenstoreFailure {
  readonly failure: 'library' | 'connect' | 'timeout' | 'broken';
  readonly errno: number;
}

/** The events since the last `take`. */
export interface XenstoreEvents {
  /** The paths of watch events, cut off after six names (`/local/domain/0/backend/vbd/<domid>`). */
  readonly changed: string[];
  /** Whether the connection, and its watches with it, were lost. */
  readonly lost: boolean;
  /** The response to the last `post`. */
  readonly response?: Answer[] | XenstoreFailure;
}

/** A client of xenstored (binding/xenstore_client.h). The first request connects. */
export interface NativeXenstoreClient {
  /**
   * Requests an operation for each path, and waits for the response until the deadline.
   *
   * @param deadlineMs - the {@link monotonicTime}, in milliseconds.
   */
  request(
    operation: Operation,
    paths: readonly string[],
    deadlineMs: number,
  ): Answer[] | XenstoreFailure;
  /** Requests without waiting: `take` returns the response. Only one request may be without a response. */
  post(operation: Operation, paths: readonly string[]): void;
  /** Returns the events since the last call. */
  take(): XenstoreEvents;
  /**
   * Counts watch events and lost connections. While it returns the same number, what was read of watched
   * nodes is true.
   */
  changes(): number;
  /**
   * Abandons the thread of a request without a response, and its watches. The next request reconnects.
   * Returns false if no request is unanswered, or if a thread that was abandoned before has not ended.
   */
  giveUp(): boolean;
  /** Sets whether the client keeps the process alive. */
  keepAlive(alive: boolean): void;
  /** Ends the connection without waiting for xenstored. */
  close(): void;
}

/** The exports of binding/addon.cc. */
export interface Native {
  /**
   * `devices`: the path of the directory `bus/xen-backend/devices` in sysfs; `shm`: that of the directory of
   * tapdisk's statistics; `maxOpenFiles`: the descriptor budget.
   */
  readonly VbdPool: new (devices: string, shm: string, maxOpenFiles: number) => VbdPool;
  readonly Vbd: new (pool: VbdPool, domid: number, devid: number, tapdiskPid: number) => Vbd;
  /** `path`: of the block device's file `stat` in sysfs. */
  readonly BackingDevice: new (pool: VbdPool, path: string) => BackingDevice;
  readonly Recorder: new () => NativeRecorder;
  /** `columns`: the columns that are read, a bit for each {@link Column}. */
  readonly VbdSet: new (pool: VbdPool, columns: number) => VbdSet;
  /** `notify` is called when `take` has events to return. `post` needs it. */
  readonly XenstoreClient: new (
    socket: string | undefined,
    notify?: () => void,
  ) => NativeXenstoreClient;
  /** The names of the counters' files, in the order of {@link Counter}. */
  readonly counterFiles: readonly string[];
  /** The keys of {@link Column}, in its order. */
  readonly columns: readonly string[];
  /** The keys of {@link BackingColumn}, in its order. */
  readonly backingColumns: readonly string[];
  /** Returns the time of CLOCK_MONOTONIC, in nanoseconds. */
  monotonicTime(): bigint;
  /** Returns how many descriptors this process may have open (`RLIMIT_NOFILE`). */
  openFilesLimit(): number;
}

/** A bit for each counter of blkback, in the order of binding/disk_statistics.h. */
export const Counter = {
  rdReq: 1 << 0,
  rdSectors: 1 << 1,
  wrReq: 1 << 2,
  wrSectors: 1 << 3,
  flushReq: 1 << 4,
  discardReq: 1 << 5,
  ooReq: 1 << 6,
} as const;

/** All counters. */
export const ALL_COUNTERS = (1 << 7) - 1;

/** The position of each number in a row, in the order of binding/disk_statistics.h. */
export const Column = {
  rdReq: 0,
  rdSectors: 1,
  rdBytes: 2,
  wrReq: 3,
  wrSectors: 4,
  wrBytes: 5,
  flushReq: 6,
  discardReq: 7,
  ooReq: 8,
  rdTimeNs: 9,
  wrTimeNs: 10,
  ioErrors: 11,
} as const;

/** The number of columns of a row. */
export const ROW_LENGTH = Object.keys(Column).length;

/** A row of numbers, each at its {@link Column}. */
export type Row<N extends number | bigint> = Readonly<
  Record<(typeof Column)[keyof typeof Column], N>
>;

/** The position of each number in a block device's row, in the order of binding/backing_statistics.h. */
export const BackingColumn = {
  rdIos: 0,
  rdTimeMs: 1,
  wrIos: 2,
  wrTimeMs: 3,
  flIos: 4,
  flTimeMs: 5,
  inFlight: 6,
  ioTimeMs: 7,
  queueTimeMs: 8,
} as const;

/** The number of columns of a block device's row. */
export const BACKING_ROW_LENGTH = Object.keys(BackingColumn).length;

/** A row of a block device's numbers, each at its {@link BackingColumn}. */
export type BackingRow = Readonly<
  Record<(typeof BackingColumn)[keyof typeof BackingColumn], number>
>;

/** The type of the array of a set's counters. */
export type SetValues<N extends number | bigint> = N extends bigint ? BigInt64Array : Float64Array;

/** Rows that all reads share: a caller copies the numbers before any other code runs. */
export const NUMBERS = new Float64Array(ROW_LENGTH) as Float64Array & Row<number>;
export const BIGINTS = new BigInt64Array(ROW_LENGTH) as BigInt64Array & Row<bigint>;

/** Returns the errno of a {@link VbdFailure}, and the counter's file; undefined if the directory failed. */
export function decodeFailure(failure: VbdFailure): { errno: number; file: string | undefined } {
  return { errno: failure & 0xffff, file: loadNative().counterFiles[failure >>> 16] };
}

let native: Native | undefined;

/**
 * Loads the addon when it is first needed, so that disk names can be parsed on every platform.
 *
 * @throws {@link XenError} `ERR_XEN_UNSUPPORTED_PLATFORM` if this machine cannot load it.
 */
export function loadNative(): Native {
  native ??= loadAddon() as Native;
  return native;
}

/**
 * Returns the time of CLOCK_MONOTONIC, in nanoseconds. In Node.js, that is the clock of `process.hrtime`. In
 * Bun and Deno, `process.hrtime` begins with the process.
 */
export function monotonicTime(): bigint {
  return loadNative().monotonicTime();
}
