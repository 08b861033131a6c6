/** The kind of a disk's backend: the name of its directory below `/local/domain/<domid>/backend`. */
export type DiskKind = 'vbd' | 'vbd3' | 'qdisk' | 'tap' | 'virtio_disk';

/** The driver that serves a disk: libvirt's name, or libxl's name `standalone` for virtio. */
export type DiskDriver = 'phy' | 'tap' | 'qemu' | 'standalone';

/** The driver of each kind of backend, in the order of precedence for disks with the same devid. */
export const DRIVERS: Readonly<Record<DiskKind, DiskDriver>> = {
  vbd: 'phy',
  vbd3: 'tap',
  qdisk: 'qemu',
  tap: 'tap',
  virtio_disk: 'standalone',
};

/** All kinds, in the order of {@link DRIVERS}. */
export const DISK_KINDS = Object.keys(DRIVERS) as readonly DiskKind[];

/** Whether a name is the name of a kind. */
export function isDiskKind(name: string): name is DiskKind {
  return Object.hasOwn(DRIVERS, name);
}

/** Returns the directory of a domain's backends. It has a directory for each kind, also those of other devices. */
export function backendsDirectory(ownDomid: number): string {
  return `/local/domain/${ownDomid}/backend`;
}

/** Returns the directory of a domain's backends of a kind. It has a directory for each guest's domid. */
export function kindDirectory(ownDomid: number, kind: DiskKind): string {
  return `${backendsDirectory(ownDomid)}/${kind}`;
}
