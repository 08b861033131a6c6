import type { DiskInfo, DiskSet } from 'xen-block-stats';
import { diskName } from '../../lib/disk-name';

/*
 * Each disk has a number of its own, in its source and in its counters. A row with another number than
 * that of its disk has the counters of another disk.
 */

let lastNumber = 0;

/** Creates disks with new numbers. Their names depend only on their index, from `from` to `to` - 1. */
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

/** Returns the number of a disk that {@link makeDisks} has made. */
export function numberOf({ source }: DiskInfo): number {
  return Number(/-(\d+)$/.exec(source ?? '')?.[1]);
}

/**
 * Samples the set, and returns the number of rows with counters.
 *
 * @throws Error if a row has the counters of another disk, or neither counters nor an error.
 */
export function checkRows(set: DiskSet): number {
  let read = 0;
  for (const { disk, stats, error } of set.sample()) {
    if (stats === undefined) {
      // detached, or not attached completely: the row has an error
      if (error === undefined) throw new Error(`${disk.name} has neither counters nor an error`);
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
