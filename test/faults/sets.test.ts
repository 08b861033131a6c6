import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, type DiskSet } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { XenstoredProxy } from '../support/xenstored-proxy';
import { FAULTS } from './faults';
import { countResources, untilReleased, type Resources } from './resources';
import { evaluate } from '../support/program';

/*
 * A set of disks while xenstored has a fault: every sample is correct and does not wait, and the set keeps
 * its rows. After the fault, the set follows all changes again.
 */

/** The timeout of calls. The event loop must not be blocked for half of it. */
const TIMEOUT_MS = 2000;

describe('a set of disks', () => {
  let host: SimulatedHost;
  let proxy: XenstoredProxy;
  let before: Resources;
  let xen: Connection;
  let set: DiskSet;

  beforeEach(async () => {
    host = await SimulatedHost.start();
    await host.addGuest({
      name: 'web1',
      domid: 1,
      disks: [
        { name: 'xvda', source: '/dev/a', counters: { rd_req: 5 } },
        { name: 'xvdb', source: '/dev/b' },
      ],
    });
    proxy = await XenstoredProxy.start(host);
    connect(proxy.connectOptions).close();
    before = countResources();
    xen = connect({ ...proxy.connectOptions, timeoutMs: TIMEOUT_MS });
    set = await xen.diskSet();
  });
  afterEach(async () => {
    xen.close();
    await proxy.stop();
    await host.stop();
  });

  const names = () => set.disks.map(({ name }) => name);

  async function untilWatching(watching: boolean): Promise<void> {
    while (set.watching !== watching) await delay(5);
  }

  async function untilDisks(...expected: string[]): Promise<void> {
    const deadline = performance.now() + 15_000;
    while (!set.watching || names().join() !== expected.join()) {
      if (performance.now() > deadline) {
        throw new Error(`watching: ${String(set.watching)}, disks: ${names().join()}`);
      }
      await delay(5);
    }
  }

  test.each(FAULTS)(
    'keeps sampling while xenstored (simulated) has a fault: it %s',
    async (_name, begin) => {
      const loop = monitorEventLoopDelay({ resolution: 5 });
      loop.enable();
      await begin(proxy);
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
      for (let i = 0; i < 30; i++) {
        await host.setCounters(1, 'xvda', { rd_req: i });
        expect(set.sample().errors.size).toBe(0);
        expect([names()[0], set.values[0], names()[1]]).toEqual(['xvda', i, 'xvdb']);
        await delay(5);
      }
      await proxy.clear();
      await untilDisks('xvda', 'xvdb', 'xvdc');
      await host.detachDisk(1, 'xvdb');
      await untilDisks('xvda', 'xvdc');
      loop.disable();
      expect(loop.max / 1e6).toBeLessThan(TIMEOUT_MS / 2);
      xen.close();
      await untilReleased(before);
    },
    30_000,
  );

  test('finds the changes made while xenstored restarts with a watch event pending', async () => {
    // the connection is lost while the watch event is pending
    await proxy.hold();
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    await proxy.down();
    await host.detachDisk(1, 'xvda');
    await proxy.clear();
    await untilDisks('xvdb', 'xvdc');
  });

  test('keeps its rows when xenstored disconnects during a scan', async () => {
    for (let skip = 0; skip < 30; skip++) {
      await proxy.hangUp({ skip, times: 1 });
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
      await untilDisks('xvda', 'xvdb', 'xvdc');
      expect(set.sample().errors.size).toBe(0);
      await host.detachDisk(1, 'xvdc');
      await untilDisks('xvda', 'xvdb');
    }
  }, 60_000);

  test('watches again what it watched on a connection that is lost at once', async () => {
    for (let i = 0; i < 8; i++) {
      await proxy.down();
      await untilWatching(false);
      // the response to the watch and the loss of the connection often come in one turn of the event loop
      await proxy.hangUp({ path: '/local/domain/0/backend/vbd', bytes: 9999, times: 1 });
      await untilWatching(true);
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
      await untilDisks('xvda', 'xvdb', 'xvdc');
      await host.detachDisk(1, 'xvdc');
      await untilDisks('xvda', 'xvdb');
    }
  }, 60_000);

  test('reports a disk that another one has replaced, while xenstored does not describe that one', async () => {
    await proxy.hold({ path: '/local/domain/0/backend/vbd/1/51712' });
    await proxy.requests();
    const other = { name: 'xvda', source: '/dev/other', counters: { rd_req: 777 } };
    await Promise.all([host.detachDisk(1, 'xvda'), host.attachDisk(1, other)]);
    const isHeld = async () => (await proxy.requests()).some(({ path }) => path.includes('51712'));
    while (!(await isHeld())) await delay(5);
    const [first] = set.sample();
    expect(first?.disk.source).toBe('/dev/a');
    expect(first?.error?.code).toBe('ERR_XEN_STATS_UNAVAILABLE');
    await proxy.clear();
    while ([...set.sample()][0]?.stats?.rdReq !== 777) await delay(5);
    await untilDisks('xvda', 'xvdb');
  });

  test('is rejected at the deadline of its call while xenstored is slow', async () => {
    for (let domid = 2; domid <= 9; domid++) {
      await host.addGuest({
        name: `g${domid}`,
        domid,
        disks: [{ name: 'xvda', source: '/dev/x' }],
      });
    }
    const own = connect({ ...proxy.connectOptions, timeoutMs: 300 });
    // each response comes within the timeout, all of them do not
    await proxy.trickle({ intervalMs: 2 });
    await expect(own.diskSet()).rejects.toMatchObject({ code: 'ERR_XENSTORE_TIMEOUT' });
    await proxy.clear();
    own.close();
  });

  test('scans a disk that fails at most once a second, however often it is sampled', async () => {
    expect(set.sample().errors.size).toBe(0);
    const device = join(host.connectOptions.sysfs, 'bus/xen-backend/devices/vbd-1-51712');
    writeFileSync(join(device, 'statistics/rd_req'), 'rubbish');
    const directory = '/local/domain/0/backend/vbd/1';
    const scans = async () =>
      (await proxy.requests()).filter(
        ({ type, path }) => type === 'directory' && path === directory,
      ).length;
    await proxy.requests();
    const start = performance.now();
    set.sample();
    while ((await scans()) === 0) await delay(1);
    for (let i = 0; i < 100; i++) {
      expect(set.sample().errors.size).toBe(1);
      await delay(1);
    }
    expect(await scans()).toBeLessThanOrEqual((performance.now() - start) / 1000);
  });

  test('repeats a refused scan later each time', async () => {
    await proxy.error('EACCES');
    await proxy.requests();
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    let start: number | undefined;
    for (let scans = 0; scans < 8;) {
      const requests = await proxy.requests();
      scans += requests.filter(({ type }) => type === 'directory').length;
      if (scans > 0) start ??= performance.now();
      await delay(1);
    }
    // the first delays are 10 to 320 ms, from the second scan on
    expect(performance.now() - Number(start)).toBeGreaterThan(20 + 40 + 80 + 160 + 320);
    await proxy.clear();
    await untilDisks('xvda', 'xvdb', 'xvdc');
  });

  test('is rejected with the reason when xenstored refuses requests, or is absent', async () => {
    for (const begin of [() => proxy.error('EACCES'), () => proxy.down()]) {
      await begin();
      await expect(xen.diskSet()).rejects.toMatchObject({ code: 'ERR_XENSTORE_CONNECT' });
    }
  });

  test('has a disk that is attached while the set is made and xenstored does not respond', async () => {
    // the last response of a scan, so the disks have been listed
    await proxy.hold({ path: '/local/domain/1/vm' });
    await proxy.requests();
    const pending = xen.diskSet();
    while (!(await proxy.requests()).some(({ path }) => path === '/local/domain/1/vm')) {
      await delay(1);
    }
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    await proxy.clear();
    set = await pending;
    await untilDisks('xvda', 'xvdb', 'xvdc');
  });

  test('is rejected at once when the connection is closed while xenstored does not respond', async () => {
    await proxy.hold();
    const pending = xen.diskSet();
    xen.close();
    await expect(pending).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
  });

  test('can be closed, and another one made, in listeners', async () => {
    const events: string[] = [];
    set.on('add', ({ name }) => {
      set.close();
      void xen.diskSet().then((other) => {
        set = other;
        events.push(name);
        set.on('remove', (disk) => {
          events.push(`-${disk.name}`);
          xen.close();
        });
      });
    });
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    while (events.length < 1) await delay(5);
    await host.detachDisk(1, 'xvda');
    while (events.length < 2) await delay(5);
    expect(events).toEqual(['xvdc', '-xvda']);
    expect(() => set.sample()).toThrow(expect.objectContaining({ code: 'ERR_XEN_CLOSED' }));
    await untilReleased(before);
  });

  const PRELUDE = `
    const thrown = [];
    process.on('uncaughtException', ({ message }) => thrown.push(message));
    const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5)) };
    const xen = xbs.connect(options);`;

  test('emits every event although a listener throws, and throws the first error afterwards', async () => {
    const result = await evaluate(
      `${PRELUDE}
       const set = await xen.diskSet();
       const added = [];
       set.on('add', ({ name }) => { added.push([name, set.disks.length]); throw new Error(name) });
       console.error('attach');
       await until(() => added.length >= 3 && thrown.length > 0);
       console.log(JSON.stringify({ added, thrown, reads: set.sample().values[0] }));
       xen.close();`,
      { options: host.connectOptions },
      {
        onStep: async () => {
          await host.addGuest({
            name: 'db',
            disks: ['xvda', 'xvdb', 'xvdc'].map((name) => ({ name, source: `/dev/${name}` })),
          });
        },
      },
    );
    expect(result).toEqual({
      added: ['xvda', 'xvdb', 'xvdc'].map((name) => [name, 5]),
      thrown: ['xvda'],
      reads: 5,
    });
  });

  test('loses one disk while its filter throws for it, and retries by itself', async () => {
    const result = await evaluate(
      `${PRELUDE}
       let fails = true;
       const filter = ({ domain }) => { if (fails && domain === 'bad') throw new Error('filter'); return true };
       const set = await xen.diskSet({ filter });
       const names = () => set.disks.map(({ domain, name }) => domain + '/' + name);
       console.error('attach');
       await until(() => set.disks.length === 4 && thrown.length > 0);
       const without = names();
       fails = false; // and no event comes
       await until(() => set.disks.length === 5);
       console.log(JSON.stringify({ without, thrown: [...new Set(thrown)], watching: set.watching }));
       xen.close();`,
      { options: host.connectOptions },
      {
        onStep: async () => {
          for (const name of ['good', 'bad', 'better']) {
            await host.addGuest({ name, disks: [{ name: 'xvda', source: `/dev/${name}` }] });
          }
        },
      },
    );
    expect(result).toEqual({
      without: ['web1/xvda', 'web1/xvdb', 'good/xvda', 'better/xvda'],
      thrown: ['filter'],
      watching: true,
    });
  });

  test('keeps a disk as it is while its filter throws for it', async () => {
    const result = await evaluate(
      `${PRELUDE}
       let fails = false;
       const filter = () => { if (fails) throw new Error('filter'); return true };
       const set = await xen.diskSet({ filter });
       const names = () => set.disks.map(({ domain, name }) => domain + '/' + name);
       fails = true;
       console.error('rename');
       await until(() => thrown.length > 0);
       const kept = names();
       fails = false;
       await until(() => set.disks[0].domain === 'www');
       const count = thrown.length;
       console.error('attach');
       await until(() => set.disks.length === 3);
       await new Promise((resolve) => setImmediate(resolve));
       console.log(JSON.stringify({ kept, now: names(), more: thrown.length - count }));
       xen.close();`,
      { options: host.connectOptions },
      {
        onStep: async (step) => {
          if (step === 'rename') await host.write('/local/domain/1/name', 'www');
          else await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
        },
      },
    );
    expect(result).toEqual({
      kept: ['web1/xvda', 'web1/xvdb'],
      now: ['www/xvda', 'www/xvdb', 'www/xvdc'],
      more: 0,
    });
  });

  test('does not keep the process alive while it tries to reconnect', async () => {
    const result = await evaluate(
      `${PRELUDE}
       const set = await xen.diskSet();
       console.error('down');
       await until(() => !set.watching);
       console.log(JSON.stringify({ errors: set.sample().errors.size }));`,
      { options: proxy.connectOptions },
      { onStep: () => proxy.down() },
    );
    expect(result).toEqual({ errors: 0 });
  });

  test('can be collected while it tries to reconnect', async () => {
    const result = await evaluate(
      `${PRELUDE}
       await (async () => {
         const set = await xen.diskSet();
         console.error('down');
         await until(() => !set.watching);
       })();
       const end = performance.now() + 2200; // all its timers have fired by then
       await until(() => { gc(); return performance.now() > end });
       console.log(JSON.stringify(thrown));
       xen.close();`,
      { options: proxy.connectOptions },
      { node: ['--expose-gc'], onStep: () => proxy.down() },
    );
    expect(result).toEqual([]);
  });

  test('adds a disk without a free descriptor, and reconnects when there is one (EMFILE)', async () => {
    const result = await evaluate(
      `${PRELUDE}
       const fs = require('node:fs');
       const set = (await xen.diskSet()).sample();
       const taken = [];
       const exhaust = () => { try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {} };
       (async () => {
         exhaust();
         console.error('attach');
         await until(() => set.disks.length === 3);
         const full = [set.sample().errors.size, set.values[0], set.values[24]];
         console.error('down');
         await until(() => !set.watching);
         exhaust();
         console.error('up');
         await new Promise((resolve) => setTimeout(resolve, 200));
         const cut = [set.watching, set.sample().errors.size, set.values[0]];
         for (const fd of taken) fs.closeSync(fd);
         await until(() => set.watching);
         console.error('attach');
         await until(() => set.disks.length === 4);
         console.log(JSON.stringify({ full, cut, after: set.sample().errors.size }));
         xen.close();
       })();`,
      { options: host.connectOptions },
      {
        under: ['prlimit', '--nofile=60:60'],
        onStep: async (step) => {
          if (step === 'down') await host.faults.down();
          if (step === 'up') await host.faults.clear();
          if (step === 'attach') {
            const name =
              (await host.list('/local/domain/0/backend/vbd/1'))?.length === 2 ? 'xvdc' : 'xvdd';
            await host.attachDisk(1, { name, source: '/dev/c', counters: { rd_req: 7 } });
          }
        },
      },
    );
    expect(result).toEqual({ full: [0, 5, 7], cut: [false, 0, 5], after: 0 });
  });
});
