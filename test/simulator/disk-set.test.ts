import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import {
  DISK_COLUMNS,
  connect,
  type Connection,
  type DiskSet,
  type DiskSetOptions,
  type DiskInfo,
} from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { diskName } from '../../lib/disk-name';
import { describeOnHosts } from '../support/hosts';
import { RealHost, type TestHost } from '../support/real-host';
import { countOpenStatistics } from '../support/open-statistics';
import { spawn } from '../support/child-process';
import { needing } from '../support/needs';
import { overwriteCounter } from '../support/counter-file';
import { XenstoredProxy } from '../support/xenstored-proxy';

const label = ({ domain, name }: DiskInfo) => `${String(domain)}/${name}`;

/** Waits for a condition, at most half a minute: jest itself does not end a loop. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${String(condition)}`);
    await turn();
  }
}

/** Waits until all rows can be read: the kernel makes a device after its xenstore nodes. */
const untilRead = (set: DiskSet) => until(() => set.sample().errors.size === 0);

describeOnHosts('a set of disks, on', (start) => {
  let host: TestHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await start();
    await host.addGuest({
      name: 'web1',
      disks: [
        { name: 'xvdb', source: '/dev/vg/web1-data', counters: { rd_req: 2 } },
        { name: 'xvda', source: '/dev/vg/web1', counters: { rd_req: 1, rd_sect: 8 } },
      ],
    });
    await host.addGuest({
      name: 'db',
      disks: [{ name: 'xvda', source: '/dev/vg/db', counters: { rd_req: 3 } }],
    });
    xen = connect(host.connectOptions);
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  /** Returns the column of one counter. */
  const column = (set: DiskSet, name: (typeof DISK_COLUMNS)[number]) =>
    set.disks.map((_, i) => set.values[i * set.columns.length + set.columns.indexOf(name)]);

  /** Waits until the set has this number of disks. */
  async function untilDisks(set: DiskSet, count: number): Promise<void> {
    while (set.disks.length !== count) {
      await Promise.race([once(set, 'add'), once(set, 'remove')]);
    }
  }

  test('has the disks of all guests when it is created, in the order of domid and devid', async () => {
    const set = await xen.diskSet();
    expect(set.disks.map(label)).toEqual(['web1/xvda', 'web1/xvdb', 'db/xvda']);
    expect(set.disks[0]).toMatchObject({ domid: 1, devid: 51712, name: 'xvda', domain: 'web1' });
    expect(set.disks[0]?.uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(set.disks[0]).toEqual(xen.domain('web1').disks()[0]);
    expect(set.watching).toBe(true);
  });

  test('lists the disks that other drivers serve, as they come and go, and gives them no rows', async () => {
    const set = await xen.diskSet({ filter: ({ name }) => name !== 'xvdz' });
    expect(set.unsupported).toEqual([]);
    const image = { source: '/srv/db.qcow2', kind: 'qdisk', format: 'qcow2' } as const;
    await host.attachDisk(2, { name: 'xvdz', ...image });
    await host.attachDisk(2, { name: 'xvdd', kind: 'qdisk', deviceType: 'cdrom', mode: 'r' });
    await host.attachDisk(2, { name: 'xvdc', source: '/dev/sm/c', kind: 'tap', format: 'vhd' });
    await host.attachDisk(1, { name: 'xvdb1', ...image });
    const unsupported = () => set.unsupported.map((disk) => `${label(disk)} ${disk.driver}`);
    while (set.unsupported.length < 2) await turn();
    expect(unsupported()).toEqual(['web1/xvdb1 qemu', 'db/xvdc tap']);
    expect(set.disks.map(label)).toEqual(['web1/xvda', 'web1/xvdb', 'db/xvda']);
    await host.detachDisk(1, 'xvdb1');
    while (set.unsupported.length > 1) await turn();
    expect(unsupported()).toEqual(['db/xvdc tap']);
    expect((await xen.diskSet()).unsupported.map(label)).toEqual(['db/xvdc', 'db/xvdz']);
  });

  test('has -1 in all columns before the first sample, and then the counters of each disk', async () => {
    const set = await xen.diskSet();
    expect(set.values).toEqual(new Float64Array(3 * 12).fill(-1));
    expect(set.timestamp).toBe(0n);
    const before = process.hrtime.bigint();
    expect(set.sample()).toBe(set);
    expect(set.timestamp).toBeGreaterThan(before);
    expect(set.timestamp).toBeLessThan(process.hrtime.bigint());
    expect(set.columns).toBe(DISK_COLUMNS);
    expect([...set.values.subarray(0, 12)]).toEqual([1, 8, 4096, 0, 0, 0, 0, 0, 0, -1, -1, -1]);
    expect(column(set, 'rdReq')).toEqual([1, 2, 3]);
    expect(set.errors.size).toBe(0);
  });

  test('returns bigints with the option bigint', async () => {
    await host.setCounters(2, 'xvda', { rd_req: 2n ** 63n - 1n });
    const set = (await xen.diskSet({ bigint: true })).sample();
    expect(set.values).toBeInstanceOf(BigInt64Array);
    expect(set.values[24]).toBe(2n ** 63n - 1n);
  });

  test('iterates over its disks with their counters', async () => {
    const set = await xen.diskSet();
    expect([...set].map(({ stats }) => stats)).toEqual([undefined, undefined, undefined]);
    await host.setCounters(2, 'xvda', { wr_req: 5, wr_sect: 40 });
    const [first, , last] = [...set.sample()];
    expect(first?.disk).toBe(set.disks[0]);
    expect(first?.stats).toEqual(xen.domain(1).disk('xvda').read());
    expect(last?.stats).toMatchObject({ wrReq: 5, wrSectors: 40, wrBytes: 20480 });
    expect(last?.error).toBeUndefined();
  });

  test('has the counters of a disk of which none is 0', async () => {
    const counters = {
      rd_req: 1,
      rd_sect: 2,
      wr_req: 3,
      wr_sect: 4,
      f_req: 5,
      ds_req: 6,
      oo_req: 7,
    };
    await host.setCounters(2, 'xvda', counters);
    const set = (await xen.diskSet()).sample();
    const stats = xen.domain(2).disk('xvda').read();
    expect(Object.values(stats)).toEqual([1, 2, 1024, 3, 4, 2048, 5, 6, 7, -1, -1, -1]);
    expect([...set][2]?.stats).toEqual(stats);
    expect(set.sample().rates()[2]).toMatchObject({ reset: false, rPerSec: 0 });
  });

  test('has only the disks that match the filter', async () => {
    const set = await xen.diskSet({ filter: ({ domain }) => domain === 'db' });
    expect(set.disks.map(label)).toEqual(['db/xvda']);
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/vg/other' });
    await host.attachDisk(2, { name: 'xvdc', source: '/dev/vg/more' });
    await untilDisks(set, 2);
    expect(set.disks.map(label)).toEqual(['db/xvda', 'db/xvdc']);
  });

  test('has no row for a disk without statistics: of QEMU, or an empty drive', async () => {
    await host.attachDisk(1, { name: 'xvdd', source: '/srv/a.qcow2', kind: 'qdisk' });
    await host.attachDisk(1, { name: 'hdc', deviceType: 'cdrom' });
    const set = await xen.diskSet();
    expect(set.disks.map(label)).toEqual(['web1/xvda', 'web1/xvdb', 'db/xvda']);
  });

  test('adds and removes rows when disks are attached and detached, and emits events', async () => {
    const set = await xen.diskSet();
    const events: string[] = [];
    set.on('add', (disk) => events.push(`+${label(disk)}`));
    set.on('remove', (disk) => events.push(`-${label(disk)}`));
    const [web1] = set.disks;
    const generation = set.generation;

    await host.attachDisk(2, { name: 'xvdb', source: '/dev/vg/x', counters: { rd_req: 4 } });
    await untilDisks(set, 4);
    expect(set.generation).not.toBe(generation);
    await untilRead(set);
    expect(column(set, 'rdReq')).toEqual([1, 2, 3, 4]);

    await host.addGuest({ name: 'mail', disks: [{ name: 'xvda', source: '/dev/vg/mail' }] });
    await untilDisks(set, 5);
    await host.removeGuest(2);
    await untilDisks(set, 3);
    await host.detachDisk(1, 'xvdb');
    await untilDisks(set, 2);
    expect(set.disks.map(label)).toEqual(['web1/xvda', 'mail/xvda']);
    expect(set.disks[0]).toBe(web1);
    await untilRead(set);
    expect(column(set, 'rdReq')).toEqual([1, 0]);
    expect(events).toEqual(['+db/xvdb', '+mail/xvda', '-db/xvda', '-db/xvdb', '-web1/xvdb']);
  });

  test('replaces a disk that gets another source, without another watch event', async () => {
    const set = await xen.diskSet();
    await host.write('/local/domain/0/backend/vbd/1/51712/params', '/dev/vg/other');
    await until(() => set.disks[0]?.source === '/dev/vg/other');
    expect(set.disks.map(label)).toEqual(['web1/xvda', 'web1/xvdb', 'db/xvda']);
    await untilRead(set);
    expect(column(set, 'rdReq')).toEqual([1, 2, 3]);
  });

  test('has no rows after the directory of all backends was removed', async () => {
    const set = await xen.diskSet();
    const changes: boolean[] = [];
    set.on('watching', (watching) => changes.push(watching));
    await host.remove('/local/domain/0/backend/vbd');
    await untilDisks(set, 0);
    // removed anew while the set scans: a change is not a loss of the watches
    for (let i = 0; i < 20; i++) {
      await host.write('/local/domain/0/backend/vbd', '');
      await host.remove('/local/domain/0/backend/vbd');
    }
    expect(set.watching).toBe(true);
    expect(changes).toEqual([]);
  });

  test('keeps the last values of a disk when its row moves', async () => {
    const set = (await xen.diskSet()).sample();
    const { disks, values } = set;
    await host.detachDisk(1, 'xvda');
    await untilDisks(set, 2);
    expect(column(set, 'rdReq')).toEqual([2, 3]);
    // the replaced arrays do not change
    expect(disks).toHaveLength(3);
    expect(values[0]).toBe(1);
  });

  test('keeps the last values and the error of each disk when rows are added', async () => {
    const set = (await xen.diskSet()).sample();
    const statistics = 'bus/xen-backend/devices/vbd-1-51728/statistics';
    overwriteCounter(join(host.connectOptions.sysfs, statistics, 'rd_req'), 'rubbish\n');
    const { errors } = set.sample();
    await host.attachDisk(1, { name: 'sda', source: '/dev/vg/first' });
    await untilDisks(set, 4);
    expect(set.disks.map(label)).toEqual(['web1/sda', 'web1/xvda', 'web1/xvdb', 'db/xvda']);
    expect(column(set, 'rdReq')).toEqual([-1, 1, -1, 3]);
    expect(set.errors).toEqual(errors);
    expect(set.errors.size).toBe(1);
    // of two samples, the first one is from before
    const rates = set.rates();
    expect(rates.map((it) => it?.rPerSec)).toEqual([undefined, 0, undefined, 0]);
  });

  test('has the same array of values as long as it has no disks', async () => {
    const set = await xen.diskSet({ filter: () => false });
    const { values } = set;
    expect(set.sample().values).toBe(values);
    expect(set.sample().values).toBe(values);
  });

  test('has -1 and an error for a disk that fails, and its counters when it works again', async () => {
    const set = await xen.diskSet();
    const path = join(
      host.connectOptions.sysfs,
      'bus/xen-backend/devices/vbd-1-51728/statistics/rd_sect',
    );
    overwriteCounter(path, 'rubbish\n');
    expect(column(set.sample(), 'rdReq')).toEqual([1, -1, 3]);
    expect([...set.values.subarray(12, 24)]).toEqual(Array(12).fill(-1));
    const [[disk, error] = []] = set.errors;
    expect(disk).toBe(set.disks[1]);
    expect(error).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      path,
      domid: 1,
      disk: 'xvdb',
      message: `cannot read ${path}: it does not contain a number (disk xvdb)`,
    });
    expect([...set][1]).toMatchObject({
      stats: undefined,
      error: { code: 'ERR_XEN_STATS_UNAVAILABLE' },
    });

    overwriteCounter(path, '16\n');
    await untilRead(set);
    expect(column(set, 'rdSectors')).toEqual([8, 16, 0]);
  });

  test('has the new name of a renamed domain', async () => {
    const set = await xen.diskSet();
    await host.write('/local/domain/1/name', 'www');
    while (set.disks[0]?.domain !== 'www') await turn();
    expect(set.disks.map(label)).toEqual(['www/xvda', 'www/xvdb', 'db/xvda']);
  });

  test('replaces the disks when another domain has the same domid', async () => {
    const set = await xen.diskSet();
    const [, , former] = set.disks;
    await host.removeGuest(2);
    const disks = [{ name: 'xvda', source: '/dev/vg/db', counters: { rd_req: 30 } }];
    await host.addGuest({
      name: 'db',
      domid: 2,
      uuid: 'cccccccc-0000-4000-8000-000000000002',
      disks,
    });
    while (set.disks[2] === undefined || set.disks[2] === former) await turn();
    expect(set.disks[2]).toMatchObject({ uuid: 'cccccccc-0000-4000-8000-000000000002' });
    await untilRead(set);
    expect(column(set, 'rdReq')).toEqual([1, 2, 30]);
  });

  test('adds the disks of a domain that matches the filter after a rename', async () => {
    const set = await xen.diskSet({ filter: ({ domain }) => domain === 'www' });
    expect(set.disks).toEqual([]);
    await host.write('/local/domain/1/name', 'www');
    await untilDisks(set, 2);
    expect(set.disks.map(label)).toEqual(['www/xvda', 'www/xvdb']);
    await host.write('/local/domain/1/name', 'web1');
    await untilDisks(set, 0);
  });

  test('has the same array of disks until a description changes', async () => {
    const filter = jest.fn(() => true);
    const set = await xen.diskSet({ filter });
    const { disks, generation } = set;
    for (let scans = 0; scans < 2; scans++) {
      // the second scan begins after the end of the first one
      const calls = filter.mock.calls.length;
      await host.write('/local/domain/1/name', 'web1');
      await until(() => filter.mock.calls.length > calls);
    }
    expect(set.disks).toBe(disks);
    await host.write('/local/domain/1/name', 'www');
    await until(() => set.disks !== disks);
    expect(set.disks[0]).toEqual({ ...disks[0], domain: 'www' });
    expect(set.disks[2]).toBe(disks[2]);
    expect(set.generation).toBe(generation);
  });

  test('freezes the array of its disks and their descriptions', async () => {
    const set = await xen.diskSet();
    expect(set.disks.every((disk) => Object.isFrozen(disk))).toBe(true);
    expect(Object.isFrozen(set.disks)).toBe(true);
    expect(() => (set.disks as DiskInfo[]).reverse()).toThrow(TypeError);
  });

  test('iterates over one sample, also if another one is taken meanwhile', async () => {
    const set = (await xen.diskSet()).sample();
    const samples = set[Symbol.iterator]();
    await host.detachDisk(1, 'xvda');
    await untilDisks(set, 2);
    set.sample();
    expect([...samples].map(({ disk, stats }) => [label(disk), stats?.rdReq])).toEqual([
      ['web1/xvda', 1],
      ['web1/xvdb', 2],
      ['db/xvda', 3],
    ]);
  });

  test('has a row for a disk whose source is not printable', async () => {
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/vg/a\tb', counters: { rd_req: 5 } });
    const set = (await xen.diskSet()).sample();
    expect(column(set, 'rdReq')).toEqual([1, 2, 5, 3]);
    expect(set.disks[2]?.source).toBe('/dev/vg/a\uFFFDb');
  });

  test('reads a disk that was detached and attached again, at the next sample', async () => {
    const set = (await xen.diskSet()).sample();
    await host.detachDisk(2, 'xvda');
    await host.attachDisk(2, { name: 'xvda', source: '/dev/vg/db', counters: { rd_req: 4 } });
    // the set has handled the earlier watch events when it has this disk
    await host.attachDisk(2, { name: 'xvdb', source: '/dev/vg/x' });
    while (!set.disks.some(({ name, domid }) => domid === 2 && name === 'xvdb')) await turn();
    await untilRead(set);
    const failures: number[] = [];
    for (let i = 0; i < 5; i++) failures.push(set.sample().errors.size);
    expect(failures).toEqual([0, 0, 0, 0, 0]);
    expect(column(set, 'rdReq')).toEqual([1, 2, 4, 0]);
  });

  test('keeps the row of a disk whose domain gets its UUID late', async () => {
    const vm = '/local/domain/2/vm';
    const uuid = 'dddddddd-0000-4000-8000-000000000002';
    await host.remove(vm);
    const set = (await xen.diskSet()).sample().sample();
    const disk = set.disks[2];
    expect(disk?.uuid).toBeUndefined();
    await host.write(vm, `/vm/${uuid}`);
    await host.attachDisk(2, { name: 'xvdb', source: '/dev/vg/x' });
    await untilDisks(set, 4);
    expect(set.disks[2]).toEqual({ ...disk, uuid });
    expect(set.rates()[2]).not.toBe(undefined);
  });

  test('replaces its array when the caller has transferred the buffer', async () => {
    const set = (await xen.diskSet()).sample();
    structuredClone(set.values, { transfer: [set.values.buffer as ArrayBuffer] });
    expect(set.values).toHaveLength(0);
    expect([...set].map(({ stats }) => stats)).toEqual([undefined, undefined, undefined]);
    expect(column(set.sample(), 'rdReq')).toEqual([1, 2, 3]);
    expect(set.rates()).toEqual([undefined, undefined, undefined]);

    structuredClone(set.values, { transfer: [set.values.buffer as ArrayBuffer] });
    await host.detachDisk(1, 'xvdb');
    await untilDisks(set, 2);
    expect(column(set.sample(), 'rdReq')).toEqual([1, 3]);
  });

  test('returns the rates of each disk, with the names of iostat', async () => {
    const set = (await xen.diskSet()).sample();
    expect(set.rates()).toEqual([undefined, undefined, undefined]);
    const start = set.timestamp;
    await host.setCounters(2, 'xvda', { rd_req: 7, rd_sect: 64, wr_req: 1, f_req: 2 });
    await host.setCounters(1, 'xvdb', { rd_req: 1 });
    const [idle, reset, busy] = set.sample().rates();
    const seconds = Number(set.timestamp - start) / 1e9;
    expect(busy).toEqual({
      reset: false,
      rPerSec: 4 / seconds,
      wPerSec: 1 / seconds,
      rkBPerSec: 32 / seconds,
      wkBPerSec: 0,
      rareqSz: 8,
      wareqSz: 0,
      rAwait: undefined,
      wAwait: undefined,
      fPerSec: 2 / seconds,
      dPerSec: 0,
      ooPerSec: 0,
    });
    expect(idle).toMatchObject({ reset: false, rPerSec: 0, rareqSz: 0 });
    // a counter decreased
    expect(reset).toMatchObject({ reset: true, rPerSec: 0, rkBPerSec: 0 });
  });

  test('is closed by xen.close()', async () => {
    const set = (await xen.diskSet()).sample();
    xen.close();
    expect(() => set.sample()).toThrow(expect.objectContaining({ code: 'ERR_XEN_CLOSED' }));
    await expect(xen.diskSet()).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    expect(set.disks).toHaveLength(3);
    expect(set.watching).toBe(false);
    set.close();
  });

  test('is closed at the end of its block by `using`', async () => {
    const set = await xen.diskSet();
    set[Symbol.dispose]();
    expect(() => set.sample()).toThrow(expect.objectContaining({ code: 'ERR_XEN_CLOSED' }));
  });

  test('is rejected with the error that its filter throws, or if its filter closes the connection', async () => {
    const error = new Error('filter');
    const filter = () => {
      throw error;
    };
    await expect(xen.diskSet({ filter })).rejects.toBe(error);
    const close = () => {
      xen.close();
      return true;
    };
    await expect(xen.diskSet({ filter: close })).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
  });

  test('refuses a filter that returns a promise', async () => {
    const filter = (() => Promise.resolve(false)) as unknown as () => boolean;
    await expect(xen.diskSet({ filter })).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
  });

  test('emits no more events after close() in a listener', async () => {
    const set = await xen.diskSet();
    const added: DiskInfo[] = [];
    set.on('add', (disk) => {
      added.push(disk);
      set.close();
    });
    const other = await xen.diskSet();
    await host.addGuest({
      name: 'mail',
      disks: [
        { name: 'xvda', source: '/dev/vg/m1' },
        { name: 'xvdb', source: '/dev/vg/m2' },
      ],
    });
    await untilDisks(other, 5);
    while (added.length === 0) await turn();
    expect(added).toHaveLength(1);
  });

  test.each<[DiskSetOptions, string]>([
    [{ filter: 'web1' as never }, 'ERR_INVALID_ARG_TYPE'],
    [{ bigint: 1 as never }, 'ERR_INVALID_ARG_TYPE'],
    [{ counters: 'rdReq' as never }, 'ERR_INVALID_ARG_TYPE'],
    [{ counters: [] }, 'ERR_INVALID_ARG_VALUE'],
    [{ counters: ['rdReq', 'rd_req' as never] }, 'ERR_INVALID_ARG_VALUE'],
  ])('refuses %p', async (options, code) => {
    await expect(xen.diskSet(options)).rejects.toMatchObject({ code });
    await expect(xen.diskSet(null as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
    });
  });

  test('of some counters has -1 in the columns of the others', async () => {
    const counters = ['rdReq', 'rdBytes', 'ooReq'] as const;
    const set = await xen.diskSet({ counters });
    set.sample();
    await host.setCounters(1, 'xvda', { rd_req: 11, rd_sect: 16, wr_req: 7, oo_req: 1 });
    const [stats] = [...set.sample()].map((it) => it.stats);
    expect(stats).toEqual({
      ...Object.fromEntries(set.columns.map((name) => [name, -1])),
      ...{ rdReq: 11, rdBytes: 8192, ooReq: 1 },
    });
    const [rates] = set.rates();
    expect(rates).toMatchObject({ wPerSec: -1, wkBPerSec: -1, fPerSec: -1, reset: false });
    expect(rates?.rPerSec).toBeGreaterThan(0);
    expect(rates?.rkBPerSec).toBeGreaterThan(0);
  });

  describe('with a descriptor budget', () => {
    let limited: Connection;

    const files = () => countOpenStatistics(host.connectOptions.sysfs);

    const connectLimited = (maxOpenFiles: number) => {
      limited = connect({ ...host.connectOptions, maxOpenFiles });
      return limited;
    };
    afterEach(() => {
      limited.close();
    });

    test.each([
      [100, 21],
      [23, 21],
      [22, 14],
      [16, 14],
      [15, 7],
      [9, 7],
      [8, 0],
      [0, 0],
    ])('of %i keeps %i files open, and reads the same counters', async (maxOpenFiles, held) => {
      const before = files();
      const set = await connectLimited(maxOpenFiles).diskSet();
      expect(files() - before).toBe(held);
      expect(column(set.sample(), 'rdReq')).toEqual([1, 2, 3]);
      expect([...set].map(({ stats }) => stats)).toEqual([
        xen.domain(1).disk('xvda').read(),
        xen.domain(1).disk('xvdb').read(),
        xen.domain(2).disk('xvda').read(),
      ]);
      // a removed plain file can be read while it is open, unlike one of sysfs
      rmSync(join(host.connectOptions.sysfs, 'bus/xen-backend/devices/vbd-1-51712/statistics'), {
        recursive: true,
      });
      expect(column(set.sample(), 'rdReq')).toEqual([held >= 7 ? 1 : -1, 2, 3]);
      await host.detachDisk(1, 'xvda');
      await untilDisks(set, 2);
      expect(column(set.sample(), 'rdReq')).toEqual([2, 3]);
    });

    test('opens the files of more disks when others are detached', async () => {
      const before = files();
      const set = await connectLimited(9).diskSet();
      expect(files() - before).toBe(7);
      await host.detachDisk(1, 'xvda');
      await untilDisks(set, 2);
      expect(column(set.sample(), 'rdReq')).toEqual([2, 3]);
      expect(files() - before).toBe(7);
    });

    test('reports why a disk beyond the budget cannot be held', async () => {
      const set = await connectLimited(9).diskSet();
      const devices = join(host.connectOptions.sysfs, 'bus/xen-backend/devices');
      overwriteCounter(join(devices, 'vbd-1-51712/statistics/rd_req'), 'rubbish');
      rmSync(join(devices, 'vbd-1-51728/statistics'), { recursive: true });
      const errors = [...set.sample().errors.values()];
      expect(errors.map(({ errno }) => errno)).toEqual([os.errno.EBADMSG, os.errno.ENOENT]);
    });

    test('keeps no files of unwanted disks open', async () => {
      const before = files();
      const set = await xen.diskSet({ filter: () => false });
      expect(files() - before).toBe(0);
      await host.attachDisk(1, { name: 'xvdc', source: '/dev/vg/other' });
      // a second set that has the disk shows that xenstored has sent its watch events
      const other = await connectLimited(0).diskSet();
      expect(other.disks).toHaveLength(4);
      while (files() > before) await turn();
      expect(set.disks).toHaveLength(0);
    });
  });
});

