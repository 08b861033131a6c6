import { dirname } from 'node:path';
import { diskName } from '../../lib/disk-name';
import type { Node } from '../../lib/simulator/toolstack';
import { linkCounters } from './kernel-counters';

/** A disk of domain 1. */
export interface LinkedDisk {
  readonly name: string;
  /** The directory with its counters. */
  readonly statistics: string;
  /** The paths of its counters. */
  readonly files: readonly string[];
  /** Its nodes in xenstore. */
  readonly nodes: readonly Node[];
  readonly backend: string;
}

/** Creates disks below a private sysfs. Their counters are those of the network device lo. */
export function makeLinkedDisks(sysfs: string, count: number): LinkedDisk[] {
  return Array.from({ length: count }, (_, i) => {
    const devid = 2 ** 28 + (16 + i) * 256; // xvdq, xvdr ...
    const files = linkCounters(sysfs, devid, 'lo');
    const backend = `/local/domain/0/backend/vbd/1/${devid}`;
    return {
      name: diskName(devid),
      statistics: dirname(files[0] as string),
      files,
      backend,
      nodes: [
        [`/local/domain/1/device/vbd/${devid}/backend`, backend],
        [`${backend}/dev`, diskName(devid)],
        [`${backend}/params`, `/dev/vg/${i}`],
        [`${backend}/physical-sector-size`, '512'],
      ],
    };
  });
}
