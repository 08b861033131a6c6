import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Counts the system calls, objects and instructions of a read. Unlike times, counts do not depend on the
 * load of the machine.
 */

function run(command: string, args: string[]): string {
  const { stdout, stderr, status } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ended with ${String(status)}: ${stderr}`);
  return stdout;
}

describe('a read of an open disk', () => {
  const directory = mkdtempSync(join(tmpdir(), 'hot-path-'));
  let host: SimulatedHost;
  let prelude: string;

  beforeAll(async () => {
    const disks = [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 123456789 } }];
    const more = ['xvda', 'xvdb', 'xvdc'].map((name) => ({ name, source: `/dev/${name}` }));
    host = await SimulatedHost.start({
      guests: [
        { name: 'web1', disks },
        { name: 'db', disks: more },
      ],
    });
    prelude = `(async () => {
      const xen = require('xen-block-stats').connect(${JSON.stringify(host.connectOptions)});
      const web = xen.domain('web1');
      const disk = web.disk('xvda');
      const set = await xen.diskSet(), bigintSet = await xen.diskSet({ bigint: true });
      const fourSet = await xen.diskSet({ counters: ['rdReq', 'rdBytes', 'wrReq', 'wrBytes'] });
      const unheld = require('xen-block-stats').connect({ ...${JSON.stringify(host.connectOptions)}, maxOpenFiles: 0 });
      const unheldSet = await unheld.diskSet();
      const numbers = new Float64Array(12), bigints = new BigInt64Array(12);`;
  });
  afterAll(async () => {
    await host.stop();
    rmSync(directory, { recursive: true });
  });

  /**
   * Returns the system calls of the main thread in a call, after one that warms up. Of three calls, takes the
   * one with the fewest: V8 may wake a thread of its own in one of them.
   */
  function systemCalls(call: string): string[] {
    const trace = join(directory, 'trace');
    const program = `${prelude}
      const call = () => ${call};
      const mark = () => process.umask(0o22);
      call(); mark(); for (let i = 0; i < 3; i++) { call(); mark(); } process.exit(); })();`;
    run('strace', ['-qq', '-o', trace, process.execPath, '-e', program]);
    const lines = readFileSync(trace, 'utf8').split('\n');
    const marks = lines.flatMap((line, i) => (line.startsWith('umask(022)') ? [i] : []));
    expect(marks).toHaveLength(4);
    const calls = [1, 2, 3].map((i) => lines.slice((marks[i - 1] ?? 0) + 1, marks[i]));
    const [fewest = []] = calls.sort((a, b) => a.length - b.length);
    return fewest.map((line) => line.split('(')[0] ?? '');
  }

  const preads = (count: number) => Array.from({ length: count }, () => 'pread64');

  test.each([
    ['disk.readInto(numbers)', 7],
    ['disk.readInto(bigints)', 7],
    ['disk.read()', 7],
    ['disk.read({ bigint: true })', 7],
    ["web.blockStats('xvda')", 5],
    ["web.blockStats('xvda', { sectorSize: 512, bigint: true })", 5],
    ["web.blockStatsFlags('xvda')", 6],
    ["web.blockStatsFlags('xvda', { nparams: 2 })", 2],
  ])('%s makes %i preads and no other system call', (call, count) => {
    expect(systemCalls(call)).toEqual(preads(count));
  });

  test.each([
    ['set.sample()', 7],
    ['bigintSet.sample()', 7],
    ['fourSet.sample()', 4],
  ])('%s makes %i preads a disk and no other system call', (call, count) => {
    expect(systemCalls(call)).toEqual(preads(4 * count));
  });

  test.each([
    ["web.blockStats('')", 5],
    ["xen.domain('db').blockStats('')", 3 * 5],
    ["xen.domain(2).blockStatsFlags('')", 3 * 6],
    ["xen.domain('web1')", 0],
  ])('%s, repeated, makes %i preads and no other system call', (call, count) => {
    expect(systemCalls(call)).toEqual(preads(count));
  });

  test('opens each directory and each file if a set is beyond its descriptor budget', () => {
    const file = ['openat', 'pread64', 'close'];
    const files = Array.from({ length: 7 }, () => file).flat();
    const disk = ['openat', 'statx', ...files, 'close'];
    expect(systemCalls('unheldSet.sample()')).toEqual(Array.from({ length: 4 }, () => disk).flat());
  });

  test.each([
    ['disk.readInto(numbers)', 1_000_000],
    ['disk.readInto(bigints)', 1_000_000],
    ['set.sample()', 200_000],
    ['bigintSet.sample()', 200_000],
  ])(
    '%s leaves no object on the heap, in %i calls',
    (call, calls) => {
      const output = run(process.execPath, [
        '--expose-gc',
        '-e',
        `${prelude}
        const memory = () => { gc(); gc(); return process.memoryUsage(); };
        const repeat = (count) => { for (let i = 0; i < count; i++) ${call}; };
        repeat(${calls / 10});
        const before = memory();
        repeat(${calls});
        const after = memory();
        console.log(JSON.stringify({
          heap: after.heapUsed - before.heapUsed,
          external: after.external - before.external,
          rss: after.rss - before.rss,
        })); xen.close(); })();`,
      ]);
      const growth = JSON.parse(output) as { heap: number; external: number; rss: number };
      // the smallest object takes 16 bytes
      expect(growth.heap).toBeLessThan(calls);
      expect(growth.external).toBeLessThan(calls / 10);
      expect(growth.rss).toBeLessThan(20 * calls);
    },
    60_000,
  );

  test('takes fewer than 850 instructions in user space', () => {
    const driver = join(directory, 'read_driver');
    run('g++', [
      '-std=c++17',
      '-O2',
      '-DNDEBUG',
      '-o',
      driver,
      'test/integration/read_driver.cc',
      'binding/vbd_statistics.cc',
      'binding/tapdisk_statistics.cc',
      'binding/disk_statistics.cc',
      'binding/vbd_pool.cc',
      'binding/descriptor_reserve.cc',
      'binding/thread.cc',
    ]);
    const devices = join(host.connectOptions.sysfs, 'bus/xen-backend/devices');
    const instructions = (reads: number) => {
      const { stderr } = spawnSync(
        'valgrind',
        [
          '--tool=callgrind',
          '--callgrind-out-file=/dev/null',
          driver,
          devices,
          '1',
          '51712',
          String(reads),
        ],
        { encoding: 'utf8' },
      );
      const collected = /Collected : (\d+)/.exec(stderr)?.[1];
      if (collected === undefined) throw new Error(`valgrind printed no count: ${stderr}`);
      return Number(collected);
    };
    const eachRead = (instructions(2000) - instructions(1000)) / 1000;
    // 823 with GCC 12: seven calls of pread, seven numbers to parse, nine stores, when it was last read
    expect(eachRead).toBeLessThan(850);
  }, 60_000);
});
