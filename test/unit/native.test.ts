import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  ALL_COUNTERS,
  Column,
  Counter,
  ROW_LENGTH,
  decodeFailure,
  loadNative,
} from '../../lib/native';

/*
 * lib/native.ts repeats the order of binding/vbd_statistics.h, because lib/ must load where the addon
 * does not.
 */

const { Vbd, VbdPool, columns, counterFiles } = loadNative();
const counters = Object.entries(Counter);

describe('Column', () => {
  test('has the order of the addon', () => {
    expect(Object.keys(Column)).toEqual(columns);
    expect(Object.values(Column)).toEqual([...columns.keys()]);
  });
});

describe('Counter', () => {
  const devices = mkdtempSync(join(tmpdir(), 'native-'));
  const statistics = join(devices, 'vbd-1-51712/statistics');

  beforeAll(() => {
    mkdirSync(statistics, { recursive: true });
    for (const [i, file] of counterFiles.entries()) {
      writeFileSync(join(statistics, file), `${i}\n`);
    }
  });
  afterAll(() => {
    rmSync(devices, { recursive: true });
  });

  test('has a bit for each file of the addon', () => {
    expect(Object.values(Counter)).toEqual(counterFiles.map((_, i) => 1 << i));
    expect(ALL_COUNTERS).toBe((1 << counterFiles.length) - 1);
  });

  test.each(counters)('%s selects the file and the columns of its name', (name, counter) => {
    const vbd = new Vbd(new VbdPool(devices, '/nonexistent', 100), 1, 51712, 0);
    const row = new Float64Array(ROW_LENGTH).fill(NaN);
    expect(vbd.open()).toBe(0);
    expect(vbd.read(row, counter, 0)).toBe(0);
    vbd.close();

    const value = counterFiles.findIndex((_, i) => counter === 1 << i);
    const expected = new Float64Array(ROW_LENGTH).fill(NaN);
    expected[Column[name as keyof typeof Counter]] = value;
    // blkback has no such counters
    for (const column of [Column.rdTimeNs, Column.wrTimeNs, Column.ioErrors]) expected[column] = -1;
    if (name === 'rdSectors') expected[Column.rdBytes] = 512 * value;
    if (name === 'wrSectors') expected[Column.wrBytes] = 512 * value;
    expect(row).toEqual(expected);
  });
});

describe('decodeFailure', () => {
  const { ENODEV, ENOENT } = constants.errno;

  test('gives the errno and the file of a counter', () => {
    for (const [i, file] of counterFiles.entries()) {
      expect(decodeFailure((i << 16) | ENODEV)).toEqual({ errno: ENODEV, file });
    }
  });

  test('gives no file for the directory', () => {
    const vbd = new Vbd(new VbdPool('/nonexistent', '/nonexistent', 100), 1, 51712, 0);
    expect(decodeFailure(vbd.open())).toEqual({ errno: ENOENT, file: undefined });
  });
});
