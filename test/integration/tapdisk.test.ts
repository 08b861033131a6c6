import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { XenError, connect, type Connection, type ConnectOptions } from 'xen-block-stats';
import { loadNative } from '../../lib/native';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';
import { RealHost } from '../support/real-host';
import { Tapdisk } from '../support/tapdisk';

/*
 * Disks that tapdisk serves: a process that has their statistics as tapdisk has them, and a real xenstored.
 */

const DEVID = 51712;
const BACKEND = `/local/domain/0/backend/vbd3/1/${DEVID}`;

describe('a disk that tapdisk serves', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-'));
  const program = Tapdisk.build(directory);
  const shm = Tapdisk.makeShm();
  let host: RealHost;
  let tapdisk: Tapdisk;
  let options: ConnectOptions;
  let xen: Connection;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      disks: [{ name: 'xvdb', source: '/dev/b', counters: { rd_req: 1 } }],
    });
    await host.addGuest({ name: 'db', disks: [] });
    tapdisk = await Tapdisk.start(program, shm, 1, DEVID);
    await host.xenstored.write([
      [`/libxl/1/device/vbd/${DEVID}/backend`, BACKEND],
      [`${BACKEND}/dev`, 'xvda'],
      [`${BACKEND}/params`, '/dev/xen/blktap-2/tapdev0'],
      [`${BACKEND}/tapdisk-params`, 'vhd:/srv/web1.vhd'],
      [`${BACKEND}/state`, '4'],
      [`${BACKEND}/sectors`, '2048'],
      [`${BACKEND}/kthread-pid`, String(tapdisk.pid)],
    ]);
    await tapdisk.set({
      ...{ oo_reqs: 99, read_reqs_submitted: 3, read_sectors: 24, read_total_ticks: 700 },
      ...{ write_reqs_submitted: 5, write_sectors: 8, write_total_ticks: 1234, io_errors: 2 },
    });
    options = { ...host.connectOptions, shm };
    xen = connect(options);
  });
  afterEach(async () => {
    xen.close();
    await tapdisk.kill();
    await host.stop();
  });
  afterAll(() => {
    rmSync(directory, { recursive: true });
    rmSync(shm, { recursive: true });
  });

  const STATS = {
    ...{ rdReq: 3, rdSectors: 24, rdBytes: 24 * 512, wrReq: 5, wrSectors: 8, wrBytes: 4096 },
    ...{ flushReq: -1, discardReq: -1, ooReq: -1 },
    ...{ rdTimeNs: 700_000, wrTimeNs: 1_234_000, ioErrors: 2 },
  };

  /** Returns the error that a call throws. */
  function errorOf(call: () => unknown): XenError {
    try {
      call();
    } catch (error) {
      if (error instanceof XenError) return error;
      throw error;
    }
    throw new Error('it did not throw');
  }

  test('is described with its image and the pid of its tapdisk', () => {
    const [xvda, xvdb] = xen.domain('web1').disks();
    expect(xvda).toMatchObject({
      ...{ name: 'xvda', kind: 'vbd3', driver: 'tap', format: 'vhd', source: '/srv/web1.vhd' },
      tapdiskPid: tapdisk.pid,
    });
    expect(xvdb).toMatchObject({ name: 'xvdb', kind: 'vbd', tapdiskPid: undefined });
  });

  test.each([undefined, 0])('is read with all its counters (maxOpenFiles: %s)', async (limit) => {
    const limited = connect({ ...options, maxOpenFiles: limit });
    const disk = limited.domain('web1').disk('xvda');
    expect(disk.read()).toEqual(STATS);
    expect(limited.domain('web1').disk('/srv/web1.vhd')).toBe(disk);
    const max = 2n ** 63n - 1n;
    await tapdisk.set({ read_reqs_submitted: max });
    expect(disk.read({ bigint: true })).toMatchObject({ rdReq: max, wrTimeNs: 1_234_000n });
    limited.close();
  });

  test('takes three system calls to be read', () => {
    const program = `
      const disk = require('xen-block-stats').connect(${JSON.stringify(options)}).domain(1).disk('xvda');
      const row = new Float64Array(12), mark = () => process.umask(0o22);
      disk.readInto(row); mark(); disk.readInto(row); mark(); disk.readInto(row); mark(); process.exit();`;
    const { stderr } = spawnSync('strace', ['-qq', process.execPath, '-e', program], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const calls = stderr.split('\n').map((line) => line.split('(')[0] ?? '');
    const marks = calls.flatMap((name, i) => (name === 'umask' ? [i] : []));
    const reads = marks.slice(1).map((end, i) => calls.slice((marks[i] ?? 0) + 1, end));
    // V8 may wake a thread of its own in one of them
    expect(reads).toContainEqual(['pread64', 'statx', 'poll']);
  });

  test('is opened although a server hangs whose file system has the image', () => {
    const program = `require('xen-block-stats').connect(${JSON.stringify(options)}).domain(1).disk('xvda'); process.exit();`;
    const { stderr } = spawnSync(
      'strace',
      ['-qq', '-e', 'trace=statx', process.execPath, '-e', program],
      { cwd: ROOT, encoding: 'utf8' },
    );
    const ofFiles = stderr.split('\n').filter((line) => /^statx\(\d+, "\d+", /.test(line));
    expect(ofFiles).not.toEqual([]);
    for (const line of ofFiles) expect(line).toContain('AT_STATX_DONT_SYNC');
  });

  test('is refused by the calls of libvirt, which name disk.read()', () => {
    const web = xen.domain('web1');
    const message =
      'unsupported disk driver tap (disk xvda of domain web1 is served by vbd3, not by blkback: disk.read() reads it)';
    const refused = { code: 'ERR_XEN_UNSUPPORTED_DRIVER', message };
    for (let i = 0; i < 2; i++) {
      expect(errorOf(() => web.blockStats('xvda'))).toMatchObject(refused);
      expect(errorOf(() => web.blockStatsFlags('xvda'))).toMatchObject(refused);
      expect(errorOf(() => web.blockStats(''))).toMatchObject(refused);
      const { rdReq, skipped } = web.blockStats('', { partial: true });
      expect([rdReq, skipped?.map(({ disk }) => disk)]).toEqual([1, ['xvda']]);
      expect(web.disk('xvda').read()).toEqual(STATS);
    }
  });

  test('is a row of a set and of a recorder, with rates', async () => {
    const set = await xen.diskSet();
    expect(set.disks.map(({ name }) => name)).toEqual(['xvda', 'xvdb']);
    expect(set.unsupported).toEqual([]);
    expect([...set.sample()].map(({ stats }) => stats)).toEqual([
      STATS,
      expect.objectContaining({ rdReq: 1, rdTimeNs: -1, ioErrors: -1 }),
    ]);
    const recorder = set.record({ intervalMs: 1, capacity: 1000 });
    await tapdisk.set({ read_reqs_submitted: 13, read_total_ticks: 20_700 });
    const [rates, ofBlkback] = set.sample().rates();
    expect(rates?.rAwait).toBeCloseTo(2);
    expect([rates?.wAwait, ofBlkback?.rAwait]).toEqual([undefined, undefined]);
    expect(rates?.fPerSec).toBe(-1);
    const isSeen = () => recorder.take().some(({ values }) => values.includes(20_700_000));
    while (!isSeen()) await delay(1);
    recorder.stop();
  });

  test('is read by a set of chosen counters', async () => {
    const set = await xen.diskSet({ counters: ['rdTimeNs', 'ioErrors'] });
    const [xvda, xvdb] = set.sample();
    const none = Object.fromEntries(Object.keys(STATS).map((name) => [name, -1]));
    expect(xvda?.stats).toEqual({ ...none, rdTimeNs: 700_000, ioErrors: 2 });
    expect([xvdb?.stats, xvdb?.error]).toEqual([undefined, undefined]);
  });

  test('is read anew after its frontend has reconnected', async () => {
    const disk = xen.domain('web1').disk('xvda');
    const set = await xen.diskSet();
    expect(set.sample().errors.size).toBe(0);
    await tapdisk.command('unlink');
    expect(errorOf(() => disk.read())).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      message: `cannot read ${shm}/td3-${tapdisk.pid}/vbd-1-${DEVID}: ENOENT, tapdisk ${tapdisk.pid} has no statistics of this disk (disk xvda)`,
    });
    expect([...set.sample().errors].map(([{ name }, { message }]) => [name, message])).toEqual([
      ['xvda', expect.stringContaining(`tapdisk ${tapdisk.pid} has removed it`)],
    ]);
    await tapdisk.command('create');
    await tapdisk.set({ read_reqs_submitted: 1 });
    expect(disk.read()).toMatchObject({ rdReq: 1, wrReq: 0 });
    while (set.sample().errors.size > 0) await delay(5);
    expect(set.values[0]).toBe(1);
  });

  test('is an error after its tapdisk was killed, and read again when another one serves it', async () => {
    const disk = xen.domain('web1').disk('xvda');
    const set = await xen.diskSet();
    expect(set.sample().errors.size).toBe(0);
    const { pid } = tapdisk;
    await tapdisk.kill();
    expect(errorOf(() => disk.read()).message).toContain(`tapdisk ${pid} has ended`);
    expect([...set.sample().errors.keys()].map(({ name }) => name)).toEqual(['xvda']);
    expect(set.values[0]).toBe(-1);
    tapdisk = await Tapdisk.start(program, shm, 1, DEVID);
    await tapdisk.set({ read_reqs_submitted: 8 });
    await host.write(`${BACKEND}/kthread-pid`, String(tapdisk.pid));
    expect(disk.read()).toMatchObject({ rdReq: 8 });
    while (set.sample().errors.size > 0) await delay(5);
    expect([set.values[0], set.disks[0]?.tapdiskPid]).toEqual([8, tapdisk.pid]);
  });

  test.each([
    ['before Linux 5.3', 'ENOSYS'],
    ['in a container that does not permit it', 'EPERM'],
  ])('is noticed to be gone without pidfd_open, too: %s', (_where, error) => {
    const program = `
      const { execFileSync } = require('node:child_process');
      const disk = require('xen-block-stats').connect(${JSON.stringify(options)}).domain(1).disk('xvda');
      console.log(disk.read().rdReq);
      process.kill(${tapdisk.pid}, 'SIGKILL');
      for (let isRead = true; isRead;) try { disk.read() } catch ({ message }) { console.log(message); isRead = false; }`;
    const inject = [
      '-f',
      '-qq',
      '-e',
      'trace=pidfd_open',
      '-e',
      `inject=pidfd_open:error=${error}`,
    ];
    const { stdout, stderr } = spawnSync('strace', [...inject, process.execPath, '-e', program], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(stderr).toContain('INJECTED');
    // until the parent has taken note of its end, the process exists, without files
    const reason = `tapdisk ${tapdisk.pid} (has ended|does not have it open)`;
    expect(stdout).toMatch(new RegExp(`^3\ncannot read .* ${reason}`));
  });

  test.each([
    ['no pid at all', '', "xenstore's node .*kthread-pid has no pid"],
    ['text', '12/../1', "xenstore's node .*kthread-pid has no pid"],
    ['a number beyond every pid', '4294967296', "xenstore's node .*kthread-pid has no pid"],
    ['a pid that no process has', '2147483647', 'tapdisk 2147483647 has ended'],
  ])('is refused if kthread-pid is %s', async (_what, text, reason) => {
    await host.write(`${BACKEND}/kthread-pid`, text);
    expect(errorOf(() => xen.domain('web1').disk('xvda'))).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      message: expect.stringMatching(reason),
    });
  });

  test('is refused if kthread-pid is of a process that does not have the file open', async () => {
    // what an earlier process with this pid has left
    const stale = join(shm, `td3-${process.pid}`);
    mkdirSync(stale);
    cpSync(join(shm, `td3-${tapdisk.pid}`, `vbd-1-${DEVID}`), join(stale, `vbd-1-${DEVID}`));
    await host.write(`${BACKEND}/kthread-pid`, String(process.pid));
    expect(errorOf(() => xen.domain('web1').disk('xvda')).message).toContain(
      `tapdisk ${process.pid} does not have it open: it is a file of an earlier process`,
    );
  });

  test.each([
    ['has another version', 'version 0', 'it has another version than 1'],
    ['is too short', 'truncate 95', "it is no file of tapdisk's statistics"],
    ['has a number beyond 2^63', `set 16 ${2n ** 63n}`, 'exceeds 2^63 - 1'],
    ['has a time beyond 2^63 ns', `set 40 ${2n ** 60n}`, 'exceeds 2^63 - 1'],
  ])('is an error if the file %s', async (_what, command, reason) => {
    const disk = xen.domain('web1').disk('xvda');
    await tapdisk.command(command);
    const error = errorOf(() => disk.read());
    expect([error.code, error.message]).toEqual([
      'ERR_XEN_STATS_UNAVAILABLE',
      expect.stringContaining(reason),
    ]);
  });

  test('has two files open, and none after it is closed', () => {
    const files = () => readdirSync('/proc/self/fd').length;
    const web = xen.domain('web1');
    web.disks();
    const before = files();
    const disk = web.disk('xvda');
    expect(files() - before).toBe(2);
    disk.close();
    expect(files() - before).toBe(0);
  });
});

