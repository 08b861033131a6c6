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