needing('xenstored').test(
  'a set has a row with an error for a disk whose directory in sysfs is missing',
  async () => {
    const host = await RealHost.start();
    await host.addGuest({ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] });
    const directory = join(host.connectOptions.sysfs, 'bus/xen-backend/devices/vbd-1-51712');
    rmSync(directory, { recursive: true });
    const xen = connect(host.connectOptions);
    const set = (await xen.diskSet()).sample();
    expect(set.errors.get(set.disks[0] as DiskInfo)).toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      errno: 2,
    });
    xen.close();
    await host.stop();
  },
);

test('a set holds unwanted disks open only while it scans sixteen domains', async () => {
  const host = await SimulatedHost.start();
  for (let domid = 1; domid <= 40; domid++) {
    const disks = [{ name: 'xvda', source: `/dev/${domid}` }];
    await host.addGuest({ name: `guest${domid}`, domid, disks });
  }
  const xen = connect({ ...host.connectOptions, timeoutMs: 60_000 });
  const files = () => countOpenStatistics(host.connectOptions.sysfs);
  let most = 0;
  const filter = ({ domid }: DiskInfo) => {
    if (domid % 8 === 0) most = Math.max(most, files());
    return false;
  };
  await xen.diskSet({ filter });
  expect(most).toBeLessThanOrEqual(16 * 7);
  expect(files()).toBe(0);
  xen.close();
  await host.stop();
});

