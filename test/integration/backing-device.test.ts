import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  backingRates,
  backingStatPath,
  readPhysicalDevice,
  toBackingStats,
} from '../../lib/backends/backing-device';
import {
  BACKING_ROW_LENGTH,
  loadNative,
  type BackingDevice as Device,
  type BackingRow,
} from '../../lib/native';
import { LoopDevice, ZramDevice } from '../support/block-devices';
import { needing } from '../support/needs';

const { BackingDevice, VbdPool } = loadNative();
const { ENODEV, ENOENT } = constants.errno;

const newRow = () => new Float64Array(BACKING_ROW_LENGTH) as Float64Array & BackingRow;
const createPool = (maxOpenFiles = 100) =>
  new VbdPool('/nonexistent', '/nonexistent', maxOpenFiles);

needing('CAP_SYS_ADMIN', 'loop').describe('the statistics of a real loop device', () => {
  const sysfs = mkdtempSync(join(tmpdir(), 'backing-device-'));
  let loop: LoopDevice;
  let device: Device;
  let number: string;

  /** Reads the statistics. */
  function read() {
    const row = newRow();
    expect(device.read(row, 0)).toBe(0);
    return { row, stats: toBackingStats(number, false, row), at: process.hrtime.bigint() };
  }

  /** Reads the statistics before and after I/O. */
  async function during(run: () => void) {
    await loop.settle();
    const before = read();
    run();
    const after = read();
    const seconds = Number(after.at - before.at) / 1e9;
    return {
      before: before.stats,
      after: after.stats,
      seconds,
      rates: backingRates(before.row, after.row, seconds),
    };
  }

  beforeAll(() => {
    loop = new LoopDevice(join(sysfs, 'image'), 16 << 20);
    // a vbd on the device, in a sysfs whose block devices are the kernel's
    const vbd = join(sysfs, 'bus/xen-backend/devices/vbd-1-51712');
    mkdirSync(vbd, { recursive: true });
    mkdirSync(join(sysfs, 'dev'));
    symlinkSync('/sys/dev/block', join(sysfs, 'dev/block'));
    const hexadecimal = loop.number.split(':').map((it) => Number(it).toString(16));
    writeFileSync(join(vbd, 'physical_device'), `${hexadecimal.join(':')}\n`);

    number = readPhysicalDevice(sysfs, 1, 51712) ?? 'none';
    device = new BackingDevice(createPool(), backingStatPath(sysfs, number));
  });
  afterAll(() => {
    device.close();
    loop.remove();
    rmSync(sysfs, { recursive: true });
  });

  test('are those of the device that physical_device names', () => {
    expect(number).toBe(loop.number);
  });

  test('are the numbers in the kernel’s file', async () => {
    loop.dd(`if=${loop.path}`, 'of=/dev/null', 'bs=64k', 'count=10', 'iflag=direct');
    await loop.settle();
    const [rdIos, , , rdTimeMs, wrIos, , , wrTimeMs, inFlight, ioTimeMs, queueTimeMs, ...others] =
      loop.statistics();
    const [, , , , flIos = -1, flTimeMs = -1] = others;
    expect(rdIos).toBeGreaterThanOrEqual(10);
    expect(read().stats).toEqual({
      device: loop.number,
      shared: false,
      rdIos,
      rdTimeMs,
      wrIos,
      wrTimeMs,
      flIos,
      flTimeMs,
      inFlight,
      ioTimeMs,
      queueTimeMs,
    });
  });

  test('count 37 reads of 4 KiB', async () => {
    const { before, after, rates } = await during(() => {
      loop.dd(`if=${loop.path}`, 'of=/dev/null', 'bs=4k', 'count=37', 'iflag=direct');
    });
    expect(after).toMatchObject({
      rdIos: before.rdIos + 37,
      wrIos: before.wrIos,
      flIos: before.flIos,
      inFlight: 0,
    });
    expect(rates).toMatchObject({ wAwait: undefined, fAwait: undefined });
  });

  test('count 8 writes and a flush, which is a write, too', async () => {
    const { before, after, rates } = await during(() => {
      const flags = ['oflag=direct', 'conv=fsync,notrunc'];
      loop.dd('if=/dev/zero', `of=${loop.path}`, 'bs=4k', 'count=8', ...flags);
    });
    expect(after.wrIos - before.wrIos).toBe(9);
    if (before.flIos >= 0) expect(after.flIos - before.flIos).toBe(1);
    expect(rates?.wAwait).toBeGreaterThanOrEqual(0);
  });

  test('give latencies and a load that agree with the time that reads took', async () => {
    const { rates, seconds } = await during(() => {
      loop.dd(`if=${loop.path}`, 'of=/dev/null', 'bs=4k', 'count=4096', 'iflag=direct');
    });
    const { rAwait = NaN, aquSz = NaN, util = NaN } = rates ?? {};
    // dd reads one block after the other
    expect(rAwait).toBeGreaterThan(0);
    expect(rAwait).toBeLessThanOrEqual((1000 * seconds) / 4096);
    expect(aquSz).toBeCloseTo((rAwait * 4096) / 1000 / seconds, 1);
    expect(util).toBeGreaterThan(0);
  });
});

needing('CAP_SYS_ADMIN', 'zram').describe('the statistics of a removed block device', () => {
  test.each([
    ['held', 100],
    ['not held', 0],
  ])('are ENODEV while the file is %s, also when another device has its number', (_, limit) => {
    const first = new ZramDevice();
    const path = `/sys/dev/block/${first.number}/stat`;
    const device = new BackingDevice(createPool(limit), path);
    const errnos = [device.read(newRow(), 0)];
    first.remove();
    const second = new ZramDevice();
    errnos.push(device.read(newRow(), 0), device.read(newRow(), 0));
    errnos.push(new BackingDevice(createPool(limit), path).read(newRow(), 0));
    second.remove();
    errnos.push(new BackingDevice(createPool(limit), path).read(newRow(), 0));
    expect(second.number).toBe(first.number);
    expect(errnos).toEqual([0, ENODEV, ENODEV, 0, ENOENT]);
  });
});
