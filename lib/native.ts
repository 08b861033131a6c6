import { join } from 'node:path';
import load from 'node-gyp-build';
import { XenError } from './errors';

/** Why the counters of a vbd were not read: see {@link decodeFailure}. 0 if they were. */
export type VbdFailure = number;

/** The counters of one vbd (binding/vbd_statistics.h). */
export interface Vbd {
  /** Opens its files and holds them. */
  open(): VbdFailure;
  /**
   * Reads counters into a row of an array: {@link Column} says where each number is. When it fails,
   * nothing is written.
   *
   * @param counters - which ones, see {@link Counter}.
   * @param offset - where the row begins.
   */
  read(array: Float64Array | BigInt64Array, counters: number, offset: number): VbdFailure;
  /** Closes its files. */
  close(): void;
}

/** The counters of many vbds, a row each (binding/vbd_set.h). Vbds are pairs of domid and devid. */
export interface VbdSet {
  /** Opens vbds, but for those whose row can be read, until the next `assign`. */
  prepare(vbds: Uint32Array): void;
  /** Closes some of the prepared vbds. */
  discard(vbds: Uint32Array): void;
  /** Makes these the rows, and closes the rest. Returns how many are not open. */
  assign(vbds: Uint32Array): number;
  /**
   * Reads all rows.
   *
   * @param failures - takes a {@link VbdFailure} for each row.
   * @param clock - takes the time of this sample and of the one before, in nanoseconds.
   * @returns how many rows failed; -1 if an array is too short, and nothing was read.
   */
  sample(values: Float64Array | BigInt64Array, failures: Uint32Array, clock: BigInt64Array): number;
  /** Closes all files and removes all rows. */
  close(): void;
}

/** What xenstored is asked to do with paths. */
export type Operation = 'read' | 'directory' | 'watch' | 'unwatch';

/**
 * The answer about one path: an errno; or the value of a node, as a Buffer if it is not printable ASCII;
 * or the names of its children.
 */
export type Answer = number | string | Buffer | string[];

/** Why xenstored gave no answers. */
export interface XenstoreFailure {
  readonly failure: 'library' | 'connect' | 'timeout' | 'broken';
  readonly errno: number;
}

/** What happened since the last `take`. */
export interface XenstoreEvents {
  /** Paths below which something changed, cut off after six names. */
  readonly changed: string[];
  /** The connection was lost, and its watches with it. */
  readonly lost: boolean;
  /** The response to the last `post`. */
  readonly response?: Answer[] | XenstoreFailure;
}

/** A client of xenstored (binding/xenstore_client.h). It connects with the first request. */
export interface NativeXenstoreClient {
  /**
   * Requests the same of many paths and waits for all answers.
   *
   * @param deadlineMs - on the clock of `process.hrtime`, in milliseconds.
   */
  request(
    operation: Operation,
    paths: readonly string[],
    deadlineMs: number,
  ): Answer[] | XenstoreFailure;
  /** Requests without waiting, one request at a time. */
  post(operation: Operation, paths: readonly string[]): void;
  take(): XenstoreEvents;
  /**
   * Abandons the thread of an unanswered request, and its watches. The next request makes a new
   * connection. Returns false if a thread that was abandoned before has not ended.
   */
  giveUp(): boolean;
  /** Whether the process goes on for its notifications. */
  keepAlive(alive: boolean): void;
  /** Ends the connection without waiting for xenstored. */
  close(): void;
}

/** What binding/addon.cc exports. */
export interface Native {
  /** `devices`: the directory `bus/xen-backend/devices` of sysfs. */
  readonly Vbd: new (devices: string, domid: number, devid: number) => Vbd;
  readonly VbdSet: new (devices: string, maxOpenFiles: number) => VbdSet;
  /** `notify` is called when `take` has something; with it the client can watch. */
  readonly XenstoreClient: new (
    socket: string | undefined,
    notify?: () => void,
  ) => NativeXenstoreClient;
  /** The names of the counters' files, in the order of {@link Counter}. */
  readonly counterFiles: readonly string[];
  /** The keys of {@link Column}, in its order. */
  readonly columns: readonly string[];
  /** How many files this process may have open. */
  openFilesLimit(): number;
}

/** The counters that a read can be asked for, each a bit, in the order of binding/vbd_statistics.h. */
export const Counter = {
  rdReq: 1 << 0,
  rdSectors: 1 << 1,
  wrReq: 1 << 2,
  wrSectors: 1 << 3,
  flushReq: 1 << 4,
  discardReq: 1 << 5,
  outOfRequests: 1 << 6,
} as const;

/** All counters. */
export const ALL_COUNTERS = (1 << 7) - 1;

/** Where in a row each number is, in the order of binding/vbd_statistics.h. */
export const Column = {
  rdReq: 0,
  rdSectors: 1,
  rdBytes: 2,
  wrReq: 3,
  wrSectors: 4,
  wrBytes: 5,
  flushReq: 6,
  discardReq: 7,
  outOfRequests: 8,
} as const;

/** How many numbers a row has. */
export const ROW_LENGTH = Object.keys(Column).length;

/** A row of numbers, each at its {@link Column}. */
export type Row<N extends number | bigint> = Readonly<
  Record<(typeof Column)[keyof typeof Column], N>
>;

/** Rows for reads whose numbers are taken out before any other code runs. */
export const NUMBERS = new Float64Array(ROW_LENGTH) as Float64Array & Row<number>;
export const BIGINTS = new BigInt64Array(ROW_LENGTH) as BigInt64Array & Row<bigint>;

/** The errno of a {@link VbdFailure}, and the file that it is about; without a file, the directory. */
export function decodeFailure(failure: VbdFailure): { errno: number; file: string | undefined } {
  return { errno: failure & 0xffff, file: loadNative().counterFiles[failure >>> 16] };
}

let native: Native | undefined;

/**
 * The addon. Loaded when it is first needed: names can be parsed where it cannot be loaded.
 *
 * @throws {@link XenError} `ERR_XEN_UNSUPPORTED_PLATFORM` where it is not Linux.
 */
export function loadNative(): Native {
  if (native === undefined) {
    if (process.platform !== 'linux') {
      throw new XenError(
        'ERR_XEN_UNSUPPORTED_PLATFORM',
        `platform unsupported: ${process.platform} (the statistics are in Linux's sysfs)`,
      );
    }
    native = load(join(__dirname, '..')) as Native;
  }
  return native;
}
