import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';

/*
 * The backing devices of disks, in files as the kernel has them. test/integration/backing-device.test.ts has
 * the kernel's own.
 */

describe('the backing device of a disk', () => {
  let host: SimulatedHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          disks: [
            { name: 'xvda', source: '/dev/a' },
            { name: 'xvdb', source: '/dev/b' },
            { name: 'xvdc', source: '/dev/c' },
            { name: 'xvdd', source: '/srv/d.vhd', kind: 'vbd3', format: 'vhd' },
          ],
        },
      ],
    });
    setDevice(51712, 'fe:0');
    setDevice(51728, '7:10');
    setStat('254:0', [10, 0, 80, 40, 5, 0, 8, 20, 1, 30, 61, 0, 0, 0, 0, 2, 6]);
    setStat('7:16', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    xen = connect(host.connectOptions);
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  function setDevice(devid: number, number: string): void {
    const devices = join(host.connectOptions.sysfs, 'bus/xen-backend/devices');
    writeFileSync(join(devices, `vbd-1-${devid}`, 'physical_device'), `${number}\n`);
  }

  /** Sets the line of a block device, whose length must not shrink. */
  function setStat(number: string, numbers: readonly number[]): void {
    const directory = join(host.connectOptions.sysfs, 'dev/block', number);
    mkdirSync(directory, { recursive: true });
    const line = numbers.map((it) => String(it).padStart(8)).join(' ');
    writeFileSync(join(directory, 'stat'), `${line}\n`);
  }

  describe('disk.backing()', () => {
    test('has the numbers of its line, and tells whether another disk has the device', () => {
      const web = xen.domain('web1');
      expect(web.disk('xvda').backing()).toEqual({
        ...{ device: '254:0', shared: false, inFlight: 1, ioTimeMs: 30, queueTimeMs: 61 },
        ...{ rdIos: 10, rdTimeMs: 40, wrIos: 5, wrTimeMs: 20, flIos: 2, flTimeMs: 6 },
      });
      // a kernel before 5.5
      expect(web.disk('xvdb').backing()).toMatchObject({ device: '7:16', flIos: -1, flTimeMs: -1 });
      setDevice(51744, 'fe:0');
      expect(web.disk('xvdc').backing()).toMatchObject({ device: '254:0', shared: true });
    });

    test('is undefined without a device, and for a disk that blkback does not serve', () => {
      const web = xen.domain('web1');
      const xvdc = web.disk('xvdc');
      expect(xvdc.backing()).toBeUndefined();
      setDevice(51744, 'fe:0');
      expect(xvdc.backing()).toMatchObject({ device: '254:0' });
      expect(web.disk('xvdd').backing()).toBeUndefined();
    });

    test('fails when the disk is closed, or gone', async () => {
      const [xvda, xvdb] = ['xvda', 'xvdb'].map((name) => xen.domain('web1').disk(name));
      xvda?.backing();
      xvda?.close();
      expect(() => xvda?.backing()).toThrow(expect.objectContaining({ code: 'ERR_XEN_CLOSED' }));
      await host.detachDisk(1, 'xvdb');
      expect(() => xvdb?.backing()).toThrow(
        expect.objectContaining({ code: 'ERR_XEN_INVALID_DISK' }),
      );
    });
  });

  describe('a set with backing', () => {
    test('has the rates of each device, by the formulas of iostat', async () => {
      const set = await xen.diskSet({ backing: true });
      set.sample();
      setStat('254:0', [14, 0, 80, 50, 7, 0, 8, 30, 0, 40, 91, 0, 0, 0, 0, 3, 10]);
      const before = set.timestamp;
      const [xvda, xvdb, xvdc, xvdd] = set.sample().rates();
      const milliseconds = Number(set.timestamp - before) / 1e6;
      expect(xvda?.backing).toMatchObject({ rAwait: 2.5, wAwait: 5, fAwait: 4 });
      expect(xvda?.backing?.aquSz).toBeCloseTo(30 / milliseconds);
      expect(xvda?.backing?.util).toBeCloseTo(Math.min(100, 1000 / milliseconds));
      // blkback itself knows no times
      expect([xvda?.rAwait, xvda?.wAwait]).toEqual([undefined, undefined]);
      expect(xvdb?.backing).toEqual({
        ...{ rAwait: undefined, wAwait: undefined, fAwait: undefined, aquSz: 0, util: 0 },
      });
      expect([xvdc?.backing, xvdd?.backing]).toEqual([undefined, undefined]);
      set.close();
      expect(set.rates()[0]?.backing).toMatchObject({ rAwait: 2.5 });
    });

    test('reads a device of two disks once, and follows disks that come and go', async () => {
      setDevice(51728, 'fe:0');
      const set = await xen.diskSet({ backing: true, kinds: ['vbd'] });
      set.sample();
      setStat('254:0', [20, 0, 80, 60, 5, 0, 8, 20, 1, 30, 61, 0, 0, 0, 0, 2, 6]);
      const waits = () =>
        set
          .sample()
          .rates()
          .map((rates) => rates?.backing?.rAwait);
      expect(waits()).toEqual([2, 2, undefined]);
      await host.detachDisk(1, 'xvda');
      while (set.disks.length > 2) await new Promise(setImmediate);
      setStat('254:0', [21, 0, 80, 63, 5, 0, 8, 20, 1, 30, 61, 0, 0, 0, 0, 2, 6]);
      expect(waits()).toEqual([3, undefined]);
    });

    test('follows a disk that was attached again with another device, seen in one scan', async () => {
      const names = ['xvda', 'xvde'];
      const set = await xen.diskSet({ backing: true, filter: ({ name }) => names.includes(name) });
      set.sample();
      const removed: unknown[] = [];
      set.on('remove', (disk) => removed.push(disk));
      await host.faults.hold();
      await host.detachDisk(1, 'xvda');
      await host.attachDisk(1, { name: 'xvda', source: '/dev/a', counters: { rd_req: 7 } });
      setDevice(51712, '7:10');
      await host.attachDisk(1, { name: 'xvde', source: '/dev/e' });
      await host.faults.clear();
      while (set.disks.length < 2) await new Promise(setImmediate);
      expect(removed).toEqual([]);
      expect(set.sample().values[0]).toBe(7);
      setStat('254:0', [99, 0, 99, 99, 5, 0, 8, 20, 1, 30, 61, 0, 0, 0, 0, 2, 6]);
      setStat('7:16', [1, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
      expect(set.sample().rates()[0]?.backing?.rAwait).toBe(5);
    });

    test('is without it by default', async () => {
      const set = await xen.diskSet();
      expect(set.sample().sample().rates()[0]).not.toHaveProperty('backing');
    });

    test('holds one more file for each device', async () => {
      const limited = connect({ ...host.connectOptions, maxOpenFiles: 2 });
      const set = await limited.diskSet({ backing: true });
      set.sample();
      setStat('254:0', [20, 0, 80, 60, 5, 0, 8, 20, 1, 30, 61, 0, 0, 0, 0, 2, 6]);
      expect(set.sample().rates()[0]?.backing?.rAwait).toBe(2);
      limited.close();
    });
  });
});
