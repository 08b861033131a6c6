import { WorkloadStream } from '../../lib/simulator/workload';

const steps = (stream: WorkloadStream) => Array.from({ length: 50 }, () => stream.next(0.1));

test('the same seed gives the same I/O, another seed does not', () => {
  expect(steps(new WorkloadStream({}, 1, 51712))).toEqual(steps(new WorkloadStream({}, 1, 51712)));
  expect(steps(new WorkloadStream({}, 1, 51712))).not.toEqual(
    steps(new WorkloadStream({}, 2, 51712)),
  );
});

test('gives whole requests, at the average rate of the workload', () => {
  const stream = new WorkloadStream({ readsPerSecond: 3, readBytes: 4096, writesPerSecond: 0 }, 1);
  let reads = 0;
  for (let i = 0; i < 10000; i++) {
    const io = stream.next(0.1);
    expect(io.readBytes).toBe((io.reads ?? NaN) * 4096);
    expect(io.writes).toBe(0);
    reads += io.reads ?? NaN;
  }
  expect(reads / 1000).toBeCloseTo(3, 1);
});

test('gives the same I/O in half a second at every interval, and another load in the next half', () => {
  const coarse = new WorkloadStream({ readsPerSecond: 1000 }, 1);
  const fine = new WorkloadStream({ readsPerSecond: 1000 }, 1);
  const first = coarse.next(0.5).reads ?? NaN;
  let reads = 0;
  for (let i = 0; i < 25; i++) reads += fine.next(0.02).reads ?? NaN;
  expect(Math.abs(reads - first)).toBeLessThanOrEqual(1);
  expect(Math.abs((coarse.next(0.5).reads ?? NaN) - first)).toBeGreaterThan(1);
});
