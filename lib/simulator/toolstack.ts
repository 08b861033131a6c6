import type { DiskKind } from '../backend';
import { parseDiskName } from '../vdev';

/*
 * What toolstacks leave in xenstore. xl and libvirt (both through libxl) keep a copy of each disk under
 * /libxl that no guest can write; XAPI keeps none, and names what is behind a disk in its own way.
 */

/** Who builds the guests. */
export type Toolstack = 'xl' | 'xapi';

/** A node of xenstore. */
export type Node = readonly [path: string, value: string];

/** A disk as a toolstack knows it. */
export interface DiskSpec {
  /** Its name, in any spelling that libxl knows. */
  readonly name: string;
  /** The file or device behind it; none, or `''`, makes it an empty drive. */
  readonly source?: string;
  /** Which backend serves it. Default: `vbd`, blkback. */
  readonly kind?: DiskKind;
  /** `raw`, `qcow2`, `vhd` ... Default: `raw`. */
  readonly format?: string;
  /** Default: `w`. */
  readonly mode?: 'r' | 'w';
  /** Default: `disk`. */
  readonly deviceType?: 'disk' | 'cdrom';
  /** Its size in sectors of 512 bytes. Default: 2097152, 1 GiB. */
  readonly sectors?: number;
  /** Bytes of a logical sector. Default: 512. */
  readonly sectorSize?: number;
  /** Bytes of a physical sector. Default: 512. */
  readonly physicalSectorSize?: number;
  /** The domain that serves it. Default: the host's own. */
  readonly backendDomid?: number;
}

/** A disk, and the domain that serves it. */
export type ServedDisk = DiskSpec & { readonly backendDomid: number };

/** A guest as a toolstack knows it. */
export interface GuestSpec {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
}

/** Where a disk is in xenstore. */
export interface DiskPlace {
  readonly devid: number;
  readonly kind: DiskKind;
  /** The guest's side, which the guest can write. */
  readonly frontend: string;
  readonly backend: string;
  /** libxl's own copy; undefined where there is no libxl. */
  readonly copy: string | undefined;
}

const DOM0_UUID = '00000000-0000-0000-0000-000000000000';

function below(folder: string, nodes: Record<string, string | number>): Node[] {
  return Object.entries(nodes).map(([name, value]) => [`${folder}/${name}`, String(value)]);
}

/** What is there before the first guest. */
export function dom0Nodes(toolstack: Toolstack): Node[] {
  const own = below('/local/domain/0', { name: 'Domain-0', domid: 0 });
  return toolstack === 'xl'
    ? [...own, ...below('/libxl/0', { 'dm-version': 'qemu_xen' })]
    : [...own, ...below('/local/domain/0', { vm: `/vm/${DOM0_UUID}` })];
}

/** A guest without its disks. */
export function guestNodes(toolstack: Toolstack, { domid, name, uuid }: GuestSpec): Node[] {
  return [
    ...below(`/local/domain/${domid}`, { name, domid, vm: `/vm/${uuid}` }),
    ...below(`/vm/${uuid}`, { uuid, name }),
    ...(toolstack === 'xl' ? below(`/libxl/${domid}`, { 'dm-version': 'qemu_xen' }) : []),
  ];
}

/** What goes when the guest goes. */
export function guestFolders(toolstack: Toolstack, { domid, uuid }: GuestSpec): string[] {
  return [
    `/local/domain/${domid}`,
    `/vm/${uuid}`,
    ...(toolstack === 'xl' ? [`/libxl/${domid}`] : []),
  ];
}

/** Whether there is no medium in it. */
export function isEmptyDrive({ source = '' }: DiskSpec): boolean {
  return source === '';
}

