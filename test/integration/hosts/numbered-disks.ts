import type { DiskInfo, DiskSet } from 'xen-block-stats';
import { diskName } from '../../../lib/disk-name';

/*
 * Each disk that there ever is has a number, which is in its source and in its counters: whoever sees
 * another number in a disk's row has seen another disk's.
 */

let lastNumber = 0;

/** Disks with new numbers, under the names of the first ones, the second ones and so on. */
export function makeDisks(from: number, to: number) {
  return Array.from({ length: to - from }, (_, i) => {
    lastNumber += 1;
    return {
      name: nameOf(from + i),
      source: `/dev/vg/disk-${lastNumber}`,
      counters: { rd_req: lastNumber, wr_req: lastNumber, f_req: lastNumber },
    };
  });
}

function nameOf(index: number): string {
  return diskName(51712 + 16 * (index % 16) + (index >> 4));
}

function numberOf({ source }: DiskInfo): number {
  return Number(/-(\d+)$/.exec(source ?? '')?.[1]);
}

/**
 * Samples, and says how many rows could be read.
 *
 * @throws Error if one of these is not its disk's, or if one that could not be read does not say why.
 */
export function checkRows(set: DiskSet): number {
  let read = 0;
  for (const { disk, stats, error } of set.sample()) {
    if (stats === undefined) {
      // gone, or not there yet: then it says so
      if (error === undefined) throw new Error(`${disk.name} has neither numbers nor an error`);
      continue;
    }
    const number = numberOf(disk);
    if (stats.rdReq !== number || stats.wrReq !== number || stats.flushReq !== number) {
      throw new Error(`the row of disk ${number} has ${stats.rdReq}, ${stats.wrReq}`);
    }
    read += 1;
  }
  return read;
}
