import { invalidType, outOfRange } from '../errors';
import { parseDiskName } from '../disk-name';
import type { Counter, Counters, Io } from './counters';
import type { DiskSpec, Toolstack } from './toolstack';
import type { Workload } from './workload';

/*
 * What callers may ask of a simulated host. It is checked on their side of the thread, so that the
 * errors are those of this package; the checked copies can be sent.
 */

/** A disk to attach. */
export interface DiskOptions extends DiskSpec {
  /** Whether the guest's driver uses it. Default: true; an empty drive is never used. */
  readonly connected?: boolean;
  /** Where its counters start; default: at 0. */
  readonly counters?: CounterOptions;
  /** What the guest does with it while the workload runs. */
  readonly workload?: Workload;
}

/** A guest to start. */
export interface GuestOptions {
  /** No other guest may have it. */
  readonly name: string;
  /** Default: a random one. */
  readonly uuid?: string;
  /** 1 to 32751. Default: the next that was never used. */
  readonly domid?: number;
  readonly disks?: readonly DiskOptions[];
}

/** Some of a disk's counters, by the names of their files, each 0 to 2^64 - 1. */
export type CounterOptions = Readonly<Partial<Record<Counter, number | bigint>>>;

/** The host to simulate. */
export interface HostOptions {
  /** The domain that the caller is in. Default: 0; another one is a driver domain. */
  readonly domid?: number;
  /** Who builds the guests. Default: `xl`. */
  readonly toolstack?: Toolstack;
  readonly guests?: readonly GuestOptions[];
  /** Where to put the socket and the files; default: a new folder for temporary files. */
  readonly folder?: string;
}

/** How the workload runs. */
export interface WorkloadOptions {
  /** Milliseconds between two steps. Default: 100. */
  readonly intervalMs?: number;
  /** An integer; the same one makes every disk do the same again. Default: 1. */
  readonly seed?: number;
}

/** Which of xenstored's answers something is about. */
export interface Answers {
  /** Those about this node of xenstore, as the client named it, and what is below it; default: all. */
  readonly path?: string;
  /** But not the first so many of them. Default: 0. */
  readonly skip?: number;
  /** And of the others only so many. Default: all. */
  readonly times?: number;
}

/** Answers that do not come to their end. */
export interface HeldAnswers extends Answers {
  /** So many bytes of an answer are sent, of its header's 16 and the payload's. Default: 0. */
  readonly bytes?: number;
}

/** Answers that take their time. */
export interface SlowAnswers extends Answers {
  /** Milliseconds from one byte to the next. Default: 1. */
  readonly intervalMs?: number;
}

/** A request that a client made of xenstored. */
export interface XenstoreRequest {
  /** What it wanted: `read`, `directory`, `watch` ..., or its number if that is none of xenstored's. */
  readonly type: string;
  /** The node that it was about, as the client named it, or what else it began with. */
  readonly path: string;
}

/** What a disk is when it has been checked. */
export type CheckedDisk = Omit<DiskOptions, 'counters'> & {
  readonly counters?: Partial<Counters>;
};
/** What a guest is when it has been checked. */
export type CheckedGuest = Omit<GuestOptions, 'disks'> & {
  readonly disks?: readonly CheckedDisk[];
};

type Check<T> = (argument: string, value: unknown) => T;

const MAX_DOMID = 0x7ff0 - 1;
const MAX_COUNTER = 2n ** 64n - 1n;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const text: Check<string> = (argument, value) => {
  if (typeof value !== 'string') throw invalidType(argument, 'of type string', value);
  if (value.includes('\0')) throw outOfRange(argument, 'text without NUL', value);
  return value;
};

const someText: Check<string> = (argument, value) => {
  if (text(argument, value) === '') throw outOfRange(argument, 'not empty', "''");
  return text(argument, value);
};

const diskName: Check<string> = (argument, value) => {
  parseDiskName(text(argument, value));
  return text(argument, value);
};

const uuid: Check<string> = (argument, value) => {
  const lower = text(argument, value).toLowerCase();
  if (!UUID.test(lower)) throw outOfRange(argument, 'a UUID', value);
  return lower;
};

const boolean: Check<boolean> = (argument, value) => {
  if (typeof value !== 'boolean') throw invalidType(argument, 'of type boolean', value);
  return value;
};

function numberFrom(min: number, max: number): Check<number> {
  return (argument, value) => {
    if (typeof value !== 'number') throw invalidType(argument, 'of type number', value);
    if (!(value >= min && value <= max)) throw outOfRange(argument, `${min} to ${max}`, value);
    return value;
  };
}

function integerFrom(min: number, max: number, multipleOf = 1): Check<number> {
  return (argument, value) => {
    const number = numberFrom(min, max)(argument, value);
    if (number % multipleOf !== 0) {
      const what = multipleOf === 1 ? 'an integer' : `a multiple of ${multipleOf}`;
      throw outOfRange(argument, what, value);
    }
    return number;
  };
}

