import type { Column, Quantity } from '../../../lib/cli/rates/figures';
import {
  figureWidth,
  formatFigure,
  formatFixed,
  formatSize,
  headingOf,
  type Unit,
} from '../../../lib/cli/rates/units';

const column = (quantity: Quantity, heading = ''): Column => ({ heading, quantity, of: () => 0 });
const GB = 1024 ** 2;

describe('a figure', () => {
  test.each<[number, Quantity, Unit, string]>([
    [-1, 'throughput', 'human', '-'],
    [0, 'throughput', 'kB', '0.00'],
    [99.994, 'throughput', 'kB', '99.99'],
    [99.996, 'throughput', 'kB', '100.0'],
    [9999.94, 'throughput', 'kB', '9999.9'],
    [9999.96, 'throughput', 'kB', '10000'],
    [999999.4, 'throughput', 'kB', '999999'],
    [999999.6, 'throughput', 'kB', '977 MB/s'],
    [19.08 * GB, 'throughput', 'kB', '19.1 GB/s'],
    [19.08 * GB, 'throughput', 'MB', '19538'],
    [2 ** 53, 'throughput', 'MB', '8.00 EB/s'],
    [0.25, 'throughput', 'human', '256 B/s'],
    [849, 'throughput', 'human', '849 kB/s'],
    [999.6, 'throughput', 'human', '0.98 MB/s'],
    [19.08 * GB, 'throughput', 'human', '19.1 GB/s'],
    [16, 'size', 'MB', '16.00'],
    [1.5 * GB, 'size', 'kB', '1.50 GB'],
    [4, 'size', 'human', '4.00 kB'],
    [999999.4, 'count', 'human', '999999'],
    [1234567.8, 'count', 'kB', '1.23M'],
    [999949999, 'count', 'kB', '1.00G'],
    [2 ** 63, 'count', 'kB', '9.22E'],
  ])('%d of %s in %s is shown as %s', (value, quantity, unit, text) => {
    expect(formatFigure(value, column(quantity), unit)).toBe(text);
    expect(text.length).toBeLessThanOrEqual(figureWidth(quantity));
  });

  test.each<[number, Quantity, Unit, string]>([
    [-1, 'count', 'kB', '-'],
    [19.08 * GB, 'throughput', 'kB', '20006830.08'],
    [19.08 * GB, 'throughput', 'MB', '19537.92'],
    [19.08 * GB, 'throughput', 'human', '19.1 GB/s'],
    [1234567.8, 'count', 'human', '1234567.80'],
  ])('%d of %s in %s is printed as %s', (value, quantity, unit, text) => {
    expect(formatFixed(value, column(quantity), unit)).toBe(text);
  });

  test('of throughput has a heading with its unit', () => {
    const headings = (unit: Unit) =>
      [column('throughput', 'rkB/s'), column('count', 'r/s')].map((it) => headingOf(it, unit));
    expect(headings('kB')).toEqual(['rkB/s', 'r/s']);
    expect(headings('MB')).toEqual(['rMB/s', 'r/s']);
    expect(headings('human')).toEqual(['rB/s', 'r/s']);
  });
});

test.each([
  [0, '0.00B'],
  [512, '512B'],
  [1024, '1.00K'],
  [100 * 1024 ** 3, '100G'],
  [1.5 * 1024 ** 4, '1.50T'],
])('a size of %d bytes is printed as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
