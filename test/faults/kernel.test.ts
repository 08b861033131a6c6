import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { DISK_COLUMNS, connect, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { NetworkDevice, linkCounters, statisticsFolder } from '../support/kernel-counters';
import { needing } from '../support/needs';
import { RealHost } from '../support/real-host';
import { countResources } from './resources';
import { evaluate } from '../support/program';
import { ROUNDS, randomNumbers } from './rounds';
import { overwriteCounter } from '../support/counter-file';

const error = (code: string, more: object = {}) => expect.objectContaining({ code, ...more });

/** blkback's counters, in the order in which the kernel creates their files. */
const FILES = ['oo_req', 'rd_req', 'wr_req', 'f_req', 'ds_req', 'rd_sect', 'wr_sect'];

/** The number of columns that they fill, with the two of bytes: the first ones. */
const BLKBACK_COLUMNS = FILES.length + 2;

needing('CAP_NET_ADMIN', 'CAP_SYS_ADMIN').describe('the kernel’s counters, when', () => {
  let device: NetworkDevice;
  let host: RealHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({ name: 'web1', domid: 1, disks: [{ name: 'xvda', source: '/dev/a' }] });
    device = await NetworkDevice.create('xbf');
    xen = connect(host.connectOptions);
  });
  afterEach(async () => {
    xen.close();
    await device.remove();
    await host.stop();
  });

  test('a disk is detached between two counters of one read', () => {
    const { sysfs } = host.connectOptions;
    linkCounters(sysfs, 51712, device.name, { others: { rd_req: 'lo', rd_sect: 'lo' } });
    const disk = xen.domain('web1').disk('xvda');
    const row = new Float64Array(DISK_COLUMNS.length);
    disk.readInto(row);
    row.fill(7);
    device.plugOut();
    expect(() => {
      disk.readInto(row);
    }).toThrow(error('ERR_XEN_STATS_UNAVAILABLE'));
    expect(row.every((value) => value === 7)).toBe(true);
    device.plugIn();
    disk.readInto(row);
    expect(row[DISK_COLUMNS.indexOf('wrReq')]).toBe(0);
  });

  test('a domain is destroyed, and another one gets its domid and its devid', async () => {
    const { sysfs } = host.connectOptions;
    linkCounters(sysfs, 51712, device.name);
    const web = xen.domain('web1');
    const disk = web.disk('xvda');
    expect(disk.read().rdReq).toBe(0);
    device.plugOut();
    await host.removeGuest(1);
    await host.addGuest({
      name: 'web2',
      domid: 1,
      uuid: '11111111-2222-4333-8444-555555555555',
      disks: [{ name: 'xvda', source: '/dev/a' }],
    });
    device.plugIn();
    linkCounters(sysfs, 51712, 'lo');
    const gone = error('ERR_XEN_DOMAIN_NOT_RUNNING');
    expect(() => disk.read()).toThrow(gone);
    expect(() => web.blockStats('xvda')).toThrow(gone);
    expect(() => web.blockStats('')).toThrow(gone);
    expect(xen.domain(1).blockStats('xvda').rdReq).toBeGreaterThan(0);
  });

  test(
    'a disk is detached and attached repeatedly, at random moments',
    async () => {
      linkCounters(host.connectOptions.sysfs, 51712, device.name);
      const reader = new Worker(
        `const { parentPort, workerData } = require('node:worker_threads');
       const xen = require('xen-block-stats').connect(workerData);
       const web = xen.domain('web1');
       (async () => {
       const unheld = require('xen-block-stats').connect({ ...workerData, maxOpenFiles: 0 });
       const sets = [await xen.diskSet(), await unheld.diskSet()];
       const report = { rows: 0, failures: 0, wrong: [] };
       const take = (row) => {
         report.rows += 1;
         // no packet is ever sent through the device
         if (row.slice(0, ${BLKBACK_COLUMNS}).some((value) => value !== 0)) report.wrong.push(row);
       };
       const fail = (error) => {
         report.failures += 1;
         if (error.code !== 'ERR_XEN_STATS_UNAVAILABLE') report.wrong.push(String(error));
       };
       let over = false;
       parentPort.on('message', () => { over = true; });
       parentPort.postMessage('ready');
         while (!over) {
           for (let i = 0; i < 20; i++) {
             try { take(Object.values(web.disk('xvda').read())) } catch (error) { fail(error) }
             for (const set of sets) {
               set.sample();
               if (set.errors.size > 0) fail([...set.errors.values()][0]);
               else if (set.disks.length > 0) take([...set.values]);
             }
           }
           await new Promise(setImmediate);
         }
         xen.close();
         parentPort.postMessage(report);
       })();`,
        { eval: true, workerData: host.connectOptions },
      );
      await once(reader, 'message');
      const random = randomNumbers(2);
      for (let i = 0; i < 20 * ROUNDS; i++) {
        await delay(30 * random());
        device.plugOut();
        await delay(30 * random());
        device.plugIn();
      }
      reader.postMessage('over');
      const [report] = (await once(reader, 'message')) as unknown[];
      await reader.terminate();
      expect(report).toMatchObject({ wrong: [] });
      const { rows, failures } = report as { rows: number; failures: number };
      expect(rows).toBeGreaterThan(100);
      expect(failures).toBeGreaterThan(10);
    },
    60_000 * ROUNDS,
  );
});

