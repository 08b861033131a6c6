import type { DiskInfo } from '../xenstore/disks';

/** A pid that no process has. */
const NO_PID = 2 ** 32 - 1;

/** Returns who serves a disk, for the addon: the pid of its tapdisk, or 0 for blkback. */
export function tapdiskOf({
  kind,
  tapdiskPid = NO_PID,
}: Pick<DiskInfo, 'kind' | 'tapdiskPid'>): number {
  return kind === 'vbd' ? 0 : tapdiskPid;
}

/** Returns the file of the statistics of a disk that tapdisk serves. */
export function statisticsFile(
  shm: string,
  { domid, devid, tapdiskPid }: Pick<DiskInfo, 'domid' | 'devid' | 'tapdiskPid'>,
): string {
  return `${shm}/td3-${tapdiskPid ?? '<pid>'}/vbd-${domid}-${devid}`;
}
