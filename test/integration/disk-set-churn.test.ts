import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, type DiskInfo } from 'xen-block-stats';
import { checkRows, makeDisks } from '../support/numbered-disks';
import { RealHost } from '../support/real-host';

/* Sets on a host on which guests and disks change all the time. */

const GUESTS = 20;
const DISKS_EACH = 25;
/** The time between two samples, in which the host changes. */
const INTERVAL_MS = 15;

let host: RealHost;

beforeAll(async () => {
  host = await RealHost.start();
});
afterAll(async () => {
  await host.stop();
});

/** Creates a set of the disks of the first guests. */
const makeSet = (xen: Connection, guests: number) =>
  xen.diskSet({ filter: ({ domid }) => domid <= guests });

test('every row has the counters of its disk while 500 disks are attached, detached and replaced', async () => {
  // the first set keeps all files open, the second some; the third opens most files for each sample
  const budgets = [undefined, 700, 60];
  const [xen, some, few] = budgets.map((maxOpenFiles) =>
    connect({ ...host.connectOptions, maxOpenFiles }),
  ) as [Connection, Connection, Connection];
  const sets = [
    { set: await xen.diskSet(), guests: GUESTS },
    { set: await makeSet(some, 10), guests: 10 },
    { set: await makeSet(few, 4), guests: 4 },
  ] as const;
  const [{ set: all }] = sets;
  const present = new Map<string, DiskInfo>();
  all.on('add', (disk) => present.set(disk.backend, disk));
  all.on('remove', (disk) => {
    if (!present.delete(disk.backend)) throw new Error(`${disk.name} was removed, but never added`);
  });

  let samples = 0;
  let rows = 0;
  /** Samples during a change, and afterwards until each set has read every disk of the running guests. */
  async function sampleDuring(change: Promise<unknown>, running: (domid: number) => boolean) {
    const state = { isChanging: true };
    const done = change.finally(() => (state.isChanging = false));
    for (const { set, guests } of sets) {
      const disks = DISKS_EACH * domids.filter((it) => it <= guests && running(it)).length;
      let read = 0;
      while (state.isChanging || set.disks.length !== disks || read !== disks) {
        // every fourth sample is of the sets in turn
        const sampled = samples % 4 === 0 ? (sets[(samples / 4) % 3]?.set ?? set) : set;
        const count = checkRows(sampled);
        if (sampled === set) read = count;
        rows += count;
        samples += 1;
        await delay(INTERVAL_MS);
      }
    }
    await done;
  }

  const domids = Array.from({ length: GUESTS }, (_, i) => i + 1);
  const addAll = async () => {
    for (const domid of domids) {
      await host.addGuest({ name: `guest${domid}`, domid, disks: makeDisks(0, DISKS_EACH) });
    }
  };
  await sampleDuring(addAll(), () => true);
  expect(present.size).toBe(GUESTS * DISKS_EACH);

  // replaces half of the disks by others of the same names
  const replace = async () => {
    for (const domid of domids) {
      const disks = makeDisks(0, Math.floor(DISKS_EACH / 2));
      await host.detachDisks(
        domid,
        disks.map(({ name }) => name),
      );
      await host.attachDisks(domid, disks);
    }
  };
  await sampleDuring(replace(), () => true);

  // replaces half of the guests by others of the same domids, and removes the other half
  const restart = async () => {
    for (const domid of domids) {
      await host.removeGuest(domid);
      if (domid % 2 === 0) continue;
      const uuid = `10000000-0000-4000-8000-${String(domid).padStart(12, '0')}`;
      await host.addGuest({ name: `guest${domid}`, domid, uuid, disks: makeDisks(0, DISKS_EACH) });
    }
  };
  await sampleDuring(restart(), (domid) => domid % 2 === 1);
  expect(present.size).toBe((GUESTS * DISKS_EACH) / 2);
  expect(all.disks.filter(({ backend }) => !present.has(backend))).toEqual([]);

  // the sets were sampled during the changes
  expect(samples).toBeGreaterThan(100);
  expect(rows).toBeGreaterThan(10_000);
  for (const it of [xen, some, few]) it.close();
}, 300_000);
