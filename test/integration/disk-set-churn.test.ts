import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, type DiskInfo } from 'xen-block-stats';
import { checkRows, makeDisks } from './hosts/numbered-disks';
import { RealHost } from './hosts/real-host';

/** A set on a host where everything changes. */

const GUESTS = 50;
const DISKS_EACH = 20;
/** How long the rest of the world has between two samples. */
const INTERVAL_MS = 15;

let host: RealHost;

beforeAll(async () => {
  host = await RealHost.start();
});
afterAll(async () => {
  await host.stop();
});

/** A set of the disks of the first guests. */
const makeSet = (xen: Connection, guests: number, maxOpenFiles: number) =>
  xen.diskSet({ filter: ({ domid }) => domid <= guests, maxOpenFiles });

test('1,000 disks come, go and come back as others, and every row is of the disk that it names', async () => {
  const xen = connect(host.connectOptions);
  // one that holds all files, one that holds some, one that opens most of them each time
  const sets = [
    { set: await xen.diskSet(), guests: GUESTS },
    { set: await makeSet(xen, 10, 700), guests: 10 },
    { set: await makeSet(xen, 4, 60), guests: 4 },
  ] as const;
  const [{ set: all }] = sets;
  const present = new Map<string, DiskInfo>();
  all.on('add', (disk) => present.set(disk.backend, disk));
  all.on('remove', (disk) => {
    if (!present.delete(disk.backend)) throw new Error(`${disk.name} went without having come`);
  });

  let samples = 0;
  let rows = 0;
  /** Samples while this goes on, and then until every disk of these guests is there. */
  async function sampleDuring(change: Promise<unknown>, running: (domid: number) => boolean) {
    const state = { changing: true };
    const done = change.finally(() => (state.changing = false));
    for (const { set, guests } of sets) {
      const disks = DISKS_EACH * domids.filter((it) => it <= guests && running(it)).length;
      let read = 0;
      while (state.changing || set.disks.length !== disks || read !== disks) {
        // most of the time the one with all disks
        const next = samples % 4 === 0 ? (sets[(samples / 4) % 3]?.set ?? set) : set;
        const count = checkRows(next);
        if (next === set) read = count;
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

  // other disks under the names of half of them
  const replace = async () => {
    for (const domid of domids) {
      const disks = makeDisks(0, DISKS_EACH / 2);
      await host.detachDisks(
        domid,
        disks.map(({ name }) => name),
      );
      await host.attachDisks(domid, disks);
    }
  };
  await sampleDuring(replace(), () => true);

  // other domains under the domids of half of them, and an end of the others
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

  // it did go on while things changed
  expect(samples).toBeGreaterThan(300);
  expect(rows).toBeGreaterThan(50_000);
  xen.close();
}, 300_000);