const counter: Check<bigint> = (argument, value) => {
  if (typeof value !== 'bigint' && typeof value !== 'number') {
    throw invalidType(argument, 'of type number or bigint', value);
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw outOfRange(argument, 'a safe integer or a bigint', value);
  }
  if (value < 0 || value > MAX_COUNTER) throw outOfRange(argument, '0 to 2^64 - 1', value);
  return BigInt(value);
};

function oneOf<T extends string>(...words: readonly T[]): Check<T> {
  return (argument, value) => {
    const word = words.find((candidate) => candidate === text(argument, value));
    if (word === undefined) throw outOfRange(argument, `one of ${words.join(', ')}`, value);
    return word;
  };
}

function list<T>(check: Check<T>): Check<readonly T[]> {
  return (argument, value) => {
    if (!Array.isArray(value)) throw invalidType(argument, 'an array', value);
    return value.map((item, i) => check(`${argument}[${i}]`, item));
  };
}

/** Checks what is there; only `required` has to be. */
function object<T extends object>(
  fields: { [K in keyof T]-?: Check<Exclude<T[K], undefined>> },
  ...required: (keyof T & string)[]
): Check<T> {
  return (argument, value) => {
    if (typeof value !== 'object' || value === null) {
      throw invalidType(argument, 'of type object', value);
    }
    const given = value as Record<string, unknown>;
    const checked: Partial<T> = {};
    for (const key of Object.keys(fields) as (keyof T & string)[]) {
      if (given[key] !== undefined || required.includes(key)) {
        checked[key] = fields[key](`${argument}.${key}`, given[key]);
      }
    }
    return checked as T;
  };
}

const count = integerFrom(0, Number.MAX_SAFE_INTEGER);
const byteCount = integerFrom(0, Number.MAX_SAFE_INTEGER, 512);
const rate = numberFrom(0, 1e9);

const sectorSize: Check<number> = (argument, value) => {
  const size = integerFrom(512, 65536)(argument, value);
  if (Math.log2(size) % 1 !== 0) throw outOfRange(argument, 'a power of two', value);
  return size;
};

/** Checks counters, and makes bigints of them. */
export const checkCounters = object<Partial<Counters>>({
  oo_req: counter,
  rd_req: counter,
  wr_req: counter,
  f_req: counter,
  ds_req: counter,
  rd_sect: counter,
  wr_sect: counter,
});

export const checkDisk = object<CheckedDisk>(
  {
    name: diskName,
    source: text,
    kind: oneOf('vbd', 'vbd3', 'qdisk', 'tap', 'virtio_disk'),
    format: someText,
    mode: oneOf('r', 'w'),
    deviceType: oneOf('disk', 'cdrom'),
    sectors: count,
    sectorSize,
    physicalSectorSize: sectorSize,
    backendDomid: integerFrom(0, MAX_DOMID),
    connected: boolean,
    counters: checkCounters,
    workload: object<Workload>({
      readsPerSecond: rate,
      readBytes: byteCount,
      writesPerSecond: rate,
      writeBytes: byteCount,
      flushesPerSecond: rate,
      discardsPerSecond: rate,
      delayedPerSecond: rate,
    }),
  },
  'name',
);

export const checkGuest = object<CheckedGuest>(
  { name: someText, uuid, domid: integerFrom(1, MAX_DOMID), disks: list(checkDisk) },
  'name',
);

export const checkHost = object<Omit<HostOptions, 'guests'> & { guests?: readonly CheckedGuest[] }>(
  {
    domid: integerFrom(0, MAX_DOMID),
    toolstack: oneOf('xl', 'xapi'),
    guests: list(checkGuest),
    folder: someText,
  },
);

export const checkIo = object<Io>({
  reads: count,
  readBytes: byteCount,
  writes: count,
  writeBytes: byteCount,
  flushes: count,
  discards: count,
  delayed: count,
});

export const checkWorkload = object<WorkloadOptions>({
  intervalMs: numberFrom(1, 2 ** 31 - 1),
  seed: integerFrom(-(2 ** 31), 2 ** 32 - 1),
});

const answers = { path: someText, skip: count, times: count };

export const checkAnswers = object<Answers>(answers);
export const checkHeldAnswers = object<HeldAnswers>({ ...answers, bytes: count });
export const checkSlowAnswers = object<SlowAnswers>({
  ...answers,
  intervalMs: numberFrom(1, 2 ** 31 - 1),
});
export const checkErrorWord = someText;

export const checkDomid = integerFrom(0, MAX_DOMID);
export const checkDiskName = diskName;
export const checkNodePath = text;

/** A node's value as bytes. */
export const checkNodeValue: Check<Uint8Array> = (argument, value) => {
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return value;
  throw invalidType(argument, 'of type string or an instance of Uint8Array', value);
};
