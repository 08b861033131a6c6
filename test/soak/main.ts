/*
 * Samples a set of 500 disks 100 times a second, while disks are replaced, guests restart, and xenstored
 * hangs and is restarted. Checks that each row has the counters of its disk, that the set finds all disks
 * at the end, and that the process leaks no threads, descriptors or memory. SOAK_S: seconds (60).
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';
import { checkRows, makeDisks } from '../support/numbered-disks';
import { RealHost } from '../support/real-host';

const SECONDS = Number(process.env['SOAK_S'] ?? 60);
const GUESTS = 25;
const DISKS_EACH = 20;
const INTERVAL_MS = 10;
/** Time in which the set must have all disks after the last change. */
const SETTLE_MS = 30_000;
/**
 * Growth that is allowed between the first quarter of the time and the end: allocators keep memory for
 * reuse.
 */
const ALLOWED_GROWTH = { threads: 0, descriptors: 0, heap: 8 * 2 ** 20, rss: 32 * 2 ** 20 };

const counts = {
  samples: 0,
  rows: 0,
  'rows without counters, during a change': 0,
  'disks replaced': 0,
  'guests restarted': 0,
  'disks added to the set': 0,
  'disks removed from the set': 0,
  'times xenstored hung': 0,
  'times xenstored was restarted': 0,
};

/** The end of the changes, on the clock of performance.now(). */
let end = 0;
const isChanging = () => performance.now() < end;
/** The number of changes so far. */
let turn = 0;

/** The threads, descriptors and memory that the process uses. */
function measureResources() {
  globalThis.gc?.();
  return {
    threads: readdirSync('/proc/self/task').length,
    descriptors: readdirSync('/proc/self/fd').length,
    heap: process.memoryUsage().heapUsed,
    rss: process.memoryUsage.rss(),
  };
}

async function changeDisks(host: RealHost): Promise<void> {
  for (; isChanging(); turn++) {
    const domid = (turn % GUESTS) + 1;
    if (turn % 3 === 2) {
      await host.removeGuest(domid);
      const uuid = `${String(turn).padStart(8, '0')}-0000-4000-8000-000000000000`;
      await host.addGuest({ name: `guest${domid}`, domid, uuid, disks: makeDisks(0, DISKS_EACH) });
      counts['guests restarted'] += 1;
    } else {
      const disks = makeDisks(0, DISKS_EACH / 4);
      await host.detachDisks(
        domid,
        disks.map(({ name }) => name),
      );
      await host.attachDisks(domid, disks);
      counts['disks replaced'] += disks.length;
    }
    if (turn % 10 === 4) {
      host.xenstored.signal('SIGSTOP');
      await delay(500);
      host.xenstored.signal('SIGCONT');
      counts['times xenstored hung'] += 1;
    }
    if (turn % 25 === 9) {
      await host.restartXenstored();
      counts['times xenstored was restarted'] += 1;
    }
  }
}

async function main(): Promise<void> {
  const host = await RealHost.start();
  for (let domid = 1; domid <= GUESTS; domid++) {
    await host.addGuest({ name: `guest${domid}`, domid, disks: makeDisks(0, DISKS_EACH) });
  }
  const xen = connect(host.connectOptions);
  const set = await xen.diskSet();
  set.on('add', () => (counts['disks added to the set'] += 1));
  set.on('remove', () => (counts['disks removed from the set'] += 1));

  const sample = () => {
    const rows = checkRows(set);
    counts.samples += 1;
    counts.rows += rows;
    counts['rows without counters, during a change'] += set.disks.length - rows;
    return rows;
  };
  const all = GUESTS * DISKS_EACH;
  const isSettled = () => set.watching && set.disks.length === all && sample() === all;
  async function settle(): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    while (!isSettled()) {
      if (Date.now() > deadline)
        throw new Error(`${set.disks.length} of ${all} disks are in the set`);
      await delay(INTERVAL_MS);
    }
  }

  /** Makes changes for the given time, waits until the set has all disks, and measures. */
  async function runChanges(seconds: number) {
    end = performance.now() + 1000 * seconds;
    const changes = changeDisks(host);
    for (let next = performance.now(); isChanging(); next += INTERVAL_MS) {
      sample();
      await delay(Math.max(0, next - performance.now()));
    }
    await changes;
    await settle();
    return measureResources();
  }

  await settle();
  // the first quarter fills caches and compiles code, which stay
  const before = await runChanges(SECONDS / 4);
  const after = await runChanges((SECONDS * 3) / 4);
  xen.close();
  await host.stop();

  console.log(`${SECONDS} seconds, ${all} disks`);
  for (const [what, count] of Object.entries(counts)) {
    console.log(`  ${what.padEnd(42)}${String(count).padStart(10)}`);
  }
  const failures: string[] = [];
  for (const [what, allowed] of Object.entries(ALLOWED_GROWTH)) {
    const key = what as keyof typeof ALLOWED_GROWTH;
    const [from, to] = [before[key], after[key]];
    console.log(`  ${what.padEnd(42)}${`${from} -> ${to}`.padStart(10)}`);
    if (to > from + allowed) failures.push(`${what} grew from ${from} to ${to}`);
  }
  console.log(failures.length === 0 ? 'soak: passed' : `soak: failed: ${failures.join(', ')}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

void main();
