import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection, type DiskSet } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { FAULTS } from './faults';
import { holdings, untilGivenBack, type Holdings } from './holdings';
import { evaluate } from './program';

/*
 * A set of disks while xenstored is not what it should be: every sample is right, nothing waits, no
 * row goes that should stay, and afterwards it hears of everything again.
 */

/** What a call may wait for xenstored, and the event loop may not. */
const TIMEOUT_MS = 2000;

describe('a set of disks', () => {
  let host: SimulatedHost;
  let before: Holdings;
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
    connect(host.connectOptions).close();
    before = holdings();
    xen = connect({ ...host.connectOptions, timeoutMs: TIMEOUT_MS });
    set = xen.diskSet();
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  const names = () => set.disks.map(({ name }) => name);

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
    'goes on while xenstored (simulated) goes wrong: it %s',
    async (_name, begin) => {
      const loop = monitorEventLoopDelay({ resolution: 5 });
      loop.enable();
      await begin(host.faults);
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
      for (let i = 0; i < 30; i++) {
        await host.setCounters(1, 'xvda', { rd_req: i });
        expect(set.sample().errors.size).toBe(0);
        expect([names()[0], set.values[0], names()[1]]).toEqual(['xvda', i, 'xvdb']);
        await delay(5);
      }
      await host.faults.clear();
      await untilDisks('xvda', 'xvdb', 'xvdc');
      await host.detachDisk(1, 'xvdb');
      await untilDisks('xvda', 'xvdc');
      loop.disable();
      expect(loop.max / 1e6).toBeLessThan(TIMEOUT_MS / 2);
      xen.close();
      await untilGivenBack(before);
    },
    30_000,
  );

  test('hears of what happened while xenstored was started again with a watch pending', async () => {
    // the event of the change is on its way when the connection breaks
    await host.faults.hold();
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    await host.faults.down();
    await host.detachDisk(1, 'xvda');
    await host.faults.clear();
    await untilDisks('xvdb', 'xvdc');
  });

  test('keeps its rows when xenstored breaks off in the middle of a look', async () => {
    for (let skip = 0; skip < 30; skip++) {
      await host.faults.hangUp({ skip, times: 1 });
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
      await untilDisks('xvda', 'xvdb', 'xvdc');
      expect(set.sample().errors.size).toBe(0);
      await host.detachDisk(1, 'xvdc');
      await untilDisks('xvda', 'xvdb');
    }
  }, 60_000);

  test('is closed, and another one made, in listeners', async () => {
    const heard: string[] = [];
    set.on('add', ({ name }) => {
      heard.push(name);
      const closed = set;
      set = xen.diskSet();
      closed.close();
      set.on('remove', (disk) => {
        heard.push(`-${disk.name}`);
        xen.close();
      });
    });
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c' });
    while (heard.length < 1) await delay(5);
    await host.detachDisk(1, 'xvda');
    while (heard.length < 2) await delay(5);
    expect(heard).toEqual(['xvdc', '-xvda']);
    expect(() => set.sample()).toThrow(expect.objectContaining({ code: 'ERR_XEN_CLOSED' }));
    await untilGivenBack(before);
  });

  test('goes on after a listener or a filter that throws', async () => {
    const answer = await evaluate(
      `const heard = [];
       process.on('uncaughtException', ({ message }) => heard.push(message));
       const xen = xbs.connect(options);
       let fails = false;
       const set = xen.diskSet({ filter: () => { if (fails) { fails = false; throw new Error('filter') } return true } });
       set.once('add', () => { throw new Error('listener') });
       const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5)) };
       (async () => {
         console.error('1');
         await until(() => heard.length === 1);
         fails = true;
         console.error('2');
         await until(() => heard.length === 2);
         console.error('3');
         await until(() => set.disks.length === 5);
         console.log(JSON.stringify({ heard, reads: set.sample().values[0] }));
         xen.close();
       })();`,
      { options: host.connectOptions },
      {
        onStep: async (step) => {
          await host.attachDisk(1, { name: `xvd${'bcde'.charAt(Number(step))}`, source: '/dev/x' });
        },
      },
    );
    expect(answer).toEqual({ heard: ['listener', 'filter'], reads: 5 });
  });

  test('takes a disk in and its watch back without a descriptor to spare (EMFILE)', async () => {
    const answer = await evaluate(
      `const fs = require('node:fs');
       const xen = xbs.connect(options);
       const set = xen.diskSet().sample();
       const until = async (condition) => { while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5)) };
       const taken = [];
       const exhaust = () => { try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {} };
       (async () => {
         exhaust();
         console.error('attach');
         await until(() => set.disks.length === 3);
         const full = [set.sample().errors.size, set.values[0], set.values[18]];
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
    expect(answer).toEqual({ full: [0, 5, 7], cut: [false, 0, 5], after: 0 });
  });
});
