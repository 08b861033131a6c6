import type { DiskSet } from '../../sampling/disk-set';
import { checkNumbers } from '../disk-labels';

/** Samples a set for those who scrape, and keeps account of it. */
export class Readings {
  readonly set: DiskSet;
  /** How many disks could not be read, over all samples. */
  errors = 0;
  #start = 0;

  constructor(set: DiskSet) {
    checkNumbers(set);
    this.set = set;
  }

  /** Since the last sample was begun. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  sample(): void {
    this.#start = performance.now();
    this.errors += this.set.sample().errors.size;
  }
}
