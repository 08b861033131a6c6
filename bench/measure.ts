/** Measures once. Returns nanoseconds for one disk. */
export type Measure = () => Promise<number> | number;

/** A row of the table. */
export interface Row {
  readonly name: string;
  readonly floor: Measure;
  readonly once: Measure;
}

/** The least duration of a measurement, in nanoseconds. */
const SLICE = 20e6;

/** Returns the nanoseconds of a call, in a loop as long as a slice. Shorter loops before it warm up. */
export function timed(call: () => unknown): number {
  for (let calls = 1; ; calls *= 2) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    const elapsed = Number(process.hrtime.bigint() - start);
    if (elapsed > SLICE) return elapsed / calls;
  }
}

/** Returns the nanoseconds of an asynchronous call: the mean of calls one after the other, half as many before. */
export async function timedAsync(call: () => Promise<unknown>, calls: number): Promise<number> {
  for (let i = 0; i < calls / 2; i++) await call();
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) await call();
  return Number(process.hrtime.bigint() - start) / calls;
}

/** Returns the nanoseconds of one call. */
export function timedOnce(call: () => unknown): number {
  const start = process.hrtime.bigint();
  call();
  return Number(process.hrtime.bigint() - start);
}