describe('a vbd, when', () => {
  let host: SimulatedHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await SimulatedHost.start({
      guests: [
        { name: 'web1', disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 5 } }] },
      ],
    });
    xen = connect(host.connectOptions);
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  test('its counters are reset by a reconnect', async () => {
    const disk = xen.domain('web1').disk('xvda');
    expect(disk.read().rdReq).toBe(5);
    await host.disconnectFrontend(1, 'xvda');
    expect(disk.read().rdReq).toBe(0);
    await host.connectFrontend(1, 'xvda');
    await host.io(1, 'xvda', { reads: 2 });
    expect(disk.read().rdReq).toBe(2);
    expect(xen.domain('web1').blockStats('xvda').rdReq).toBe(2);
  });

  test('its directory is empty, and the files appear one by one', () => {
    const directory = statisticsFolder(host.connectOptions.sysfs, 51712);
    const hidden = `${directory}.hidden`;
    renameSync(directory, hidden);
    const unavailable = error('ERR_XEN_STATS_UNAVAILABLE', { errno: 2 });
    const web = xen.domain('web1');
    expect(() => web.disk('xvda')).toThrow(unavailable);
    mkdirSync(directory);
    for (const file of FILES) {
      expect(() => web.disk('xvda').read()).toThrow(unavailable);
      renameSync(join(hidden, file), join(directory, file));
    }
    const row = Object.values(web.disk('xvda').read());
    expect(row.slice(0, BLKBACK_COLUMNS).every((value) => value >= 0)).toBe(true);
  });

  test('is read without open descriptors, and the files appear one by one', async () => {
    const directory = statisticsFolder(host.connectOptions.sysfs, 51712);
    const hidden = `${directory}.hidden`;
    renameSync(directory, hidden);
    mkdirSync(directory);
    const unheld = connect({ ...host.connectOptions, maxOpenFiles: 0 });
    const set = await unheld.diskSet();
    for (const file of FILES) {
      expect([...set.sample().errors.values()]).toEqual([
        error('ERR_XEN_STATS_UNAVAILABLE', { errno: 2 }),
      ]);
      expect(set.values.every((value) => value === -1)).toBe(true);
      renameSync(join(hidden, file), join(directory, file));
    }
    while (set.sample().errors.size > 0) await delay(10);
    expect(set.values.slice(0, BLKBACK_COLUMNS).every((value) => value >= 0)).toBe(true);
    unheld.close();
  });

  test('its files are removed one by one', () => {
    const directory = statisticsFolder(host.connectOptions.sysfs, 51712);
    const disk = xen.domain('web1').disk('xvda');
    // an empty file has the effect of the kernel's ENODEV
    for (const file of FILES) overwriteCounter(join(directory, file), '');
    for (const file of FILES) {
      rmSync(join(directory, file));
      expect(() => disk.read()).toThrow(error('ERR_XEN_STATS_UNAVAILABLE'));
    }
  });

  test.each([
    [
      'is a file',
      'ENOTDIR',
      (root: string) => {
        writeFileSync(root, '');
      },
    ],
    [
      'is a link to itself',
      'ELOOP',
      (root: string) => {
        symlinkSync(root, root);
      },
    ],
    ['is missing', 'ENOENT', () => undefined],
  ])('the root of sysfs %s (%s)', (_what, reason, make) => {
    const root = join(mkdtempSync(join(tmpdir(), 'no-sysfs-')), 'sys');
    make(root);
    const other = connect({ ...host.connectOptions, sysfs: root });
    const web = other.domain('web1');
    expect(web.disks()).toHaveLength(1);
    const before = countResources();
    expect(() => web.disk('xvda')).toThrow(
      error('ERR_XEN_STATS_UNAVAILABLE', { message: expect.stringContaining(reason) }),
    );
    expect(countResources()).toEqual(before);
    other.close();
    rmSync(join(root, '..'), { recursive: true });
  });
});

