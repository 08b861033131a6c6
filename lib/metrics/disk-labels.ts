import { types } from 'node:util';
import { invalidType } from '../errors';
import type { DiskSet } from '../sampling/disk-set';
import type { DiskInfo } from '../xenstore/disks';

/**
 * Makes the labels of a disk.
 *
 * @param domain - what no other domain of the set is called: the name of the disk's domain; its UUID if
 * another domain has the same name; its domid if xenstored does not tell.
 */
export type MakeLabels<T> = (disk: DiskInfo, domain: string) => T;

/** The labels of a set's disks. They are made again when the set's disks have changed, and only then. */
export class DiskLabels<T> {
  readonly #make: MakeLabels<T>;
  #disks: readonly DiskInfo[] = [];
  #labels: readonly T[] = [];

  constructor(make: MakeLabels<T>) {
    this.#make = make;
  }

  /** The labels of these disks, by row. */
  of(disks: readonly DiskInfo[]): readonly T[] {
    if (disks !== this.#disks) {
      const domids = new Map<string | undefined, Set<number>>();
      for (const { domain, domid } of disks) {
        domids.set(domain, (domids.get(domain) ?? new Set()).add(domid));
      }
      this.#disks = disks;
      this.#labels = disks.map((disk) => {
        const { domain, uuid, domid } = disk;
        const isShared = (domids.get(domain)?.size ?? 0) > 1;
        return this.#make(disk, (isShared ? uuid : domain) ?? String(domid));
      });
    }
    return this.#labels;
  }
}

/**
 * Checks that a set gives numbers, which metrics are: without TypeScript it may be one of bigints.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`.
 */
export function checkNumbers({ values }: DiskSet): void {
  if (!types.isFloat64Array(values)) {
    throw invalidType('set', 'a set of disks without the option bigint', values);
  }
}
