/*
 * A set of 500 disks, sampled 100 times a second, while guests and disks come and go and xenstored
 * hangs and is started again. Every row has to be its disk's, nothing may be lost, and what the process
 * holds must stay the same. SOAK_S: for how many seconds, 60 unless told.
 */
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';
import { checkRows, makeDisks } from '../integration/hosts/numbered-disks';
import { RealHost } from '../integration/hosts/real-host';

const SECONDS = Number(process.env['SOAK_S'] ?? 60);
const GUESTS = 25;
const DISKS_EACH = 20;
const INTERVAL_MS = 10;
/** How long the set may take to know of everything, once nothing changes any more. */
const SETTLE_MS = 30_000;
/** How much more may be held at the end than after a quarter of the time: what allocators keep for themselves. */
const MAY_GROW = { threads: 0, descriptors: 0, heap: 8 * 2 ** 20, rss: 32 * 2 ** 20 };

const done = {
  samples: 0,
  rows: 0,
  'rows of disks that were going or coming': 0,
  'disks replaced': 0,
  'guests restarted': 0,
  'disks added to the set': 0,
  'disks removed from the set': 0,
  'times xenstored hung': 0,
  'times xenstored was started again': 0,
};

/** Until when guests and disks come and go. */
let end = 0;
const changing = () => performance.now() < end;
/** How many changes there were. */
let turn = 0;

/** What the process holds. */
function holdings() {
  globalThis.gc?.();
  return {
    threads: readdirSync('/proc/self/task').length,
    descriptors: readdirSync('/proc/self/fd').length,
    heap: process.memoryUsage().heapUsed,
    rss: process.memoryUsage.rss(),
  };
}

async function changeDisks(host: RealHost): Promise<void> {
  for (; changing(); turn++) {
    const domid = (turn % GUESTS) + 1;
    if (turn % 3 === 2) {
      await host.removeGuest(domid);
      const uuid = `${String(turn).padStart(8, '0')}-0000-4000-8000-000000000000`;
      await host.addGuest({ name: `guest${domid}`, domid, uuid, disks: makeDisks(0, DISKS_EACH) });
      done['guests restarted'] += 1;
    } else {
      const disks = makeDisks(0, DISKS_EACH / 4);
      await host.detachDisks(
        domid,
        disks.map(({ name }) => name),
      );
      await host.attachDisks(domid, disks);
      done['disks replaced'] += disks.length;
    }
    if (turn % 10 === 4) {
      host.xenstored.signal('SIGSTOP');
      await delay(500);
      host.xenstored.signal('SIGCONT');
      done['times xenstored hung'] += 1;
    }
    if (turn % 25 === 9) {
      await host.restartXenstored();
      done['times xenstored was started again'] += 1;
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
  set.on('add', () => (done['disks added to the set'] += 1));
  set.on('remove', () => (done['disks removed from the set'] += 1));

  const sample = () => {
    const rows = checkRows(set);
    done.samples += 1;
    done.rows += rows;
    done['rows of disks that were going or coming'] += set.disks.length - rows;
    return rows;
  };
  const all = GUESTS * DISKS_EACH;
  const settled = () => set.watching && set.disks.length === all && sample() === all;
  async function settle(): Promise<void> {
    const deadline = Date.now() + SETTLE_MS;
    while (!settled()) {
      if (Date.now() > deadline) throw new Error(`${set.disks.length} of ${all} disks are known`);
      await delay(INTERVAL_MS);
    }
  }

  /** Has everything change for so long, and come to rest. */
  async function live(seconds: number) {
    end = performance.now() + 1000 * seconds;
    const changes = changeDisks(host);
    for (let next = performance.now(); changing(); next += INTERVAL_MS) {
      sample();
      await delay(Math.max(0, next - performance.now()));
    }
    await changes;
    await settle();
    return holdings();
  }

  await settle();
  // what is first made stays: caches, compiled code
  const before = await live(SECONDS / 4);
  const after = await live((SECONDS * 3) / 4);
  xen.close();
  await host.stop();

  console.log(`${SECONDS} seconds, ${all} disks`);
  for (const [what, count] of Object.entries(done)) {
    console.log(`  ${what.padEnd(42)}${String(count).padStart(10)}`);
  }
  const failures: string[] = [];
  for (const [what, may] of Object.entries(MAY_GROW)) {
    const key = what as keyof typeof MAY_GROW;
    const [from, to] = [before[key], after[key]];
    console.log(`  ${what.padEnd(42)}${`${from} -> ${to}`.padStart(10)}`);
    if (to > from + may) failures.push(`${what} grew from ${from} to ${to}`);
  }
  console.log(failures.length === 0 ? 'soak: passed' : `soak: failed: ${failures.join(', ')}`);
  process.exitCode = failures.length === 0 ? 0 : 1;
}

void main();