describe('a process that', () => {
  let host: SimulatedHost;
  beforeAll(async () => {
    const disks = ['xvda', 'xvdb', 'xvdc', 'xvdd', 'xvde', 'xvdf', 'xvdg', 'xvdh'].map((name) => ({
      name,
      source: `/dev/${name}`,
      counters: { rd_req: 5, wr_sect: 8 },
    }));
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
  });
  afterAll(() => host.stop());

  const PRELUDE = `
    const { readdirSync } = require('node:fs');
    const attempt = (call) => { try { return call() } catch ({ code, errno, message }) { return { code, errno, message } } };
    const xen = xbs.connect(options);
    const web = xen.domain('web1');`;

  const run = (program: string, ...under: string[]) =>
    evaluate(`${PRELUDE} ${program}`, { options: host.connectOptions }, { under });

  test('has no descriptors left (EMFILE) opens and reads its disks, and leaks none', async () => {
    expect(
      await run(
        `const count = () => readdirSync('/proc/self/fd').length;
         const names = web.disks().map(({ name }) => name);
         web.disk('xvda').read();
         const taken = [];
         try { for (;;) taken.push(require('node:fs').openSync('/dev/null')); } catch {}
         require('node:fs').closeSync(taken.pop()); // for readdir
         const before = count();
         const read = [1, 2].flatMap(() => names.map((name) => web.disk(name).read().rdReq));
         const sums = [1, 2, 3].map(() => attempt(() => web.blockStats('').rdReq));
         const domids = [1, 2, 3].map(() => attempt(() => xen.domain('web1').domid));
         const left = count() - before;
         xen.close();
         console.log(JSON.stringify({ read: [...new Set(read)], sums, domids, left }))`,
        'prlimit',
        '--nofile=60:60',
      ),
    ).toEqual({ read: [5], sums: [40, 40, 40], domids: [1, 1, 1], left: 0 });
  });

  /** Returns a strace command that changes the results of system calls about the statistics of xvda. */
  const inject = (...injections: string[]) => {
    const directory = statisticsFolder(host.connectOptions.sysfs, 51712);
    const paths = [directory, ...FILES.map((file) => join(directory, file))];
    return [
      'strace',
      ...['-f', '-qq', '-o', '/dev/null', '-e', 'trace=openat,pread64'],
      ...paths.flatMap((path) => ['-P', path]),
      ...injections.flatMap((injection) => ['-e', `inject=${injection}`]),
    ];
  };
  const FOUR_READS = `
    console.log(JSON.stringify([1, 2, 3, 4].map(() => attempt(() => web.disk('xvda').read().rdReq))))`;

  // a test cannot lower fs.file-max: it is a limit of the whole machine, and does not hold for root
  test('finds no descriptors left on the machine (ENFILE) reports it, and continues', async () => {
    expect(await run(FOUR_READS, ...inject('openat:error=ENFILE:when=1..9'))).toEqual([
      {
        code: 'ERR_XEN_STATS_UNAVAILABLE',
        errno: 23,
        message: expect.stringContaining('ENFILE, too many open files on this machine'),
      },
      { code: 'ERR_XEN_STATS_UNAVAILABLE', errno: 23, message: expect.any(String) },
      { code: 'ERR_XEN_STATS_UNAVAILABLE', errno: 23, message: expect.any(String) },
      5,
    ]);
  });

  test('is interrupted (EINTR) at every second system call repeats the call', async () => {
    const everySecond = ['openat:error=EINTR:when=1+2', 'pread64:error=EINTR:when=1+2'];
    expect(await run(FOUR_READS, ...inject(...everySecond))).toEqual([5, 5, 5, 5]);
  });

  test('cannot read a counter (EIO) retries once, and then reports it', async () => {
    expect(await run(FOUR_READS, ...inject('pread64:error=EIO:when=3'))).toEqual([5, 5, 5, 5]);
    expect(await run(FOUR_READS, ...inject('pread64:error=EIO:when=3..4'))).toEqual([
      { code: 'ERR_XEN_STATS_UNAVAILABLE', errno: 5, message: expect.any(String) },
      5,
      5,
      5,
    ]);
  });
});
