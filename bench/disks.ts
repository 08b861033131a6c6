import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Node } from '../lib/simulator/toolstack';
import { diskName } from '../lib/disk-name';

/** The counters of a network device, in sysfs, that stand for the counters of a disk. */
export const COUNTER_FILES = {
  rd_req: 'rx_packets',
  rd_sect: 'rx_bytes',
  wr_req: 'tx_packets',
  wr_sect: 'tx_bytes',
  f_req: 'rx_errors',
  ds_req: 'tx_errors',
  oo_req: 'rx_dropped',
};

/** A disk of domain 1. */
export interface BenchDisk {
  readonly name: string;
  /** The directory with its counters. */
  readonly statistics: string;
  /** The paths of its counters. */
  readonly files: readonly string[];
  /** Its nodes in xenstore. */
  readonly nodes: readonly Node[];
  readonly backend: string;
}

/** Creates disks below a private sysfs. Their counters are symbolic links to those of a network device. */
export function makeDisks(sysfs: string, count: number): BenchDisk[] {
  return Array.from({ length: count }, (_, i) => {
    const devid = 2 ** 28 + (16 + i) * 256; // xvdq, xvdr ...
    const statistics = join(sysfs, `bus/xen-backend/devices/vbd-1-${devid}/statistics`);
    mkdirSync(statistics, { recursive: true });
    for (const [file, counter] of Object.entries(COUNTER_FILES)) {
      symlinkSync(`/sys/class/net/lo/statistics/${counter}`, join(statistics, file));
    }
    const backend = `/local/domain/0/backend/vbd/1/${devid}`;
    return {
      name: diskName(devid),
      statistics,
      files: Object.keys(COUNTER_FILES).map((file) => join(statistics, file)),
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
