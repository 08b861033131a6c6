import { types } from 'node:util';
import { invalidType } from '../errors';
import type { DiskSet } from '../sampling/disk-set';
import type { DiskInfo } from '../xenstore/disks';

/**
 * Creates the labels of a disk.
 *
 * @param domain - the label of the disk's domain, unique in the set: the name; the UUID if another domain
 * has the same name; the domid if xenstore has no name that may be read.
 */
export type MakeLabels<T> = (disk: DiskInfo, domain: string) => T;

/** A cache of the labels of a set's disks. Creates them again only when the set's disks have changed. */
export class DiskLabels<T> {
  readonly #make: MakeLabels<T>;
  #disks: readonly DiskInfo[] = [];
  #labels: readonly T[] = [];

  constructor(make: MakeLabels<T>) {
    this.#make = make;
  }

  /** Returns the labels of the disks, by row. */
  of(disks: readonly DiskInfo[]): readonly T[] {
    if (disks !== this.#disks) {
      const domids = new Map<string, Set<number>>();
      for (const { domain, domid } of disks) {
        if (domain !== undefined) domids.set(domain, (domids.get(domain) ?? new Set()).add(domid));
      }
      this.#disks = disks;
      this.#labels = disks.map((disk) => {
        const { domain, uuid, domid } = disk;
        const isShared = domain !== undefined && (domids.get(domain)?.size ?? 0) > 1;
        return this.#make(disk, (isShared ? uuid : domain) ?? String(domid));
      });
    }
    return this.#labels;
  }
}

/**
 * Checks that the counters of a set are numbers. A caller without TypeScript can pass a set of bigints.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`.
 */
export function checkNumbers({ values }: DiskSet): void {
  if (!types.isFloat64Array(values)) {
    throw invalidType('set', 'a set of disks without the option bigint', values);
  }
}