test('a set removes the watch of a domain that has no more disks', async () => {
  const host = await SimulatedHost.start();
  await host.addGuest({ name: 'web1', domid: 1, disks: [{ name: 'xvda', source: '/dev/a' }] });
  await host.addGuest({ name: 'db', domid: 2, disks: [{ name: 'xvda', source: '/dev/b' }] });
  const proxy = await XenstoredProxy.start(host);
  const xen = connect(proxy.connectOptions);
  const set = await xen.diskSet();
  await proxy.requests();
  await host.removeGuest(2);
  const unwatched: string[] = [];
  while (unwatched.length === 0) {
    const requests = await proxy.requests();
    unwatched.push(...requests.filter(({ type }) => type === 'unwatch').map(({ path }) => path));
  }
  // a guest is removed in steps, and each can be scanned
  expect(new Set(unwatched)).toEqual(new Set(['/local/domain/2/name']));
  // it still watches the other domain
  await host.write('/local/domain/1/name', 'www');
  while (set.disks[0]?.domain !== 'www') await turn();
  xen.close();
  await proxy.stop();
  await host.stop();
});

needing('xenstored').describe('a set, when xenstored fails,', () => {
  const TIMEOUT_MS = 5000;
  let host: RealHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 1 } }],
    });
    xen = connect({ ...host.connectOptions, timeoutMs: TIMEOUT_MS });
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  test('keeps sampling known disks while xenstored is dead, and finds new ones after its restart', async () => {
    const set = await xen.diskSet();
    const events: unknown[] = [];
    set.on('watching', (watching) => events.push(watching, set.disks.length));
    await host.xenstored.kill();
    await until(() => !set.watching);
    expect(set.sample().errors.size).toBe(0);
    expect(set.values[0]).toBe(1);

    // the restarted xenstored has no nodes
    await host.xenstored.start();
    await until(() => set.watching);
    // the rows are current when the event is emitted
    expect(events).toEqual([false, 1, true, 0]);
    await host.addGuest({ name: 'db', domid: 7, disks: [{ name: 'xvda', source: '/dev/b' }] });
    while (set.disks.length === 0) await turn();
    expect(set.disks.map(label)).toEqual(['db/xvda']);
  });

  test('does not block, and misses no disk, while xenstored hangs', async () => {
    const set = await xen.diskSet();
    host.xenstored.signal('SIGSTOP');
    const change = host.attachDisk(1, { name: 'xvdb', source: '/dev/b' });
    const start = performance.now();
    for (let i = 0; i < 100; i++) {
      set.sample();
      await turn();
    }
    // a call that waited for xenstored would take as long as the timeout
    expect(performance.now() - start).toBeLessThan(TIMEOUT_MS);
    host.xenstored.signal('SIGCONT');
    await change;
    while (set.disks.length < 2) await turn();
  });

  test('detects within ten seconds that xenstored hangs, and then that it responds again', async () => {
    const set = await xen.diskSet();
    const events: boolean[] = [];
    set.on('watching', (watching) => events.push(watching));
    host.xenstored.signal('SIGSTOP');
    const start = performance.now();
    await until(() => !set.watching);
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(set.sample().errors.size).toBe(0);
    expect(events).toEqual([false]);
    host.xenstored.signal('SIGCONT');
    await until(() => set.watching);
    expect(events).toEqual([false, true]);
  }, 30_000);

  test('leaks no threads and descriptors when it is closed', async () => {
    const count = () => [
      readdirSync('/proc/self/task').length,
      readdirSync('/proc/self/fd').length,
    ];
    const before = count();
    const sets = await Promise.all(Array.from({ length: 20 }, () => xen.diskSet()));
    for (const it of sets) it.close();
    while (count().some((n, i) => n > (before[i] ?? 0))) await turn();
  });
});

