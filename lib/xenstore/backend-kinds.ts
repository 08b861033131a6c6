/** The kind of a disk's backend: the name of its directory in xenstore. */
export type DiskKind = 'vbd' | 'vbd3' | 'qdisk' | 'tap' | 'virtio_disk';

/** What serves a disk, in libvirt's words, and `standalone` (libxl's word) for virtio. */
export type DiskDriver = 'phy' | 'tap' | 'qemu' | 'standalone';

/** The driver of each kind of backend. Of two disks with one devid, the first kind's counts. */
export const DRIVERS: Readonly<Record<DiskKind, DiskDriver>> = {
  vbd: 'phy',
  vbd3: 'tap',
  qdisk: 'qemu',
  tap: 'tap',
  virtio_disk: 'standalone',
};

/** All kinds, in the order of {@link DRIVERS}. */
export const DISK_KINDS = Object.keys(DRIVERS) as readonly DiskKind[];

/** Whether this is the name of a kind. */
export function isDiskKind(name: string): name is DiskKind {
  return Object.hasOwn(DRIVERS, name);
}

/** The directory of the backends of a kind that a domain runs, by the domid of their guests. */
export function kindDirectory(ownDomid: number, kind: DiskKind): string {
  return `/local/domain/${ownDomid}/backend/${kind}`;
}
