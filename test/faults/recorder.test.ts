import { setTimeout as delay } from 'node:timers/promises';
import { connect, type RecordedSamples } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { evaluate, runProgram } from '../support/program';
import { makeDisks, numberOf } from '../support/numbered-disks';
import { ROUNDS } from './rounds';

/* Recorders that start, end and change at every moment. */

describe('a recorder', () => {
  let host: SimulatedHost;
  beforeAll(async () => {
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks: makeDisks(0, 20) }] });
  });
  afterAll(() => host.stop());

  const RESOURCES = `
    const { readdirSync } = require('node:fs');
    const count = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
    const untilReleased = async (before) => {
      while (count().some((value, i) => value > before[i])) await new Promise((resolve) => setTimeout(resolve, 10));
      return 'released';
    };`;

  test('that is started and stopped ten thousand times leaks nothing', async () => {
    const program = `
      ${RESOURCES}
      const xen = xbs.connect(options);
      const set = await xen.diskSet();
      const before = count();
      let samples = 0;
      for (let i = 0; i < 10_000; i++) {
        const recorder = set.record({ intervalMs: 0.2, capacity: 10 });
        if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        recorder.stop();
        for (const { timestamps } of recorder.take()) samples += timestamps.length;
      }
      console.log(JSON.stringify({ rest: await untilReleased(before), samples: samples > 100 }));
      xen.close();`;
    expect(await evaluate(program, { options: host.connectOptions })).toEqual({
      rest: 'released',
      samples: true,
    });
  }, 120_000);

  test('of worker threads that are terminated leaks nothing', async () => {
    const program = `
      ${RESOURCES}
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      const work = async () => {
        const worker = new Worker(\`
          const { parentPort, workerData } = require('node:worker_threads');
          const xen = require('xen-block-stats').connect(workerData);
          xen.diskSet().then((set) => {
            const recorder = set.ref().record({ intervalMs: 0.2, capacity: 100 });
            parentPort.postMessage('recording');
            setInterval(() => recorder.take(), 1);
          });\`, { eval: true, workerData: options });
        await once(worker, 'message');
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
        await worker.terminate();
      };
      await work();
      const before = count();
      for (let i = 0; i < rounds; i++) await work();
      console.log(JSON.stringify(await untilReleased(before)));`;
    const values = { options: host.connectOptions, rounds: 20 * ROUNDS };
    expect(await evaluate(program, values)).toBe('released');
  }, 120_000);

  test('of a set that is closed at random moments ends, and leaks nothing', async () => {
    const program = `
      ${RESOURCES}
      const xen = xbs.connect(options);
      (await xen.diskSet()).close();
      const before = count();
      for (let i = 0; i < rounds; i++) {
        const set = await xen.diskSet();
        const recorders = [0.2, 0.3, 1].map((intervalMs) => set.record({ intervalMs, capacity: 50 }));
        const end = performance.now() + Math.random() * 5;
        while (performance.now() < end) for (const recorder of recorders) recorder.take();
        set.close();
        for (const recorder of recorders) recorder.take();
      }
      console.log(JSON.stringify(await untilReleased(before)));
      xen.close();`;
    const values = { options: host.connectOptions, rounds: 50 * ROUNDS };
    expect(await evaluate(program, values)).toBe('released');
  }, 120_000);

  test.each(['process.exit()', 'xen.close()', 'undefined'])(
    'ends with its process, after %s',
    async (end) => {
      const program = `
        const xen = xbs.connect(options);
        (await xen.diskSet()).record({ intervalMs: 0.2, capacity: 100 });
        await new Promise((resolve) => setTimeout(resolve, 20));
        ${end};`;
      expect(await runProgram(program, { options: host.connectOptions })).toEqual({
        status: 0,
        signal: null,
        stdout: '',
        stderr: '',
      });
    },
  );

  test('has no row of another disk while rows change all the time', async () => {
    const own = await SimulatedHost.start({ guests: [{ name: 'db', disks: makeDisks(0, 10) }] });
    const xen = connect(own.connectOptions);
    const set = await xen.diskSet();
    const recorder = set.record({ intervalMs: 0.5, capacity: 100_000 });
    const generations = new Set<RecordedSamples['disks']>();
    let rows = 0;
    const check = () => {
      for (const { disks, timestamps, columns, values } of recorder.take()) {
        generations.add(disks);
        expect(values).toHaveLength(timestamps.length * disks.length * columns.length);
        for (let i = 0; i < timestamps.length * disks.length; i++) {
          const [value, disk] = [values[i * columns.length], disks[i % disks.length]];
          if (value === -1) continue;
          rows += 1;
          if (disk === undefined || value !== numberOf(disk)) {
            throw new Error(`${String(disk?.name)} has the counters of ${String(value)}`);
          }
        }
      }
    };
    try {
      for (let changes = 0; generations.size < 150 * ROUNDS; changes++) {
        const [disk] = makeDisks(changes % 10, (changes % 10) + 1);
        if (disk === undefined) throw new Error('there is no disk');
        await own.detachDisk(1, disk.name);
        await own.attachDisk(1, disk);
        check();
        await delay(5);
      }
      check();
    } finally {
      xen.close();
      await own.stop();
    }
    expect(rows).toBeGreaterThan(1000);
  }, 120_000);
});
