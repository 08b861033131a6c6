import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  backingRates,
  backingStatPath,
  countVbdsOfDevices,
  readPhysicalDevice,
  toBackingStats,
} from '../../lib/backends/backing-device';
import {
  BACKING_ROW_LENGTH,
  BackingColumn,
  loadNative,
  type BackingRow,
  type VbdPool as Pool,
} from '../../lib/native';
import { overwriteCounter } from '../support/counter-file';
import { evaluate } from '../support/program';

const { BackingDevice, Vbd, VbdPool, backingColumns, counterFiles } = loadNative();
const { EBADF, EBADMSG, EINVAL, ENODEV, ENOENT, EOVERFLOW } = constants.errno;

/** The descriptors that a pool keeps for itself. */
const RESERVE = 2;

/** Numbers 1 to 17, as wide as the kernel writes them. */
const LINE = Array.from({ length: 17 }, (_, i) => String(i + 1).padStart(8)).join(' ');
const firstNumbers = (count: number) => `${LINE.slice(0, 9 * count - 1)}\n`;

describe('with a temporary sysfs', () => {
  let sysfs: string;
  let path: string;

  beforeEach(() => {
    sysfs = mkdtempSync(join(tmpdir(), 'backing-device-'));
    path = backingStatPath(sysfs, '254:0');
    writeStat(`${LINE}\n`);
  });
  afterEach(() => {
    rmSync(sysfs, { recursive: true });
  });

  function writeStat(text: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  function writePhysicalDevice(vbd: string, text: string): void {
    const directory = join(sysfs, 'bus/xen-backend/devices', vbd);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'physical_device'), text);
  }

  /** Creates a pool that can hold this many files. */
  const createPool = (files = 10) =>
    new VbdPool(join(sysfs, 'bus/xen-backend/devices'), '/nonexistent', files + RESERVE);

  const newRow = () => new Float64Array(BACKING_ROW_LENGTH).fill(NaN);

  /** Returns the number of descriptors that are open on files of the temporary sysfs. */
  function countOpenFiles(): number {
    return readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(sysfs);
      } catch {
        return false; // the descriptor of /proc/self/fd itself
      }
    }).length;
  }

  describe('BackingDevice', () => {
    test('has the columns of the addon, in its order', () => {
      expect(Object.keys(BackingColumn)).toEqual(backingColumns);
      expect(Object.values(BackingColumn)).toEqual([...backingColumns.keys()]);
    });

    test.each([
      ['Linux 5.5 and later', 17, [16, 17]],
      ['Linux 4.18 to 5.4', 15, [-1, -1]],
      ['Linux before 4.18', 11, [-1, -1]],
    ])('reads a line of %s, with %i numbers', (_, count, flushes) => {
      writeStat(firstNumbers(count));
      const row = newRow();
      expect(new BackingDevice(createPool(), path).read(row, 0)).toBe(0);
      expect([...row]).toEqual([1, 4, 5, 8, ...flushes, 9, 10, 11]);
      expect(toBackingStats('254:0', false, row as BackingRow & Float64Array)).toEqual({
        device: '254:0',
        shared: false,
        rdIos: 1,
        rdTimeMs: 4,
        wrIos: 5,
        wrTimeMs: 8,
        flIos: flushes[0],
        flTimeMs: flushes[1],
        inFlight: 9,
        ioTimeMs: 10,
        queueTimeMs: 11,
      });
    });

    test.each([
      ['more numbers than this kernel', `${LINE} 18 19\n`],
      ['what follows the numbers', `${LINE} x\n`],
      ['further lines', `${LINE}\nx\n`],
      ['a missing newline', LINE],
    ])('ignores %s', (_, text) => {
      writeStat(text);
      const row = newRow();
      expect(new BackingDevice(createPool(), path).read(row, 0)).toBe(0);
      expect([...row]).toEqual([1, 4, 5, 8, 16, 17, 9, 10, 11]);
    });

    test('reads numbers of any width', () => {
      writeStat(`9007199254740991 ${'0 '.repeat(10)}\n`);
      const row = newRow();
      expect(new BackingDevice(createPool(), path).read(row, 0)).toBe(0);
      expect(row[BackingColumn.rdIos]).toBe(Number.MAX_SAFE_INTEGER);
    });

    test.each([
      ['an empty file', '', EBADMSG],
      ['an empty line', '\n', EBADMSG],
      ['too few numbers', firstNumbers(10), EBADMSG],
      ['numbers on the next line', `${firstNumbers(10)} 11\n`, EBADMSG],
      ['a word', `${firstNumbers(5).trimEnd()} six ${firstNumbers(11)}`, EBADMSG],
      ['a negative number', `${firstNumbers(10).trimEnd()} -1\n`, EBADMSG],
      ['a tabulator', `${firstNumbers(10).trimEnd()}\t11\n`, EBADMSG],
      ['a NUL', `\0${LINE}\n`, EBADMSG],
      ['binary data', '\xff'.repeat(5000), EBADMSG],
      ['blanks', ' '.repeat(5000), EBADMSG],
      ['a number of 2^63', `9223372036854775808 ${LINE}\n`, EOVERFLOW],
    ])('refuses %s, and writes nothing', (_, text, errno) => {
      writeStat(text);
      const row = newRow();
      const device = new BackingDevice(createPool(), path);
      expect(device.read(row, 0)).toBe(errno);
      expect(row).toEqual(newRow());
      writeStat(`${LINE}\n`);
      expect(device.read(row, 0)).toBe(errno);
      expect(countOpenFiles()).toBe(0);
    });

    test('writes the row at the offset, and no other number', () => {
      const array = new Float64Array(BACKING_ROW_LENGTH + 3).fill(NaN);
      expect(new BackingDevice(createPool(), path).read(array, 2)).toBe(0);
      expect([...array]).toEqual([NaN, NaN, 1, 4, 5, 8, 16, 17, 9, 10, 11, NaN]);
    });

    test.each<[string, unknown, number]>([
      ['too short', new Float64Array(BACKING_ROW_LENGTH - 1), 0],
      ['too short behind the offset', new Float64Array(BACKING_ROW_LENGTH + 1), 2],
      ['too short for the largest offset', new Float64Array(BACKING_ROW_LENGTH), 2 ** 32 - 1],
      ['of another type', new BigInt64Array(BACKING_ROW_LENGTH), 0],
    ])('refuses an array that is %s, and reads another one then', (_, array, offset) => {
      const device = new BackingDevice(createPool(), path);
      expect(device.read(array as Float64Array, offset)).toBe(EINVAL);
      expect(device.read(newRow(), 0)).toBe(0);
    });

    test.each([
      ['holds', 1, 1],
      ['does not hold', 0, 0],
    ])('that %s its file reads new numbers, and fails after close', (_, budget, held) => {
      const device = new BackingDevice(createPool(budget), path);
      const row = newRow();
      expect(countOpenFiles()).toBe(0);
      expect(device.read(row, 0)).toBe(0);
      expect(countOpenFiles()).toBe(held);
      overwriteCounter(path, `${'7 '.repeat(17)}\n`);
      expect(device.read(row, 0)).toBe(0);
      expect(new Set(row)).toEqual(new Set([7]));
      device.close();
      device.close();
      expect(countOpenFiles()).toBe(0);
      expect(device.read(row, 0)).toBe(EBADF);
    });

    test('of a number that no device has is ENOENT, also when a device gets it later', () => {
      const other = backingStatPath(sysfs, '7:1');
      const device = new BackingDevice(createPool(), other);
      expect(device.read(newRow(), 0)).toBe(ENOENT);
      mkdirSync(dirname(other));
      writeFileSync(other, `${LINE}\n`);
      expect(device.read(newRow(), 0)).toBe(ENOENT);
      expect(new BackingDevice(createPool(), other).read(newRow(), 0)).toBe(0);
    });

    test('that does not hold its file fails for good when the device is removed', () => {
      const device = new BackingDevice(createPool(0), path);
      expect(device.read(newRow(), 0)).toBe(0);
      renameSync(dirname(path), join(sysfs, 'removed'));
      expect(device.read(newRow(), 0)).toBe(ENOENT);
      renameSync(join(sysfs, 'removed'), dirname(path));
      expect(device.read(newRow(), 0)).toBe(ENOENT);
    });

    test('that does not hold its file refuses another device of the same number', () => {
      const device = new BackingDevice(createPool(0), path);
      expect(device.read(newRow(), 0)).toBe(0);
      rmSync(path);
      writeStat(`${LINE}\n`);
      expect(device.read(newRow(), 0)).toBe(ENODEV);
    });

    describe('and the descriptor budget', () => {
      let pool: Pool;
      let vbd: InstanceType<typeof Vbd>;

      beforeEach(() => {
        const statistics = join(sysfs, 'bus/xen-backend/devices/vbd-1-51712/statistics');
        mkdirSync(statistics, { recursive: true });
        for (const file of counterFiles) writeFileSync(join(statistics, file), '1\n');
        pool = createPool(counterFiles.length);
        vbd = new Vbd(pool, 1, 51712, 0);
      });

      test('holds its file when a closed vbd makes room', () => {
        expect(vbd.open()).toBe(0);
        const device = new BackingDevice(pool, path);
        expect(device.read(newRow(), 0)).toBe(0);
        expect(countOpenFiles()).toBe(counterFiles.length);
        vbd.close();
        expect(countOpenFiles()).toBe(0);
        expect(device.read(newRow(), 0)).toBe(0);
        expect(countOpenFiles()).toBe(1);
      });

      test('counts until it is closed: a vbd has no room beside it', () => {
        const device = new BackingDevice(pool, path);
        expect(device.read(newRow(), 0)).toBe(0);
        const row = new Float64Array(12);
        expect(vbd.open()).toBe(0);
        expect(vbd.read(row, 1, 0)).toBe(0);
        expect(countOpenFiles()).toBe(1);
        device.close();
        expect(vbd.read(row, 1, 0)).toBe(0);
        expect(countOpenFiles()).toBe(counterFiles.length);
      });

      test('gives the room of a failed device back', () => {
        const device = new BackingDevice(pool, path);
        expect(device.read(newRow(), 0)).toBe(0);
        overwriteCounter(path, 'rubbish\n');
        expect(device.read(newRow(), 0)).toBe(EBADMSG);
        expect(vbd.open()).toBe(0);
        expect(countOpenFiles()).toBe(counterFiles.length);
      });
    });

    test.each([0, 10])(
      'is read while the process has no free descriptor, with a budget of %i',
      async (budget) => {
        const result = await evaluate(
          `const fs = require('node:fs');
           const { VbdPool, BackingDevice } = require('node-gyp-build')(process.cwd());
           const pool = new VbdPool('/nonexistent', '/nonexistent', budget);
           const device = new BackingDevice(pool, path);
           // UndefinedBehaviorSanitizer needs a descriptor when a method is first called
           new BackingDevice(pool, path).close();
           const row = new Float64Array(9);
           const own = [];
           try { for (;;) own.push(fs.openSync('/dev/null')); } catch { }
           const during = [device.read(row, 0), device.read(row, 0)];
           own.forEach((fd) => fs.closeSync(fd));
           console.log(JSON.stringify([...during, device.read(row, 0), row[8]]));`,
          { path, budget },
          { under: ['prlimit', '--nofile=64:64'] },
        );
        expect(result).toEqual([0, 0, 0, 11]);
      },
    );
  });

  describe('readPhysicalDevice', () => {
    test.each([
      ['fe:0\n', '254:0'],
      ['7:0', '7:0'],
      ['7:1f\n', '7:31'],
      ['103:10\n', '259:16'],
      ['fff:fffff\n', '4095:1048575'],
    ])('converts the hexadecimal %j', (text, device) => {
      writePhysicalDevice('vbd-1-51712', text);
      expect(readPhysicalDevice(sysfs, 1, 51712)).toBe(device);
    });

    test.each([
      [''],
      ['\n'],
      ['0:0\n'],
      ['fe\n'],
      ['fe:\n'],
      [':0\n'],
      ['fe:0:1\n'],
      ['FE:0\n'],
      ['0xfe:0\n'],
      ['fe:00\n'],
      ['0fe:0\n'],
      ['fg:0\n'],
      [' fe:0\n'],
      ['fe:0 \n'],
      ['fe:0\n\n'],
      ['-1:0\n'],
      ['1000:0\n'],
      ['fe:100000\n'],
      ['../..:0\n'],
    ])('refuses %j', (text) => {
      writePhysicalDevice('vbd-1-51712', text);
      expect(readPhysicalDevice(sysfs, 1, 51712)).toBeUndefined();
    });

    test('returns undefined for a vbd that does not exist', () => {
      expect(readPhysicalDevice(sysfs, 1, 51712)).toBeUndefined();
    });
  });

  describe('countVbdsOfDevices', () => {
    test('counts the vbds of each device', () => {
      writePhysicalDevice('vbd-1-51712', 'fe:0\n');
      writePhysicalDevice('vbd-1-51728', '7:10\n');
      writePhysicalDevice('vbd-12-51712', 'fe:0\n');
      expect(countVbdsOfDevices(sysfs)).toEqual(
        new Map([
          ['254:0', 2],
          ['7:16', 1],
        ]),
      );
    });

    test('ignores vbds without a device, and what is no vbd', () => {
      writePhysicalDevice('vbd-1-51712', '');
      writePhysicalDevice('vbd3-1-51728', 'fe:0\n');
      writePhysicalDevice('vif-1-0', 'fe:0\n');
      mkdirSync(join(sysfs, 'bus/xen-backend/devices/vbd-2-51712'));
      expect(countVbdsOfDevices(sysfs)).toEqual(new Map());
    });

    test('counts none without blkback', () => {
      expect(countVbdsOfDevices('/nonexistent')).toEqual(new Map());
    });
  });
});

