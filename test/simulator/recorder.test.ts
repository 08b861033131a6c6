import { cpSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { types } from 'node:util';
import {
  connect,
  type Connection,
  type DiskSet,
  type RecordedSamples,
  type Recorder,
  type RecorderOptions,
} from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { overwriteCounter } from '../support/counter-file';
import { needing } from '../support/needs';
import { evaluate } from '../support/program';

describe('a recorder', () => {
  const DISKS = [
    { name: 'xvda', source: '/dev/a', counters: { rd_req: 1 } },
    { name: 'xvdb', source: '/dev/b', counters: { rd_req: 2, wr_sect: 3 } },
  ];
  let host: SimulatedHost;
  let xen: Connection;
  let set: DiskSet;

  beforeEach(async () => {
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks: DISKS }] });
    xen = connect(host.connectOptions);
    set = await xen.diskSet();
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  /** The directory of the counters of the first disk. */
  const statistics = () =>
    join(host.connectOptions.sysfs, 'bus/xen-backend/devices/vbd-1-51712/statistics');

  /** Takes samples until there is this number of them. */
  async function takeSamples(recorder: Recorder, count: number): Promise<RecordedSamples[]> {
    const taken: RecordedSamples[] = [];
    while (taken.reduce((sum, { timestamps }) => sum + timestamps.length, 0) < count) {
      await delay(1);
      taken.push(...recorder.take());
    }
    return taken;
  }

  /** Takes samples until one of them meets a condition. */
  async function takeUntil(
    recorder: Recorder,
    condition: (samples: RecordedSamples) => boolean,
  ): Promise<RecordedSamples> {
    for (;;) {
      const found = recorder.take().find(condition);
      if (found !== undefined) return found;
      await delay(1);
    }
  }

  const names = ({ disks }: RecordedSamples) => disks.map(({ name }) => name).join();

  /** Returns a column of a disk, by sample. */
  const column = (samples: RecordedSamples, disk: number, name: keyof typeof COLUMN) =>
    Array.from(
      samples.timestamps,
      (_, i) => samples.values[(i * samples.disks.length + disk) * 12 + COLUMN[name]],
    );
  const COLUMN = { rdReq: 0, wrBytes: 5 };

  test('samples every disk at its interval, while the event loop is blocked', () => {
    const start = process.hrtime.bigint();
    const recorder = set.record({ intervalMs: 1, capacity: 1000 });
    while (process.hrtime.bigint() - start < 200_000_000n);
    const [samples, ...more] = recorder.take();
    if (samples === undefined) throw new Error('there are no samples');
    expect(more).toEqual([]);
    const { disks, columns, timestamps, values } = samples;
    expect(disks).toBe(set.disks);
    expect(columns).toEqual(set.columns);
    expect(types.isFloat64Array(values)).toBe(true);
    expect(values).toHaveLength(timestamps.length * 2 * 12);
    expect(new Set(column(samples, 0, 'rdReq'))).toEqual(new Set([1]));
    expect(new Set(column(samples, 1, 'rdReq'))).toEqual(new Set([2]));
    expect(new Set(column(samples, 1, 'wrBytes'))).toEqual(new Set([1536]));
    // every tick was either taken or missed, also before the first sample and after the last one
    const ticks = timestamps.length + recorder.missed;
    const milliseconds = (from = 0n, to = 0n) => Number(to - from) / 1e6;
    expect(ticks).toBeGreaterThan(milliseconds(timestamps[0], timestamps.at(-1)) - 1);
    expect(ticks).toBeLessThan(milliseconds(start, process.hrtime.bigint()) + 2);
    expect(recorder.overwritten).toBe(0);
    expect([...timestamps].every((time, i) => i === 0 || time > (timestamps[i - 1] ?? 0n))).toBe(
      true,
    );
  });

  test('keeps the newest samples, and counts those that were not taken in time', async () => {
    const recorder = set.record({ intervalMs: 0.2, capacity: 10 });
    while (recorder.overwritten < 100) await delay(1);
    recorder.stop();
    const before = recorder.overwritten;
    const taken = recorder.take();
    expect(taken.map(({ timestamps }) => timestamps.length)).toEqual([10]);
    expect(recorder.overwritten).toBe(before);
    expect(recorder.take()).toEqual([]);
  });

  test('returns each sample once', async () => {
    const recorder = set.record({ intervalMs: 0.5, capacity: 1000 });
    const taken = await takeSamples(recorder, 200);
    const times = taken.flatMap(({ timestamps }) => [...timestamps]);
    expect(new Set(times).size).toBe(times.length);
    expect([...times].sort()).toEqual(times);
  });

  test('follows the rows of the set, and no sample has rows of two generations', async () => {
    const recorder = set.record({ intervalMs: 0.5, capacity: 10_000 });
    await takeUntil(recorder, (samples) => names(samples) === 'xvda,xvdb');
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c', counters: { rd_req: 3 } });
    const three = await takeUntil(
      recorder,
      (it) => names(it) === 'xvda,xvdb,xvdc' && column(it, 2, 'rdReq').at(-1) === 3,
    );
    expect(three.values).toHaveLength(three.timestamps.length * 3 * 12);
    await host.detachDisk(1, 'xvda');
    const two = await takeUntil(recorder, (samples) => names(samples) === 'xvdb,xvdc');
    expect(column(two, 0, 'rdReq').at(-1)).toBe(2);
    expect(column(two, 1, 'rdReq').at(-1)).toBe(3);
    expect(set.sample().errors.size).toBe(0);
  });

  test('has -1 for a disk while it cannot be read', async () => {
    const recorder = set.record({ intervalMs: 0.5, capacity: 10_000 });
    const file = join(statistics(), 'rd_req');
    overwriteCounter(file, 'rubbish');
    const failed = await takeUntil(recorder, (it) => column(it, 0, 'rdReq').at(-1) === -1);
    expect([...failed.values.slice(-24)]).toEqual([
      ...Array.from({ length: 12 }, () => -1),
      ...[2, 0, 0, 0, 3, 1536, 0, 0, 0, -1, -1, -1],
    ]);
    overwriteCounter(file, '5');
    await takeUntil(recorder, (it) => column(it, 0, 'rdReq').at(-1) === 5);
  });

  test('has the counters of a disk that is made anew without a watch event', async () => {
    const recorder = set.record({ intervalMs: 0.5, capacity: 10_000 });
    const directory = statistics();
    renameSync(directory, `${directory}.removed`);
    cpSync(`${directory}.removed`, directory, { recursive: true });
    overwriteCounter(join(directory, 'rd_req'), '9');
    // has the effect of the kernel's ENODEV
    overwriteCounter(join(`${directory}.removed`, 'rd_req'), '');
    const again = await takeUntil(recorder, (it) => column(it, 0, 'rdReq').at(-1) === 9);
    expect(column(again, 1, 'rdReq').at(-1)).toBe(2);
  });

  test('reads a disk from the moment when the kernel has made all of its files', async () => {
    const [file, hidden] = [join(statistics(), 'wr_sect'), join(statistics(), 'hidden')];
    renameSync(file, hidden);
    const other = connect(host.connectOptions);
    const recorder = (await other.diskSet()).record({ intervalMs: 1, capacity: 1000 });
    await takeUntil(recorder, (it) => column(it, 0, 'rdReq').at(-1) === -1);
    renameSync(hidden, file);
    await takeUntil(recorder, (it) => column(it, 0, 'rdReq').at(-1) === 1);
    other.close();
  });

  test('of a set of some counters has -1 in the other columns', async () => {
    const own = await xen.diskSet({ counters: ['rdReq'] });
    const [samples] = await takeSamples(own.record({ intervalMs: 1, capacity: 10 }), 1);
    expect([...(samples?.values.slice(0, 12) ?? [])]).toEqual([1, ...Array<number>(11).fill(-1)]);
  });

  test('of a set of bigints has bigints', async () => {
    await host.setCounters(1, 'xvda', { rd_req: 2n ** 62n + 1n });
    const recorder = (await xen.diskSet({ bigint: true })).record({ intervalMs: 1, capacity: 10 });
    let samples;
    while (samples === undefined) {
      await delay(1);
      [samples] = recorder.take();
    }
    expect(types.isBigInt64Array(samples.values)).toBe(true);
    expect(samples.values[0]).toBe(2n ** 62n + 1n);
  });

  test('reads disks beyond the descriptor budget', async () => {
    const unheld = connect({ ...host.connectOptions, maxOpenFiles: 0 });
    const recorder = (await unheld.diskSet()).record({ intervalMs: 1, capacity: 10 });
    const [samples] = await takeSamples(recorder, 1);
    expect([samples?.values[0], samples?.values[12]]).toEqual([1, 2]);
    unheld.close();
  });

  test('of a set without disks takes samples without rows', async () => {
    const none = await xen.diskSet({ filter: () => false });
    const recorder = none.record({ intervalMs: 1, capacity: 10 });
    const [samples] = await takeSamples(recorder, 1);
    expect(samples?.disks).toEqual([]);
    expect(samples?.values).toHaveLength(0);
  });

  test.each(['recorder.stop()', 'recorder[Symbol.dispose]()', 'set.close()', 'xen.close()'])(
    'ends its thread with %s, and its samples can still be taken',
    async (end) => {
      const program = `
        const threads = () => require('node:fs').readdirSync('/proc/self/task').length;
        const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const xen = xbs.connect(options);
        const set = await xen.diskSet();
        const before = threads();
        const recorder = set.record({ intervalMs: 0.5, capacity: 1000 });
        await delay(50);
        ${end};
        while (threads() > before) await delay(1);
        const taken = recorder.take();
        const rest = recorder.take();
        xen.close();
        const isStopped = /isStopped: true/.test(require('node:util').inspect(recorder));
        console.log(JSON.stringify({ samples: taken[0]?.timestamps.length > 0, rest, isStopped }));`;
      expect(await evaluate(program, { options: host.connectOptions })).toEqual({
        samples: true,
        rest: [],
        isStopped: true,
      });
    },
  );

  test.each<[unknown, string]>([
    [undefined, 'ERR_OUT_OF_RANGE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
    [{ intervalMs: '1', capacity: 1 }, 'ERR_INVALID_ARG_TYPE'],
    [{ intervalMs: 0.19, capacity: 1 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: 3_600_001, capacity: 1 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: NaN, capacity: 1 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: 1 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: 1, capacity: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: 1, capacity: 1.5 }, 'ERR_OUT_OF_RANGE'],
    [{ intervalMs: 1, capacity: 2 ** 53 - 1 }, 'ERR_MEMORY_ALLOCATION_FAILED'],
  ])('refuses %j', (options, code) => {
    const threads = readdirSync('/proc/self/task').length;
    expect(() => set.record(options as RecorderOptions)).toThrow(expect.objectContaining({ code }));
    // recorders of other tests may still be ending
    expect(readdirSync('/proc/self/task').length).toBeLessThanOrEqual(threads);
  });

  test('cannot be made of a closed set', () => {
    set.close();
    expect(() => set.record({ intervalMs: 1, capacity: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_XEN_CLOSED' }),
    );
  });

  needing('CAP_SETUID').test('fails with EAGAIN where no thread can be started', async () => {
    const program = `
      const set = await xbs.connect(options).diskSet();
      const { execFileSync } = require('node:child_process');
      execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=1']);
      process.setuid(65534); // the limit does not apply to root
      try { set.record({ intervalMs: 1, capacity: 1 }) } catch ({ code, syscall }) {
        console.log(JSON.stringify({ code, syscall }));
      }`;
    // LeakSanitizer, with which test/sanitize runs this, starts a thread at the end of the process
    const under = ['env', 'LSAN_OPTIONS=detect_leaks=0'];
    expect(await evaluate(program, { options: host.connectOptions }, { under })).toEqual({
      code: 'EAGAIN',
      syscall: 'pthread_create',
    });
  });

  test('does not keep the process alive, and is released when it is collected', async () => {
    const program = `
      const { readdirSync } = require('node:fs');
      const count = () => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length;
      const xen = xbs.connect(options);
      const set = await xen.diskSet();
      const before = count();
      (() => { for (let i = 0; i < 5; i++) set.record({ intervalMs: 1, capacity: 100 }) })();
      if (count() < before + 5) throw new Error('there are no threads');
      while (count() > before) { gc(); await new Promise((resolve) => setTimeout(resolve, 10)); }
      set.record({ intervalMs: 1, capacity: 100 });
      console.log(JSON.stringify('released'));`;
    const options = { node: ['--expose-gc'] };
    expect(await evaluate(program, { options: host.connectOptions }, options)).toBe('released');
  });
});
