import { ratesBetween } from '../../lib/sampling/rates';

/** Returns a row with these requests and sectors, and with the bytes of the sectors. */
const row = (rdReq: number, rdSect: number, wrReq = 0, wrSect = 0, others = [0, 0, 0]) =>
  Float64Array.of(rdReq, rdSect, rdSect * 512, wrReq, wrSect, wrSect * 512, ...others);

const IDLE = {
  reset: false,
  rPerSec: 0,
  wPerSec: 0,
  rkBPerSec: 0,
  wkBPerSec: 0,
  rareqSz: 0,
  wareqSz: 0,
  rAwait: undefined,
  wAwait: undefined,
  fPerSec: 0,
  dPerSec: 0,
  ooPerSec: 0,
};

test('rates and request sizes of an idle disk are 0', () => {
  expect(ratesBetween(row(5, 40), row(5, 40), 0, 1)).toEqual(IDLE);
});

test('rates are per second and sizes per request, in kilobytes of 1024 bytes', () => {
  const before = row(100, 800, 10, 80, [1, 2, 3]);
  const after = row(300, 4800, 14, 96, [5, 8, 11]);
  expect(ratesBetween(before, after, 0, 2)).toEqual({
    reset: false,
    rPerSec: 100,
    wPerSec: 2,
    rkBPerSec: 1000,
    wkBPerSec: 4,
    rareqSz: 10,
    wareqSz: 2,
    rAwait: undefined,
    wAwait: undefined,
    fPerSec: 2,
    dPerSec: 3,
    ooPerSec: 4,
  });
});

test('rates are those of the row at the offset', () => {
  const before = new Float64Array([...row(1, 8), ...row(0, 0)]);
  const after = new Float64Array([...row(9, 8), ...row(2, 0)]);
  expect(ratesBetween(before, after, 0, 1)).toMatchObject({ rPerSec: 8 });
  expect(ratesBetween(before, after, 9, 1)).toMatchObject({ rPerSec: 2 });
});

test.each([
  ['all counters, by a reconnect', row(500, 4000, 500, 4000), row(3, 24, 1, 8)],
  ['requests only, by log_stats', row(500, 4000), row(3, 4100)],
])('counters that decreased are reported as a reset, with rates of 0: %s', (_, before, after) => {
  expect(ratesBetween(before, after, 0, 1)).toEqual({ ...IDLE, reset: true });
});

test('rates of a counter that the backend does not have are -1', () => {
  const before = row(1, 8, 0, 0, [-1, -1, 0]);
  const after = row(2, 16, 0, 0, [-1, 4, 0]);
  expect(ratesBetween(before, after, 0, 1)).toMatchObject({
    reset: false,
    rPerSec: 1,
    fPerSec: -1,
    // the counter appeared between the samples, so its start is not known
    dPerSec: -1,
    ooPerSec: 0,
  });
  const without = Float64Array.of(-1, -1, -1, 5, 8, 4096, 0, 0, 0);
  expect(ratesBetween(without, without, 0, 1)).toMatchObject({
    rPerSec: -1,
    rkBPerSec: -1,
    rareqSz: -1,
    wareqSz: 0,
    rAwait: undefined,
    wAwait: undefined,
  });
});

test('rates of large counters in bigints are exact', () => {
  const before = BigInt64Array.from([...row(0, 0)].map(BigInt));
  before[0] = 2n ** 62n;
  const after = before.slice();
  after[0] = 2n ** 62n + 1n;
  expect(ratesBetween(before, after, 0, 1)).toMatchObject({ rPerSec: 1 });
});