describe('backingRates', () => {
  const ROW = {
    rdIos: 100,
    rdTimeMs: 1000,
    wrIos: 50,
    wrTimeMs: 2000,
    flIos: 5,
    flTimeMs: 500,
    inFlight: 3,
    ioTimeMs: 700,
    queueTimeMs: 4000,
  };
  type Numbers = Partial<Record<keyof typeof BackingColumn, number>>;

  /** Returns a row of these numbers, and of those of {@link ROW}. */
  const row = (numbers: Numbers = {}) =>
    Float64Array.from(Object.values({ ...ROW, ...numbers })) as BackingRow & Float64Array;

  const IDLE = { rAwait: undefined, wAwait: undefined, fAwait: undefined, aquSz: 0, util: 0 };

  test('are those of iostat', () => {
    const after = row({
      rdIos: 104,
      rdTimeMs: 1010,
      wrIos: 70,
      wrTimeMs: 2005,
      flIos: 7,
      flTimeMs: 508,
      ioTimeMs: 715,
      queueTimeMs: 4023,
    });
    const rates = backingRates(row(), after, 2);
    expect(rates).toMatchObject({ rAwait: 2.5, wAwait: 0.25, fAwait: 4, aquSz: 0.0115 });
    expect(rates?.util).toBeCloseTo(0.75);
  });

  test('have no latencies without requests', () => {
    expect(backingRates(row(), row({ inFlight: 0 }), 1)).toEqual(IDLE);
  });

  test('have no latency of flushes on a kernel that does not count them', () => {
    const without = { flIos: -1, flTimeMs: -1 };
    const after = row({ ...without, wrIos: 60, wrTimeMs: 2010 });
    expect(backingRates(row(without), after, 1)).toMatchObject({ wAwait: 1, fAwait: undefined });
  });

  test('have a utilization of at most 100', () => {
    expect(backingRates(row(), row({ ioTimeMs: 1710 }), 1)?.util).toBe(100);
  });

  test.each(Object.keys(ROW).filter((column) => column !== 'inFlight'))(
    'are undefined if %s decreased',
    (column) => {
      const less = row({ [column]: ROW[column as keyof typeof ROW] - 1 });
      expect(backingRates(row(), less, 1)).toBeUndefined();
    },
  );

  test('continue when the kernel’s 32 bits of milliseconds overflow', () => {
    const before = row({ rdTimeMs: 2 ** 32 - 10, queueTimeMs: 2 ** 32 - 1, ioTimeMs: 2 ** 32 - 5 });
    const after = row({ rdIos: 110, rdTimeMs: 90, queueTimeMs: 999, ioTimeMs: 495 });
    const rates = backingRates(before, after, 1);
    expect(rates).toMatchObject({ rAwait: 10, aquSz: 1 });
    expect(rates?.util).toBeCloseTo(50);
  });
});