/** Where a disk is. */
export function placeDisk(toolstack: Toolstack, domid: number, disk: ServedDisk): DiskPlace {
  const { name, kind = 'vbd', backendDomid } = disk;
  const devid = parseDiskName(name);
  const type = kind === 'virtio_disk' ? 'virtio_disk' : 'vbd';
  return {
    devid,
    kind,
    frontend: `/local/domain/${domid}/device/${type}/${devid}`,
    backend: `/local/domain/${backendDomid}/backend/${kind}/${domid}/${devid}`,
    copy: toolstack === 'xl' ? `/libxl/${domid}/device/${type}/${devid}` : undefined,
  };
}

/** What the toolstack writes when a disk is attached. */
export function diskNodes(toolstack: Toolstack, domid: number, disk: ServedDisk): Node[] {
  const { devid, kind, frontend, backend, copy } = placeDisk(toolstack, domid, disk);
  const { name, mode = 'w', deviceType = 'disk' } = disk;
  const description = {
    frontend,
    'frontend-id': domid,
    online: 1,
    removable: 1,
    bootable: 1,
    dev: name,
    type: BACKEND_TYPES[kind],
    mode,
    'device-type': deviceType,
    'discard-enable': 1,
    ...params(disk),
  };
  const link = {
    backend,
    'backend-id': disk.backendDomid,
    state: 1,
    'virtual-device': devid,
    'device-type': deviceType,
  };
  return [
    ...below(frontend, link),
    ...below(backend, { ...description, state: 2 }),
    ...(copy === undefined
      ? below(backend, { 'sm-data/vdi-uuid': vdiUuid(domid, devid) })
      : below(copy, { ...description, backend, state: 1 })),
  ];
}

/** The backend's `type`, by its kind. */
const BACKEND_TYPES: Record<DiskKind, string> = {
  vbd: 'phy',
  vbd3: 'vbd3',
  qdisk: 'qdisk',
  tap: 'tap',
  virtio_disk: 'virtio_disk',
};

function params({ kind = 'vbd', format = 'raw', source = '' }: DiskSpec): Record<string, string> {
  const withFormat = `${format === 'raw' ? 'aio' : format}:${source}`;
  switch (kind) {
    case 'vbd':
      return { params: format === 'raw' ? source : withFormat, script: '/etc/xen/scripts/block' };
    case 'vbd3':
      return { params: source, 'tapdisk-params': withFormat };
    case 'qdisk':
    case 'tap':
      return { params: withFormat };
    case 'virtio_disk':
      return { params: source };
  }
}

/** XAPI knows what is behind a disk by a UUID. */
function vdiUuid(domid: number, devid: number): string {
  const unique = (domid * 2 ** 32 + devid).toString(16).padStart(12, '0');
  return `00000000-0000-4000-8000-${unique}`;
}

/** What goes when a disk is detached. */
export function diskFolders(toolstack: Toolstack, domid: number, disk: ServedDisk): string[] {
  const { frontend, backend, copy } = placeDisk(toolstack, domid, disk);
  return [frontend, backend, ...(copy === undefined ? [] : [copy])];
}

/** What the two drivers write when the guest's driver connects. */
export function connectedNodes(domid: number, disk: ServedDisk): Node[] {
  const { frontend, backend } = placeDisk('xl', domid, disk);
  return [
    ...below(backend, {
      'feature-flush-cache': 1,
      'feature-discard': 1,
      'feature-barrier': 1,
      'feature-persistent': 1,
      sectors: disk.sectors ?? 2097152,
      info: disk.deviceType === 'cdrom' ? 1 : 0,
      'sector-size': disk.sectorSize ?? 512,
      'physical-sector-size': disk.physicalSectorSize ?? 512,
      'hotplug-status': 'connected',
      state: 4,
    }),
    ...below(frontend, { 'ring-ref': 8, 'event-channel': 8, protocol: 'x86_64-abi', state: 4 }),
  ];
}

/** What they write when the guest's driver lets the disk go. */
export function disconnectedNodes(domid: number, disk: ServedDisk): Node[] {
  const { frontend, backend } = placeDisk('xl', domid, disk);
  return [...below(backend, { state: 6 }), ...below(frontend, { state: 6 })];
}