test('files of tapdisk give way to those of a disk of blkback that is read more often', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'tapdisk-'));
  const shm = Tapdisk.makeShm();
  const statistics = join(directory, 'vbd-1-1/statistics');
  mkdirSync(statistics, { recursive: true });
  const { Vbd, VbdPool, counterFiles } = loadNative();
  for (const file of counterFiles) writeFileSync(join(statistics, file), '1\n');
  const program = Tapdisk.build(directory);
  const tapdisks = await Promise.all(
    [2, 3, 4, 5].map((devid) => Tapdisk.start(program, shm, 1, devid)),
  );
  // the budget is full with the files of tapdisk: two a disk, and two for the pool
  const pool = new VbdPool(directory, shm, 2 * tapdisks.length + 2);
  const rare = tapdisks.map(({ pid }, i) => new Vbd(pool, 1, i + 2, pid));
  const often = new Vbd(pool, 1, 1, 0);
  for (const vbd of [...rare, often]) expect(vbd.open()).toBe(0);
  const row = new Float64Array(12);
  const read = (vbd: (typeof rare)[number]) => {
    expect(vbd.read(row, 1, 0)).toBe(0);
  };
  for (let i = 0; i < 20; i++) {
    for (const vbd of [often, often, often, ...rare]) read(vbd);
  }
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the descriptor of /proc/self/fd itself
    }
  });
  expect(links.filter((link) => link.startsWith(statistics))).toHaveLength(counterFiles.length);
  for (const vbd of [...rare, often]) vbd.close();
  for (const tapdisk of tapdisks) await tapdisk.kill();
  rmSync(directory, { recursive: true });
  rmSync(shm, { recursive: true });
});
