import { readFileSync, readdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { DiskSet } from 'xen-block-stats';
import type { Floor, Ticks } from './floor';

/** A recorder beside a thread in C that does the same. */
export interface RecorderResult {
  readonly disks: number;
  readonly intervalMs: number;
  readonly recorder: Ticks;
  readonly floor: Ticks;
  /** The event loop's longest turn while the recorder ran, and without it, in milliseconds. */
  readonly blockMs: number;
  readonly idleBlockMs: number;
}

const SECONDS = 3;

interface Round {
  readonly thread: Ticks;
  readonly ticks: Ticks;
  readonly blockMs: number;
  readonly idleBlockMs: number;
}

/** Measures recorders of a set, and threads in C, one after the other. The figures are medians of the rounds. */
export async function measureRecorder(
  set: DiskSet,
  floor: Floor,
  intervalMs: number,
  rounds: number,
): Promise<RecorderResult> {
  const disks = set.disks.length;
  const measured: Round[] = [];
  for (let i = 0; i < rounds; i++) {
    // the event loop is busy beside both
    const interval = intervalMs * 1e6;
    const [thread, idleBlockMs] = await Promise.all([
      floor.ticks(disks, 7, interval),
      longestTurn(),
    ]);
    measured.push({ thread, idleBlockMs, ...(await record(set, intervalMs)) });
  }
  const median = (pick: (it: Round) => number) =>
    measured.map(pick).sort((a, b) => a - b)[rounds >> 1] ?? NaN;
  return {
    disks,
    intervalMs,
    recorder: { onTime: median((it) => it.ticks.onTime), cpuNs: median((it) => it.ticks.cpuNs) },
    floor: { onTime: median((it) => it.thread.onTime), cpuNs: median((it) => it.thread.cpuNs) },
    blockMs: median((it) => it.blockMs),
    idleBlockMs: median((it) => it.idleBlockMs),
  };
}

async function record(set: DiskSet, intervalMs: number) {
  const before = new Set(readdirSync('/proc/self/task'));
  const capacity = Math.ceil((2 * SECONDS * 1000) / intervalMs);
  const recorder = set.record({ intervalMs, capacity });
  const blockMs = await longestTurn();
  const [thread = ''] = readdirSync('/proc/self/task').filter((id) => !before.has(id));
  const cpu = Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  recorder.stop();
  const times = recorder.take().flatMap(({ timestamps }) => [...timestamps]);
  return {
    ticks: toTicks(times, intervalMs * 1e6, recorder.missed, cpu / set.disks.length),
    blockMs,
  };
}

/** Ticks are due an interval apart; the phase is that of the earliest one. */
function toTicks(times: readonly bigint[], interval: number, missed: number, cpu: number): Ticks {
  const first = times[0] ?? 0n;
  const offsets = times.map((time) => (Number(time - first) + interval / 2) % interval);
  const phase = Math.min(...offsets);
  const onTime = offsets.filter((offset) => offset - phase < interval / 2).length;
  return { onTime: onTime / (times.length + missed), cpuNs: cpu / times.length };
}

/** Returns the longest turn of the event loop within some seconds, in milliseconds. */
async function longestTurn(): Promise<number> {
  const end = performance.now() + SECONDS * 1000;
  let longest = 0;
  for (let before = performance.now(); before < end;) {
    await setImmediate();
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
  }
  return longest;
}
