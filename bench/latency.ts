import { PerformanceObserver, createHistogram } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';

/** One call. */
export interface Call {
  readonly nanoseconds: number;
  /**
   * Whether there was a garbage collection in its hundred of calls, or the kernel took the processor away
   * (getrusage). Only a hundred can be told apart: asking for each call would take longer than the call.
   */
  readonly isDisturbed: boolean;
}

/** The distribution of the times of calls, in nanoseconds. */
export interface Latencies {
  readonly name: string;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** The number of disturbed calls, which are not in the figures before. */
  readonly disturbed: number;
  readonly disturbedMax: number;
}

/** The number of calls of a distribution. */
export const CALLS = 20_000;

const HUNDRED = 100;

/** Measures single calls. */
export async function measureCalls(call: () => unknown): Promise<Call[]> {
  const collections: { startTime: number; duration: number }[] = [];
  const observer = new PerformanceObserver((list) => collections.push(...list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  const hundreds = Array.from({ length: CALLS / HUNDRED }, () => {
    const switches = process.resourceUsage().involuntaryContextSwitches;
    const start = performance.now();
    const times = Float64Array.from({ length: HUNDRED }, () => {
      const before = process.hrtime.bigint();
      call();
      return Number(process.hrtime.bigint() - before);
    });
    const wasSwitched = process.resourceUsage().involuntaryContextSwitches !== switches;
    return { start, end: performance.now(), times, wasSwitched };
  });
  // the observer is called in a later turn of the event loop
  await setImmediate();
  await setImmediate();
  observer.disconnect();
  return hundreds.flatMap(({ start, end, times, wasSwitched }) => {
    const wasCollected = collections.some(
      ({ startTime, duration }) => startTime < end && startTime + duration > start,
    );
    const isDisturbed = wasSwitched || wasCollected;
    return Array.from(times, (nanoseconds) => ({ nanoseconds, isDisturbed }));
  });
}

/** Returns the distribution of calls. */
export function latenciesOf(name: string, calls: readonly Call[]): Latencies {
  const [undisturbed, disturbed] = [
    createHistogram({ figures: 4 }),
    createHistogram({ figures: 4 }),
  ];
  for (const { nanoseconds, isDisturbed } of calls) {
    (isDisturbed ? disturbed : undisturbed).record(Math.max(1, Math.round(nanoseconds)));
  }
  return {
    name,
    p50: undisturbed.percentile(50),
    p99: undisturbed.percentile(99),
    p999: undisturbed.percentile(99.9),
    max: undisturbed.max,
    disturbed: disturbed.count,
    disturbedMax: disturbed.count === 0 ? 0 : disturbed.max,
  };
}
