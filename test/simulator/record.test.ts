import { once } from 'node:events';
import { readdir, readlink } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { spawn, spawnSync } from '../support/child-process';
import { needing } from '../support/needs';
import { MAIN } from '../support/paths';
import { Tmux } from '../support/tmux';

describe('xen-block-stats record', () => {
  let host: SimulatedHost;
  let hostOptions: string[];

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web 1',
          disks: [
            { name: 'xvda', source: '/dev/a', counters: { rd_req: 67, rd_sect: 8, f_req: 1 } },
            { name: 'xvdb', source: '/dev/b' },
          ],
        },
      ],
    });
    const { xenstore, sysfs } = host.connectOptions;
    hostOptions = ['--xenstore', xenstore, '--sysfs', sysfs];
  });
  afterAll(() => host.stop());

  /** Runs `record` with these arguments. Ignores what stderr says of missed samples. */
  function record(...args: string[]) {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [MAIN, 'record', ...args, ...hostOptions],
      { encoding: 'utf8' },
    );
    const other = stderr.replace(/^xen-block-stats: \d+ samples were missed: .*\n/m, '');
    return { lines: stdout.split('\n').slice(0, -1), stderr: other, status };
  }

  /** Starts `record` with these arguments. */
  function start(...args: string[]) {
    const child = spawn(process.execPath, [MAIN, 'record', ...args, ...hostOptions], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return {
      child,
      stdout: child.stdout,
      ended: once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    };
  }

  test('prints the counters of a disk at each interval, as a table', () => {
    const { lines, stderr, status } = record(
      'web 1',
      'xvda',
      '--interval',
      '5ms',
      '--duration',
      '50ms',
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const [heading, first, ...more] = lines.map((line) => line.trim().split(/ {2,}/));
    expect(heading).toEqual(
      'SECONDS DOMAIN DISK rdReq rdBytes wrReq wrBytes flushReq discardReq ooReq'.split(' '),
    );
    expect(first).toEqual(['0.000000', '"web 1"', 'xvda', '67', '4096', '0', '0', '1', '0', '0']);
    expect(more.length).toBeLessThanOrEqual(10);
    expect(more.at(-1)?.slice(1)).toEqual(first?.slice(1));
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
  });

  test('ends after the duration, also if that is shorter than the interval', () => {
    const { lines, status } = record('1', 'xvda', '--interval', '1h', '--duration', '100ms');
    expect(status).toBe(0);
    expect(lines).toHaveLength(2);
  });

  test('aligns the values of a table up to 2^53', async () => {
    const counters = { rd_sect: 2 ** 44 - 1 };
    await host.addGuest({
      name: 'big',
      domid: 7,
      disks: [{ name: 'xvda', source: '/dev/c', counters }],
    });
    const { lines } = record('big', '--duration', '5ms');
    await host.removeGuest(7);
    expect(lines[1]).toContain('  9007199254740480  ');
    expect(new Set(lines.map(({ length }) => length)).size).toBe(1);
  });

  test('has no fields of the backing device, which it does not record', () => {
    const { lines } = record('1', '--rates', '--csv', '--duration', '50ms');
    expect(lines[0]).toBe(
      'timestamp,domid,domain,disk,rPerSec,wPerSec,rkBPerSec,wkBPerSec,rareqSz,wareqSz,rAwait,wAwait,fPerSec,dPerSec,ooPerSec',
    );
    expect(lines[1]?.split(',')).toHaveLength(15);
  });

  test('prints the samples of the whole duration, also if a write takes longer', () => {
    // as a write to a terminal or to a file can
    const slowWrites = `
      const { stdout } = process;
      const write = stdout.write.bind(stdout);
      stdout.write = (text) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
        return write(text);
      };`;
    const preload = ['--import', `data:text/javascript,${encodeURIComponent(slowWrites)}`];
    const options = ['1', 'xvda', '--interval', '1ms', '--duration', '300ms'];
    const { stdout, status } = spawnSync(
      process.execPath,
      [...preload, MAIN, 'record', ...options, ...hostOptions],
      { encoding: 'utf8' },
    );
    expect(status).toBe(0);
    const last = stdout.trimEnd().split('\n').at(-1)?.trim().split(' ')[0];
    expect(Number(last)).toBeGreaterThan(0.2);
  });

  test('prints all disks of a domain as CSV', () => {
    const { lines, status } = record('1', '--interval', '1ms', '--duration', '20ms', '--csv');
    expect(status).toBe(0);
    expect(lines[0]).toBe(
      'timestamp,domid,domain,disk,rdReq,rdSectors,rdBytes,wrReq,wrSectors,wrBytes,flushReq,discardReq,ooReq,rdTimeNs,wrTimeNs,ioErrors',
    );
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`;
    expect(lines[1]).toMatch(new RegExp(`^${time},1,web 1,xvda,67,8,4096,0,0,0,1,0,0,,,$`));
    expect(lines[2]).toMatch(new RegExp(`^${time},1,web 1,xvdb,0,0,0,0,0,0,0,0,0,,,$`));
    expect(Date.parse(String(lines[1]?.split(',')[0]))).toBeGreaterThan(Date.now() - 60_000);
    expect(Date.parse(String(lines[1]?.split(',')[0]))).toBeLessThanOrEqual(Date.now());
  });

  test('prints lines of JSON', () => {
    const { lines } = record('web 1', 'xvda', '--duration', '5ms', '--json');
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      timestamp: expect.any(String),
      ...{ domid: 1, domain: 'web 1', disk: 'xvda', rdReq: 67, rdSectors: 8, rdBytes: 4096 },
      ...{ wrReq: 0, wrSectors: 0, wrBytes: 0, flushReq: 1, discardReq: 0, ooReq: 0 },
      ...{ rdTimeNs: null, wrTimeNs: null, ioErrors: null },
    });
  });

  test('prints rates, from the second sample on', async () => {
    const { child, stdout, ended } = start(
      'web 1',
      'xvdb',
      '--rates',
      '--json',
      '--interval',
      '2ms',
    );
    const lines = createInterface(stdout)[Symbol.asyncIterator]();
    const first = JSON.parse(String((await lines.next()).value)) as Record<string, unknown>;
    expect(first).toMatchObject({ disk: 'xvdb', wPerSec: 0, wkBPerSec: 0, wareqSz: 0 });
    await host.io(1, 'xvdb', { writes: 4, writeBytes: 16384 });
    // a sample may be taken between the two counters
    const seen = new Set<string>();
    while (seen.size < 2) {
      const rates = JSON.parse(String((await lines.next()).value)) as Record<string, number>;
      for (const name of ['wPerSec', 'wkBPerSec']) if ((rates[name] ?? 0) > 0) seen.add(name);
    }
    child.kill('SIGTERM');
    for (let line = await lines.next(); line.done !== true;) line = await lines.next();
    expect(await ended).toEqual([143, null]);
  });

  test('finds a burst of known size, and prints it when it is interrupted', async () => {
    const { child, stdout, ended } = start('web 1', '--peaks', '50ms', '--json');
    const output = text(stdout);
    // the command has no output before its end: it records when it has the disk's files open
    while (!(await holdsFiles(child.pid))) await delay(1);
    await delay(200);
    await host.io(1, 'xvda', { reads: 10, readBytes: 50 * 1024 * 1024 });
    await delay(200);
    child.kill('SIGINT');
    expect(await ended).toEqual([130, null]);
    const [xvda, xvdb] = (await output)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number>);
    // 50 MiB, in 10 reads, in 50 ms are 1000 MiB/s; a tick that comes late makes the window longer
    for (const rate of [Number(xvda?.['rkBPerSec']) / 1024, Number(xvda?.['rPerSec']) * 5]) {
      expect(rate).toBeGreaterThan(100);
      expect(rate).toBeLessThan(1100);
    }
    expect(xvdb).toMatchObject({ disk: 'xvdb', rkBPerSec: 0, wkBPerSec: 0 });
  });

  test('prints peaks as a table and as CSV', () => {
    const options = ['1', '--duration', '100ms', '--peaks', '10ms'];
    const table = record(...options);
    expect({ stderr: table.stderr, status: table.status }).toEqual({ stderr: '', status: 0 });
    expect(table.lines[0]).toMatch(/^DOMAIN +DISK +r\/s +at +w\/s +at +rkB\/s +at +wkB\/s +at /);
    expect(table.lines[1]).toMatch(/^"web 1" +xvda +0\.00 +\d\.\d{6} +0\.00 /);
    expect(table.lines).toHaveLength(3);
    const csv = record(...options, '--csv');
    expect(csv.lines[0]).toMatch(/^domid,domain,disk,rPerSec,rPerSecAt,wPerSec,wPerSecAt,/);
    expect(csv.lines[2]).toMatch(/^1,web 1,xvdb,0,\d{4}-[^,]+Z,0,/);
  });

  test.each([
    [['1', '--interval', '1'], "'1' is invalid. It must be a time with a unit, such as 500us, 1ms"],
    [['1', '--interval', '100us'], "'100us' is invalid. It must be 200us to 1h."],
    [['1', '--duration', '0s'], "'0s' is invalid. It must be a time with a unit"],
    [['1', '--peaks', '10'], "'10' is invalid. It must be a time with a unit"],
    [
      ['1', '--peaks', '1ms', '--interval', '1s', '--duration', '5ms'],
      'the window of --peaks is shorter than the interval',
    ],
    [
      ['1', '--peaks', '500us', '--duration', '5ms'],
      'the window of --peaks is shorter than the interval',
    ],
    [['1', '--peaks', '10ms', '--rates'], "option '--peaks <time>' cannot be used with"],
    [['1', '--json', '--csv'], "option '--json' cannot be used with option '--csv'"],
    [[], "missing required argument 'domain'"],
    [['1', 'xvda', 'xvdb'], "too many arguments for 'record'"],
  ])('refuses %j', (args, message) => {
    const { lines, stderr, status } = record(...args);
    expect({ lines, status }).toEqual({ lines: [], status: 2 });
    expect(stderr).toContain(message);
    expect(stderr).toContain('try: xen-block-stats record --help');
  });

  test('fails for a domain and a disk that do not exist', () => {
    expect(record('nope')).toEqual({
      lines: [],
      stderr: "xen-block-stats: no domain with matching name 'nope' is running\n",
      status: 1,
    });
    expect(record('1', 'xvdz').stderr).toMatch(/^xen-block-stats: .*xvdz/);
  });

  test('says which disks of the domain it cannot record, and fails if it can record none', async () => {
    const qemu = { name: 'xvda', source: '/a.qcow2', kind: 'qdisk', format: 'qcow2' } as const;
    const blktap2 = { name: 'xvdb', source: '/b.vhd', kind: 'tap', format: 'vhd' } as const;
    await host.addGuest({ name: 'mail', domid: 8, disks: [qemu, blktap2] });
    const reason = '1 disk of QEMU, 1 disk of tapdisk are not shown';
    const none = (message: string) => ({
      lines: [],
      stderr: `xen-block-stats: ${message}\n`,
      status: 1,
    });
    const duration = ['--duration', '5ms'];
    expect(record('mail', ...duration)).toEqual(none(`there is no disk to record: ${reason}`));
    await host.attachDisk(8, { name: 'xvdc', source: '/dev/c' });
    const { lines, stderr, status } = record('mail', ...duration, '--csv');
    expect({ stderr, status }).toEqual({ stderr: `xen-block-stats: ${reason}\n`, status: 0 });
    expect(lines[1]).toMatch(/,8,mail,xvdc,/);
    await host.removeGuest(8);
    await host.addGuest({ name: 'diskless', domid: 9 });
    expect(record('diskless', ...duration)).toEqual(none('there is no disk to record'));
    await host.removeGuest(9);
  });

  needing('tmux').test('shows its progress on a terminal', async () => {
    const tmux = await Tmux.start({});
    const command = [process.execPath, MAIN, 'record', '1', '--peaks', '10ms', ...hostOptions];
    tmux.type(`${command.join(' ')} > /dev/null; echo status $?`, 'Enter');
    const shown = (pattern: RegExp) => (lines: string[]) =>
      lines.some((line) => pattern.test(line));
    await tmux.until('the progress', shown(/^\d+ samples(, \d+ missed)?, [\d.]+ s$/));
    tmux.type('C-c');
    const lines = await tmux.until('the end', shown(/^status 130$/));
    await tmux.close();
    expect(lines.some((line) => /^\d+ samples,/.test(line))).toBe(false);
  });

  needing('tmux').test('prints its table on the terminal that shows its progress', async () => {
    const tmux = await Tmux.start({}, { columns: 200 });
    const options = ['1', 'xvda', '--interval', '100ms', '--duration', '1s', ...hostOptions];
    const command = [process.execPath, MAIN, 'record', ...options];
    tmux.type(`${command.join(' ')}; echo status $?`, 'Enter');
    const lines = await tmux.until('the end', (all) => all.includes('status 0'));
    await tmux.close();
    expect(lines.filter((line) => /^\d+ samples,/.test(line))).toEqual([]);
    expect(lines.filter((line) => /^ +\d\.\d{6} +"web 1" +xvda /.test(line))).not.toEqual([]);
  });
});

/** Whether a process has a counter's file open. */
async function holdsFiles(pid: number | undefined): Promise<boolean> {
  const descriptors = await readdir(`/proc/${String(pid)}/fd`);
  const links = descriptors.map((fd) => readlink(`/proc/${String(pid)}/fd/${fd}`).catch(() => ''));
  return (await Promise.all(links)).some((link) => link.endsWith('/rd_req'));
}
