import { toStats, type DiskStats } from '../disk-stats';
import { Column, ROW_LENGTH, type Row, type SetValues, type VbdSet } from '../native';
import { ratesBetween, type DiskRates } from './rates';

/**
 * The rows of a set in the last sample and in the previous one: a row for each disk, one after the other.
 * A row that has not been read is filled with -1.
 */
export class SampledRows<N extends number | bigint> {
  readonly #newValues: (rows: number) => SetValues<N>;
  #length = 0;
  #values: SetValues<N>;
  #previous: SetValues<N>;
  /** The failure of each row, or 0. */
  #failures = new Uint32Array();
  /** The times of the last sample and of the previous one, in nanoseconds. */
  readonly #clock = new BigInt64Array(2);

  constructor(bigint: boolean) {
    this.#newValues = (rows) =>
      (bigint
        ? new BigInt64Array(rows * ROW_LENGTH).fill(-1n)
        : new Float64Array(rows * ROW_LENGTH).fill(-1)) as SetValues<N>;
    this.#values = this.#newValues(0);
    this.#previous = this.#newValues(0);
  }

  /** The values of the last sample. */
  get values(): SetValues<N> {
    return this.#values;
  }

  /** The time of the last sample, in nanoseconds on CLOCK_MONOTONIC; 0 before the first. */
  get timestamp(): bigint {
    return this.#clock[0] ?? 0n;
  }

  /** The seconds between the last two samples. */
  get interval(): number {
    const [last = 0n, previous = 0n] = this.#clock;
    return Number(last - previous) / 1e9;
  }

  /** Reads all rows. Returns the number of rows that failed. */
  sample(vbds: VbdSet): number {
    this.#restoreValues();
    copy(this.#previous, this.#values);
    return vbds.sample(this.#values, this.#failures, this.#clock);
  }

  /**
   * Replaces the rows by new arrays.
   *
   * @param former - for each new row, the row whose values it takes; undefined if it has none yet.
   */
  arrange(former: readonly (number | undefined)[]): void {
    this.#restoreValues();
    this.#length = former.length;
    const values = this.#newValues(former.length);
    const previous = this.#newValues(former.length);
    for (const [i, row] of former.entries()) {
      if (row === undefined) continue;
      copy(values, rowOf(this.#values, row), i * ROW_LENGTH);
      copy(previous, rowOf(this.#previous, row), i * ROW_LENGTH);
    }
    [this.#values, this.#previous] = [values, previous];
    this.#failures = new Uint32Array(former.length);
  }

  /** Returns the failure of a row in the last sample, or 0. Not after {@link SampledRows.arrange}. */
  failure(row: number): number {
    return this.#failures[row] ?? 0;
  }

  /** Returns the counters of a row in the last sample; undefined if it was not read. */
  stats(row: number): DiskStats<N> | undefined {
    if (!isFilled(this.#values, row)) return undefined;
    return toStats(rowOf(this.#values, row) as unknown as Row<N>);
  }

  /** Returns the rates of a row between the last two samples; undefined if it was not read in both. */
  rates(row: number, seconds: number): DiskRates | undefined {
    if (!isFilled(this.#values, row) || !isFilled(this.#previous, row)) return undefined;
    return ratesBetween(this.#previous, this.#values, row * ROW_LENGTH, seconds);
  }

  /** Replaces an array whose buffer the caller has transferred. */
  #restoreValues(): void {
    if (this.#values.length > 0 || this.#length === 0) return;
    this.#values = this.#newValues(this.#length);
  }
}

/** Whether a row has numbers: it was read, and the backend has one of the counters that are read. */
export function isFilled(values: Float64Array | BigInt64Array, row: number): boolean {
  return Object.values(Column).some((column) => (values[row * ROW_LENGTH + column] ?? -1) >= 0);
}

function rowOf<N extends number | bigint>(values: SetValues<N>, row: number): SetValues<N> {
  return values.subarray(row * ROW_LENGTH, (row + 1) * ROW_LENGTH) as SetValues<N>;
}

/** Copies values between arrays of the same type. */
function copy<N extends number | bigint>(
  target: SetValues<N>,
  source: SetValues<N>,
  offset = 0,
): void {
  (target as Float64Array).set(source as Float64Array, offset);
}
