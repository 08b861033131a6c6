import type { DiskDriver, DiskInfo } from '../..';
import { matches } from './rows';

/** What serves the disks that cannot be read, by their driver. */
const PROGRAMS: Readonly<Record<Exclude<DiskDriver, 'phy'>, string>> = {
  tap: 'tapdisk',
  qemu: 'QEMU',
  standalone: 'a virtio backend',
};

/** Returns the disks that the filter selects. */
export function filterUnsupported(disks: readonly DiskInfo[], filter: string): DiskInfo[] {
  return disks.filter(({ domid, domain = String(domid), name }) => matches(filter, domain, name));
}

/** Says how many disks are not shown: `2 disks of tapdisk are not shown`. Empty if there are none. */
export function describeUnsupported(disks: readonly DiskInfo[]): string {
  if (disks.length === 0) return '';
  const counts = new Map<string, number>();
  for (const disk of disks) counts.set(serverOf(disk), (counts.get(serverOf(disk)) ?? 0) + 1);
  const parts = [...counts].map(
    ([server, count]) => `${count} ${count === 1 ? 'disk' : 'disks'} of ${server}`,
  );
  return `${parts.join(', ')} ${disks.length === 1 ? 'is' : 'are'} not shown`;
}

function serverOf({ driver, format, backendDomid }: DiskInfo): string {
  if (driver !== 'phy') return PROGRAMS[driver];
  return format === 'raw' ? `the backend domain ${backendDomid}` : `the format ${format}`;
}
