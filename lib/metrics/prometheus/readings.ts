import type { DiskSet } from '../../sampling/disk-set';
import { checkNumbers } from '../disk-labels';

/** Samples a set for scrapes, counts the errors and measures the time. */
export class Readings {
  readonly set: DiskSet;
  /** The number of disks that could not be read, over all samples. */
  errors = 0;
  #start = 0;

  /** @throws TypeError `ERR_INVALID_ARG_TYPE` if the counters of the set are bigints. */
  constructor(set: DiskSet) {
    checkNumbers(set);
    this.set = set;
  }

  /** The time since the last sample began, in seconds. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  sample(): void {
    this.#start = performance.now();
    this.errors += this.set.sample().errors.size;
  }
}
