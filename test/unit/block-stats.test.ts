import { roundCounters, sumCounters, toBigints, toNumbers } from '../../lib/libvirt/block-stats';

const NUMBERS = [1, 8, 4096, 3, 16, 8192, 5, 6, 7, -1, -1, -1] as const;
const BIGINTS = [1n, 8n, 4096n, 3n, 16n, 8192n, 5n, 6n, 7n, -1n, -1n, -1n] as const;

describe('libvirt’s counters of a disk', () => {
  test('are its requests, its sectors times the sector size, and oo_req as errors', () => {
    expect(toNumbers(NUMBERS, 4096)).toEqual({
      rdReq: 1,
      rdBytes: 8 * 4096,
      wrReq: 3,
      wrBytes: 16 * 4096,
      flushReq: 5,
      errs: 7,
    });
    expect(toBigints(BIGINTS, 512)).toMatchObject({ rdBytes: 4096n, wrBytes: 8192n });
  });

  test('are -1 where the kernel has no counter, for any sector size', () => {
    expect(toNumbers([1, -1, -1, 3, 16, 8192, -1, 6, 7, -1, -1, -1], 4096)).toMatchObject({
      rdBytes: -1,
      flushReq: -1,
    });
    expect(
      toBigints([1n, -1n, -1n, 3n, 16n, 8192n, -1n, 6n, 7n, -1n, -1n, -1n], 4096),
    ).toMatchObject({
      rdBytes: -1n,
      flushReq: -1n,
    });
  });

  test('are exact as bigints beyond 2^64', () => {
    const sectors = 2n ** 54n - 1n;
    expect(toBigints([0n, sectors, 0n, 0n, 0n, 0n, 0n, 0n, 0n, -1n, -1n, -1n], 65536).rdBytes).toBe(
      sectors * 65536n,
    );
  });
});

describe('a sum over disks', () => {
  const disk = { rdReq: 1n, rdBytes: 512n, wrReq: 2n, wrBytes: 1024n, flushReq: 3n, errs: 4n };

  test('adds up each counter', () => {
    expect(sumCounters([disk, disk])).toEqual({
      rdReq: 2n,
      rdBytes: 1024n,
      wrReq: 4n,
      wrBytes: 2048n,
      flushReq: 6n,
      errs: 8n,
    });
  });

  test('takes a counter from the disks that have it, and is -1 if none has', () => {
    expect(sumCounters([disk, { ...disk, flushReq: -1n }]).flushReq).toBe(3n);
    expect(sumCounters([{ ...disk, flushReq: 0n }]).flushReq).toBe(0n);
    expect(sumCounters([{ ...disk, flushReq: -1n }]).flushReq).toBe(-1n);
  });

  test('over no disks is 0, with errs of -1, as in libvirt', () => {
    expect(roundCounters(sumCounters([]))).toEqual({
      rdReq: 0,
      rdBytes: 0,
      wrReq: 0,
      wrBytes: 0,
      flushReq: 0,
      errs: -1,
    });
  });
});
