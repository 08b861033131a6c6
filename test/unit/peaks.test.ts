import { PeakFinder } from '../../lib/sampling/peaks';
import { peaks, DISK_COLUMNS, type DiskInfo, type RecordedSamples } from 'xen-block-stats';

const disk = (name: string) => ({ name }) as DiskInfo;

/** Returns samples of one disk, a millisecond apart, with these values of rdBytes. */
function samplesOf(values: readonly number[], columns = DISK_COLUMNS): RecordedSamples {
  const all = values.map((value) => columns.map((name) => (name === 'rdBytes' ? value : -1)));
  return {
    disks: [disk('xvda')],
    columns,
    timestamps: BigInt64Array.from(values, (_, i) => 1_000_000_000n + BigInt(i) * 1_000_000n),
    values: Float64Array.from(all.flat()),
  };
}

const peakOf = (samples: RecordedSamples, windowMs: number) =>
  peaks(samples, { windowMs })[0]?.peaks.rdBytes;

describe('PeakFinder', () => {
  /** Returns the samples from an index to another one. */
  const part = (samples: RecordedSamples, from: number, to: number) => ({
    ...samples,
    timestamps: samples.timestamps.slice(from, to),
    values: samples.values.slice(from * samples.columns.length, to * samples.columns.length),
  });

  test('finds the peak of a window that begins in the samples of the call before', () => {
    const all = samplesOf([0, 0, 0, 100, 300, 300, 300]);
    const finder = new PeakFinder(2);
    expect(finder.find(part(all, 0, 4))[0]?.peaks.rdBytes?.perSecond).toBe(50_000);
    expect(finder.find(part(all, 4, 7))[0]?.peaks.rdBytes).toEqual(peakOf(all, 2));
  });

  test('finds each window once', () => {
    const all = samplesOf([0, 0, 100, 300, 300, 300, 300]);
    const finder = new PeakFinder(2);
    expect(finder.find(part(all, 0, 4))[0]?.peaks.rdBytes?.perSecond).toBe(150_000);
    expect(finder.find(part(all, 4, 6))[0]?.peaks.rdBytes?.perSecond).toBe(100_000);
    expect(finder.find(part(all, 6, 7))[0]?.peaks.rdBytes?.perSecond).toBe(0);
  });

  test('does not join the samples of other disks', () => {
    const finder = new PeakFinder(1);
    finder.find(samplesOf([0, 0]));
    expect(finder.find(samplesOf([1000, 1000]))[0]?.peaks.rdBytes?.perSecond).toBe(0);
  });
});

describe('peaks', () => {
  test('gives the highest rate over any window of the length, and when it began', () => {
    // 300 bytes in two milliseconds, of which 200 in one
    const samples = samplesOf([0, 0, 100, 300, 300, 300]);
    expect(peakOf(samples, 1)).toEqual({ perSecond: 200_000, timestamp: 1_002_000_000n });
    expect(peakOf(samples, 2)).toEqual({ perSecond: 150_000, timestamp: 1_001_000_000n });
    expect(peakOf(samples, 5)).toEqual({ perSecond: 60_000, timestamp: 1_000_000_000n });
  });

  test('takes a window that is as near to the length as samples permit', () => {
    const samples = samplesOf([0, 10, 20, 30]);
    samples.timestamps.set([1_000_000_000n, 1_000_999_000n, 1_002_001_000n, 1_003_000_000n]);
    const { perSecond = NaN } = peakOf(samples, 1) ?? {};
    expect(perSecond).toBeCloseTo(10 / 0.000_999, 3);
  });

  test('has no peak if the samples are shorter than the window', () => {
    expect(peakOf(samplesOf([0, 10]), 3)).toBeUndefined();
    expect(peakOf(samplesOf([0]), 1)).toBeUndefined();
  });

  test('is 0 for a counter that stands still', () => {
    expect(peakOf(samplesOf([7, 7, 7]), 1)?.perSecond).toBe(0);
  });

  test('has no windows in which the counter went backwards, or was not read', () => {
    expect(peakOf(samplesOf([500, 510, 0, 5, 10]), 1)?.perSecond).toBe(10_000);
    expect(peakOf(samplesOf([0, -1, 100, 101]), 1)?.perSecond).toBe(1000);
    expect(peakOf(samplesOf([-1, -1]), 1)).toBeUndefined();
  });

  test('has the peaks of each disk, and keeps the precision of large bigints', () => {
    const base = 2n ** 62n;
    const rows = [
      [base, 5n],
      [base + 1n, 5n],
    ];
    const result = peaks(
      {
        disks: [disk('xvda'), disk('xvdb')],
        columns: ['wrReq'],
        timestamps: BigInt64Array.of(0n, 1_000_000n),
        values: BigInt64Array.from(rows.flat()),
      },
      { windowMs: 1 },
    );
    expect(result.map(({ disk: { name }, peaks: { wrReq } }) => [name, wrReq?.perSecond])).toEqual([
      ['xvda', 1000],
      ['xvdb', 0],
    ]);
  });

  test.each([0, -1, NaN, undefined])('refuses a window of %p', (windowMs) => {
    expect(() => peaks(samplesOf([0]), { windowMs: windowMs as number })).toThrow(
      expect.objectContaining({ code: 'ERR_OUT_OF_RANGE' }),
    );
  });
});
