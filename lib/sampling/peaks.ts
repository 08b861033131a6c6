import type { DiskStats } from '../disk-stats';
import { Options } from '../options';
import { outOfRange } from '../errors';
import type { DiskInfo } from '../xenstore/disks';
import type { RecordedSamples } from './recorder';

/** The highest rate of a counter. */
export interface Peak {
  /** The increase of the counter a second. */
  readonly perSecond: number;
  /** The time at which the window began, in nanoseconds on CLOCK_MONOTONIC (`process.hrtime` of Node.js). */
  readonly timestamp: bigint;
}

/** The highest rates of a disk, by column. */
export interface DiskPeaks {
  readonly disk: DiskInfo;
  /** Undefined for a column without a window: the counter was not read, does not exist, or decreased in each. */
  readonly peaks: Readonly<Record<keyof DiskStats, Peak | undefined>>;
}

/**
 * Finds, for each disk, the highest rate of each column over any window of a length within recorded samples,
 * and when it was. A window begins and ends with a sample, as near to the length as the interval permits. There
 * is none if the samples are shorter. Windows in which the counter decreased do not count.
 *
 * @param options.windowMs - the length, in milliseconds.
 * @throws RangeError `ERR_OUT_OF_RANGE`.
 */
export function peaks(
  samples: RecordedSamples<number | bigint>,
  options: { windowMs: number },
): DiskPeaks[] {
  const windowMs = new Options(options).number('windowMs') ?? NaN;
  if (!(windowMs > 0)) throw outOfRange('options.windowMs', 'more than 0', windowMs);
  return peaksOf(samples, toWindows(samples.timestamps, windowMs * 1e6));
}

/** Returns the highest rates of these windows. */
function peaksOf(
  { disks, columns, timestamps, values }: RecordedSamples<number | bigint>,
  windows: readonly Window[],
): DiskPeaks[] {
  const size = disks.length * columns.length;
  const highest = new Float64Array(size).fill(-1);
  const begins = new Int32Array(size);
  for (const { from, to, seconds } of windows) {
    // in the order of memory
    for (let i = 0; i < size; i++) {
      const before = values[from * size + i] ?? -1;
      const after = values[to * size + i] ?? -1;
      if (before < 0 || after < before) continue;
      const perSecond = subtract(after, before) / seconds;
      if (perSecond <= (highest[i] ?? 0)) continue;
      highest[i] = perSecond;
      begins[i] = from;
    }
  }
  const peakOf = (index: number): Peak | undefined => {
    const perSecond = highest[index] ?? -1;
    return perSecond < 0
      ? undefined
      : { perSecond, timestamp: timestamps[begins[index] ?? 0] ?? 0n };
  };
  return disks.map((disk, row) => {
    const entries = columns.map((name, i) => [name, peakOf(row * columns.length + i)]);
    return { disk, peaks: Object.fromEntries(entries) as DiskPeaks['peaks'] };
  });
}

/** Subtracts counters. Bigints are converted afterwards, so that large counters keep their precision. */
function subtract(after: number | bigint, before: number | bigint): number {
  return typeof after === 'bigint' ? Number(after - BigInt(before)) : after - Number(before);
}

/** Two samples, and the time between them. */
interface Window {
  readonly from: number;
  readonly to: number;
  readonly seconds: number;
}

/** Returns the windows, at most one for each last sample: the shortest that lacks less than half an interval. */
function toWindows(timestamps: BigInt64Array, length: number): Window[] {
  const start = timestamps[0] ?? 0n;
  const times = Array.from(timestamps, (time) => Number(time - start));
  const interval = (times.at(-1) ?? 0) / Math.max(1, times.length - 1);
  const span = (from: number, to: number) => (times[to] ?? 0) - (times[from] ?? 0);
  const windows: Window[] = [];
  for (let to = 1, from = 0; to < times.length; to++) {
    while (from + 1 < to && span(from + 1, to) >= length - interval / 2) from += 1;
    const nanoseconds = span(from, to);
    if (nanoseconds >= length - interval / 2)
      windows.push({ from, to, seconds: nanoseconds / 1e9 });
  }
  return windows;
}

/**
 * Finds the peaks of consecutive samples, taken one after the other. Windows may begin in the samples of the
 * call before.
 */
export class PeakFinder {
  /** The length of a window, in nanoseconds. */
  readonly #length: number;
  #last: RecordedSamples | undefined;

  constructor(windowMs: number) {
    this.#length = windowMs * 1e6;
  }

  /** Returns the peaks of the windows that end in these samples, with those of {@link peaks}. */
  find(samples: RecordedSamples): DiskPeaks[] {
    const joined = this.#last?.disks === samples.disks ? join(this.#last, samples) : samples;
    const { timestamps } = joined;
    const end = (timestamps.at(-1) ?? 0n) - BigInt(Math.round(this.#length));
    const first = timestamps.findLastIndex((time) => time <= end);
    this.#last = slice(joined, Math.max(0, first));
    // the call before had the windows that end in its samples
    const former = timestamps.length - samples.timestamps.length;
    const windows = toWindows(timestamps, this.#length).filter(({ to }) => to >= former);
    return peaksOf(joined, windows);
  }
}

/** Returns the samples from an index on. */
function slice(samples: RecordedSamples, first: number): RecordedSamples {
  const { disks, columns, timestamps, values } = samples;
  const begin = first * disks.length * columns.length;
  return { ...samples, timestamps: timestamps.slice(first), values: values.slice(begin) };
}

/** Returns the samples of both, which have the same disks. */
function join(some: RecordedSamples, others: RecordedSamples): RecordedSamples {
  const timestamps = new BigInt64Array(some.timestamps.length + others.timestamps.length);
  timestamps.set(some.timestamps);
  timestamps.set(others.timestamps, some.timestamps.length);
  const values = new Float64Array(some.values.length + others.values.length);
  values.set(some.values);
  values.set(others.values, some.values.length);
  return { ...others, timestamps, values };
}
