import type { DiskInfo } from '../xenstore/disks';
import type { SetDisk } from '../sampling/set-disk';

/** What tells a disk's numbers from another's, made once for each disk, until it is described anew. */
export class DiskLabels<T> {
  readonly #make: (disk: SetDisk) => T;
  readonly #made = new WeakMap<SetDisk, { info: DiskInfo; labels: T }>();

  constructor(make: (disk: SetDisk) => T) {
    this.#make = make;
  }

  /** The labels of these disks, by row. */
  of(disks: readonly SetDisk[]): T[] {
    return disks.map((disk) => this.#labels(disk));
  }

  #labels(disk: SetDisk): T {
    const known = this.#made.get(disk);
    // there is another description whenever something new was learnt, a domain's new name too
    if (known?.info === disk.info) return known.labels;
    const labels = this.#make(disk);
    this.#made.set(disk, { info: disk.info, labels });
    return labels;
  }
}