describe('a process with a set', () => {
  let host: SimulatedHost;

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          disks: Array.from({ length: 10 }, (_, i) => ({
            name: diskName(51712 + 16 * i),
            source: `/dev/vg/${i}`,
            counters: { rd_req: i + 1 },
          })),
        },
      ],
    });
  });
  afterAll(async () => {
    await host.stop();
  });

  const start = (program: string, nodeOptions: string[] = [], prefix = 'exec') => {
    const script = `
      const xen = require('xen-block-stats').connect(${JSON.stringify(host.connectOptions)});
      (async () => { ${program} })();`;
    const args = ['-c', `${prefix} "$0" "$@"`, process.execPath, ...nodeOptions, '-e', script];
    const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.setEncoding('utf8');
    return child;
  };

  /** Runs a program, and returns its output. Expects exit status 0. */
  async function run(program: string, nodeOptions?: string[], prefix?: string): Promise<string> {
    const child = start(program, nodeOptions, prefix);
    let output = '';
    child.stdout.on('data', (text: string) => (output += text));
    expect(await once(child, 'close')).toEqual([0, null]);
    return output;
  }

  test('ends although the set is open, whatever the timeout of its connection', async () => {
    const own = JSON.stringify({ ...host.connectOptions, timeoutMs: 2 ** 31 - 1 });
    const program = `
      const own = require('xen-block-stats').connect(${own});
      (await own.diskSet()).sample();
      console.log('end');`;
    await expect(run(program)).resolves.toBe('end\n');
  });

  test('ends although ref() is called after close()', async () => {
    const program = `
      const set = (await xen.diskSet()).ref();
      set.close();
      set.ref().unref().ref();
      console.log('end');`;
    await expect(run(program)).resolves.toBe('end\n');
  });

  test('is kept alive by a set that it does not hold', async () => {
    const program = `
      await (async () => {
        const set = (await xen.diskSet()).ref();
        set.on('add', () => { console.log('added'); process.exit() });
      })();
      await new Promise((resolve) => setImmediate(resolve));
      for (let i = 0; i < 5; i++) gc();
      console.log('collected');`;
    const child = start(program, ['--expose-gc']);
    let output = '';
    child.stdout.on('data', (text: string) => (output += text));
    while (output !== 'collected\n') await turn();
    const ended = once(child, 'close');
    await host.attachDisk(1, { name: 'xvdz', source: '/dev/vg/z' });
    await ended;
    expect(output).toBe('collected\nadded\n');
    await host.detachDisk(1, 'xvdz');
  });

  test('is kept alive by ref() until unref()', async () => {
    const program = `
      const set = (await xen.diskSet()).ref();
      set.on('add', (disk) => { console.log(disk.name); set.unref(); });
      console.log('created');`;
    const child = start(program);
    let output = '';
    child.stdout.on('data', (text: string) => (output += text));
    while (output !== 'created\n') await turn();
    const ended = once(child, 'close');
    await host.attachDisk(1, { name: 'xvdz', source: '/dev/vg/z' });
    await expect(ended).resolves.toEqual([0, null]);
    expect(output).toBe('created\nxvdz\n');
    await host.detachDisk(1, 'xvdz');
  });

  test('leaks no descriptors and threads of unclosed sets and connections', async () => {
    const program = `
      const { readdirSync } = require('fs');
      const count = () => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length;
      const own = () => require('xen-block-stats').connect(${JSON.stringify(host.connectOptions)});
      (await own().diskSet()).close();
      const before = count();
      await (async () => { for (let i = 0; i < 5; i++) (await own().diskSet()).sample(); })();
      if (count() < before + 5 * 70) throw new Error('the sets have no open files');
      const again = () => { gc(); if (count() > before) setTimeout(again, 10); else console.log('closed'); };
      again();`;
    await expect(run(program, ['--expose-gc'])).resolves.toBe('closed\n');
  });

  test('leaks no descriptors and threads of unclosed sets of an open connection', async () => {
    const program = `
      const { readdirSync } = require('fs');
      const count = () => readdirSync('/proc/self/fd').length + readdirSync('/proc/self/task').length;
      (await xen.diskSet()).close();
      const before = count();
      await (async () => { for (let i = 0; i < 5; i++) (await xen.diskSet()).ref().unref().sample(); })();
      if (count() < before + 70) throw new Error('the sets have no open files');
      const again = () => { gc(); if (count() > before) setTimeout(again, 10); else { console.log('closed'); xen.close(); } };
      again();`;
    await expect(run(program, ['--expose-gc'])).resolves.toBe('closed\n');
  });

  test('grows its descriptor table on a thread before it is full', async () => {
    const program = `
      const { readFileSync } = require('fs');
      const size = () => Number(/FDSize:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
      let tries = 1000;
      const set = await xen.diskSet();
      const again = () => { if (size() < 512 && --tries > 0) setTimeout(again, 10); else console.log(size()); };
      again();`;
    // a forked process begins with a table of 64 or 256 entries; the kernel makes it 256 for 70 descriptors, and no more
    await expect(run(program, [], 'true | exec setpriv --pdeathsig KILL')).resolves.toBe('512\n');
  });

  test('reads all disks when the process has no free descriptors', async () => {
    // the set needs 70 descriptors; first a few are free, then none
    const program = `
      const fs = require('fs');
      const set = await xen.diskSet();
      const check = () => {
        for (const { stats, error } of set.sample()) if (error) throw error;
        return set.disks.map((_, i) => set.values[12 * i]).join();
      };
      const rows = [check()];
      const taken = [];
      try { for (;;) taken.push(fs.openSync('/dev/null')); } catch {}
      rows.push(check(), check());
      for (const fd of taken) fs.closeSync(fd);
      rows.push(check());
      console.log([...new Set(rows)].join(' '));`;
    await expect(run(program, [], 'ulimit -n 60 && exec')).resolves.toBe('1,2,3,4,5,6,7,8,9,10\n');
  });
});

describe('diskSet()', () => {
  let host: SimulatedHost;
  beforeEach(async () => {
    const disks = [{ name: 'xvda', source: '/dev/a' }];
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
  });
  afterEach(() => host.stop());

  test('does not time out because the event loop was blocked', async () => {
    const xen = connect({ ...host.connectOptions, timeoutMs: 300 });
    const set = xen.diskSet();
    // the first request has been sent
    await turn();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    expect((await set).disks.map(label)).toEqual(['web1/xvda']);
    xen.close();
  });

  test.each([0, 1, 5, 12])(
    'reconnects when the connection is lost after %i responses, once',
    async (skip) => {
      const proxy = await XenstoredProxy.start(host);
      const xen = connect(proxy.connectOptions);
      await proxy.hangUp({ skip, times: 1 });
      expect((await xen.diskSet()).disks.map(label)).toEqual(['web1/xvda']);
      await proxy.hangUp();
      await expect(xen.diskSet()).rejects.toMatchObject({ code: 'ERR_XENSTORE_IO' });
      xen.close();
      await proxy.stop();
    },
  );
});
