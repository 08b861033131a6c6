import { XenError } from '../errors';
import type { BackingSample } from '../sampling/backing-rows';
import type { DiskSet } from '../sampling/disk-set';
import { monotonicTime } from '../native';
import { isFilled } from '../sampling/sampled-rows';
import { checkNumbers } from './disk-labels';

/** A sample of a set, for one collection of metrics. It is used before any other code runs. */
export interface Reading {
  readonly set: DiskSet;
  /** The number of disks that had no numbers, over all collections. */
  readonly errors: number;
  /** The time since the collection began, in seconds. */
  readonly seconds: number;
  /** The statistics of the backing devices, by row; empty unless the set reads them. */
  readonly backings: readonly (BackingSample | undefined)[];
  /**
   * Whether a row has numbers, which no earlier collection had: the set repeats the last answer of a QEMU
   * that hangs, and a repeated number would look like a rate of 0.
   */
  isCurrent(row: number): boolean;
}

/** Samples a set for collections of metrics, which may overlap, and counts the errors. */
export class Readings {
  readonly set: DiskSet;
  #errors = 0;
  /** The time of the last sample for a collection, the {@link monotonicTime}. */
  #last = 0n;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE` if the counters of the set are bigints. */
  constructor(set: DiskSet) {
    checkNumbers(set);
    this.set = set;
  }

  /**
   * Samples the set. A disk of QEMU has numbers if QEMU has answered since the collection before.
   *
   * @throws XenError `ERR_XEN_CLOSED`.
   */
  sample(): Reading {
    const start = monotonicTime();
    this.set.sample();
    return this.#reading(start, this.#last);
  }

  /**
   * Asks QEMU, and samples the set. A disk of QEMU has numbers if QEMU has answered since the call. Calls that
   * overlap share the answers, and each waits only until its own timeout.
   *
   * @param timeoutMs - how long to wait for answers, in milliseconds; default: the connection's.
   * @throws XenError `ERR_XEN_CLOSED`, RangeError `ERR_OUT_OF_RANGE`.
   */
  async sampleAsync(timeoutMs?: number): Promise<Reading> {
    const start = monotonicTime();
    await this.set.sampleAsync(timeoutMs === undefined ? {} : { timeoutMs });
    return this.#reading(start, start);
  }

  /** As {@link sampleAsync}, with the default timeout; undefined if the set is closed, or closed meanwhile. */
  async sampleUnlessClosed(): Promise<Reading | undefined> {
    if (this.set.isClosed) return undefined;
    try {
      return await this.sampleAsync();
    } catch (error) {
      if (error instanceof XenError && error.code === 'ERR_XEN_CLOSED') return undefined;
      throw error;
    }
  }

  /**
   * @param start - the {@link monotonicTime} when the collection began.
   * @param since - the time from which numbers are current, on the same clock.
   */
  #reading(start: bigint, since: bigint): Reading {
    const { set } = this;
    const { values, timestamps } = set;
    const current = set.disks.map(
      (_, row) => isFilled(values, row) && (timestamps[row] ?? 0n) > since,
    );
    this.#last = set.timestamp;
    this.#errors += current.filter((it) => !it).length;
    return {
      set,
      errors: this.#errors,
      get seconds() {
        return Number(monotonicTime() - start) / 1e9;
      },
      backings: set.hasBacking ? set.disks.map((disk) => set.backing(disk)) : [],
      isCurrent: (row) => current[row] === true,
    };
  }
}
