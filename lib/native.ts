import { join } from 'node:path';
import load from 'node-gyp-build';
import { XenError } from './errors';

/** An open vbd in the addon. */
export type VbdHandle = object & { readonly vbd: unique symbol };
/** The vbds of a set in the addon. */
export type SetHandle = object & { readonly set: unique symbol };
/** A connection to xenstored in the addon. */
export type XenstoreHandle = object & { readonly xenstore: unique symbol };
/** A connection to xenstored that tells of changes, in the addon. */
export type WatchHandle = object & { readonly watch: unique symbol };

/** A failure of the counters: an errno in the low 16 bits, and above it which file it was about. */
export type VbdFailure = number;

/** Why xenstored gave no answers. */
export interface XenstoreFailure {
  failure: 'connect' | 'timeout' | 'broken';
  errno: number;
}

/** What xenstored can be asked to do with paths, by the numbers of binding/xenstore_link.h. */
export const Operation = { read: 0, list: 1, watch: 2, unwatch: 3 } as const;

/** The answer about a path: an errno, the node's value, the names of its children, null for a watch. */
export type XenstoreAnswer = number | Buffer | string[] | null;

/** What a watch has to tell. */
export interface WatchNews {
  /** Paths, cut off after six names. */
  changed: string[];
  /** No more will be told. */
  broken: boolean;
  /** To what was posted. */
  answers?: XenstoreAnswer[] | XenstoreFailure;
}

/** What binding/addon.cc exports. */
interface Addon {
  /** The memory that every read fills: one row, as doubles or as 64-bit integers. */
  readonly row: ArrayBuffer;
  openVbd(devices: string, domid: number, devid: number): VbdHandle | VbdFailure;
  readVbd(vbd: VbdHandle, counters: number): VbdFailure | undefined;
  closeVbd(vbd: VbdHandle): void;
  openFilesLimit(): number;
  openSet(devices: string, descriptors: number): SetHandle;
  /** `vbds`: pairs of domid and devid. */
  prepareSet(set: SetHandle, vbds: Uint32Array): void;
  /** Returns how many are not open. */
  assignSet(set: SetHandle, vbds: Uint32Array): number;
  /** Returns how many failed; -1 if the arrays are too short. */
  sampleSet(
    set: SetHandle,
    values: Float64Array | BigInt64Array,
    failures: Uint32Array,
    clock: BigInt64Array,
  ): number;
  closeSet(set: SetHandle): void;
  openXenstore(socket: string | undefined): XenstoreHandle;
  askXenstore(
    xenstore: XenstoreHandle,
    operation: number,
    paths: readonly string[],
    timeoutMs: number,
  ): XenstoreAnswer[] | XenstoreFailure;
  closeXenstore(xenstore: XenstoreHandle): void;
  openWatch(
    socket: string | undefined,
    notify: () => void,
    timeoutMs: number,
  ): WatchHandle | XenstoreFailure;
  askWatch(
    watch: WatchHandle,
    operation: number,
    paths: readonly string[],
    timeoutMs: number,
  ): XenstoreAnswer[] | XenstoreFailure;
  postWatch(
    watch: WatchHandle,
    operation: number,
    paths: readonly string[],
    timeoutMs: number,
  ): void;
  takeWatch(watch: WatchHandle): WatchNews;
  keepWatchAlive(watch: WatchHandle, alive: boolean): void;
  closeWatch(watch: WatchHandle): void;
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

/** All of them. */
export const ALL_COUNTERS = (1 << 7) - 1;

/** Beside the counters: the row is filled with 64-bit integers. */
const AS_INTEGERS = 1 << 7;

/** A row of numbers, each at its {@link Column}. */
export type Row<N extends number | bigint> = Readonly<
  Record<(typeof Column)[keyof typeof Column], N>
>;

/** Where in a row each number is. */
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

/** The counters' files, by the file number of a {@link VbdFailure}. */
const FILES = ['rd_req', 'rd_sect', 'wr_req', 'wr_sect', 'f_req', 'ds_req', 'oo_req'] as const;

/** The addon with its one row, as the rest of lib/ uses it. */
export interface Native extends Omit<Addon, 'row'> {
  /** The row as the last read left it, if that read was asked for numbers. */
  readonly numbers: Float64Array & Row<number>;
  /** The same memory, if it was asked for bigints. */
  readonly bigints: BigInt64Array & Row<bigint>;
}

/** What to add to the counters for a row of bigints. */
export function counterSet(counters: number, bigint: boolean): number {
  return bigint ? counters | AS_INTEGERS : counters;
}

/** A {@link VbdFailure} in parts; without a file it is about the folder. */
export function decodeFailure(failure: VbdFailure): { errno: number; file: string | undefined } {
  return { errno: failure & 0xffff, file: FILES[failure >>> 16] };
}

let native: Native | undefined;

/**
 * The addon, loaded when it is first needed: names can be parsed where it cannot be loaded.
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
    const addon = load(join(__dirname, '..')) as Addon;
    native = {
      ...addon,
      numbers: new Float64Array(addon.row) as Native['numbers'],
      bigints: new BigInt64Array(addon.row) as Native['bigints'],
    };
  }
  return native;
}
