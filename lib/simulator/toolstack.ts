import type { DiskKind } from '../xenstore/backend-kinds';
import { parseDiskName } from '../disk-name';

/*
 * What toolstacks and backends leave in xenstore. Pure: it says which nodes, and who calls it writes
 * them, into the simulator's store or into a real xenstored.
 */

/** Who builds the guests: `xl` stands for libxl (xl, libvirt), `xapi` for XenServer and XCP-ng. */
export type Toolstack = 'xl' | 'xapi';

/** A node of xenstore. */
export type Node = readonly [path: string, value: string];

/** A guest, as xenstore knows it. */
export interface GuestSpec {
  /** 0 to 32751. */
  readonly domid: number;
  readonly name: string;
  /** As text with hyphens. */
  readonly uuid: string;
}

/** A disk, as a guest's configuration gives it. */
export interface DiskSpec {
  /** `xvda`, `xvdb1`, `hdc` ...: see `parseDiskName`. */
  readonly name: string;
  /** The device or file behind it; without one, or with `''`, it is an empty CD-ROM drive. */
  readonly source?: string;
  /** What serves it. Default: `vbd`, the kernel's blkback. */
  readonly kind?: DiskKind;
  /** `raw`, `qcow2`, `vhd` ... Default: `raw`. */
  readonly format?: string;
  /** `r` or `w`. Default: `w` for a disk, `r` for a CD-ROM. */
  readonly mode?: 'r' | 'w';
  /** Default: `disk` if there is a source. */
  readonly deviceType?: 'disk' | 'cdrom';
  /** Its size in sectors of 512 bytes, whatever its sector size. Default: 2097152, which is 1 GiB. */
  readonly sectors?: number;
  /** Bytes of a logical sector. Default: 512. */
  readonly sectorSize?: number;
  /** Bytes of a physical sector. Default: as `sectorSize`. */
  readonly physicalSectorSize?: number;
  /** The domain that serves it. Default: 0; another one is a driver domain. */
  readonly backendDomid?: number;
}

/** Where a disk is in xenstore. */
export interface DiskPlace {
  readonly devid: number;
  readonly kind: DiskKind;
  /** The guest's folder. */
  readonly frontend: string;
  /** The folder of whoever serves the disk. */
  readonly backend: string;
  /** libxl's own notes; XAPI makes none. */
  readonly libxl: string | undefined;
}

/** The xenbus states that a disk goes through here. */
export const XenbusState = {
  initialising: '1',
  initWait: '2',
  connected: '4',
  closed: '6',
} as const;

/** Where a disk of a guest is. */
export function placeDisk(toolstack: Toolstack, domid: number, disk: DiskSpec): DiskPlace {
  const devid = parseDiskName(disk.name);
  const kind = disk.kind ?? 'vbd';
  const device = kind === 'virtio_disk' ? 'virtio_disk' : 'vbd';
  return {
    devid,
    kind,
    frontend: `/local/domain/${domid}/device/${device}/${devid}`,
    backend: `/local/domain/${disk.backendDomid ?? 0}/backend/${kind}/${domid}/${devid}`,
    libxl: toolstack === 'xl' ? `/libxl/${domid}/device/${device}/${devid}` : undefined,
  };
}

/** The nodes of the control domain, as they are before there is any guest. */
export function dom0Nodes(toolstack: Toolstack): Node[] {
  const uuid = '00000000-0000-0000-0000-000000000000';
  // libxl gives dom0 no uuid
  return toolstack === 'xl'
    ? under('/local/domain/0', [
        ['domid', '0'],
        ['name', 'Domain-0'],
      ])
    : domainNodes({ domid: 0, name: 'Domain-0', uuid });
}

/** The nodes of a guest without devices. */
export function guestNodes(toolstack: Toolstack, guest: GuestSpec): Node[] {
  const nodes = domainNodes(guest);
  return toolstack === 'xl' ? [...nodes, [`/libxl/${guest.domid}/type`, 'pv']] : nodes;
}

/** The folders that go when a guest goes, but for its disks' backends: see {@link diskFolders}. */
export function guestFolders(
  toolstack: Toolstack,
  { domid, uuid }: Omit<GuestSpec, 'name'>,
): string[] {
  const folders = [`/local/domain/${domid}`, `/vm/${uuid}`];
  return toolstack === 'xl' ? [...folders, `/libxl/${domid}`] : folders;
}

/**
 * The nodes of a disk whose backend is ready and waits for the guest: the backend's state is 2, and
 * what only {@link connectedNodes} has is missing.
 */
export function diskNodes(toolstack: Toolstack, domid: number, disk: DiskSpec): Node[] {
  const place = placeDisk(toolstack, domid, disk);
  const { frontend, backend, libxl } = place;
  const configured = toolstack === 'xl' ? libxlBackend(domid, disk) : xapiBackend(domid, disk);
  return [
    ...under(frontend, frontendNodes(toolstack, disk, place)),
    ...under(backend, configured),
    ...under(backend, readyNodes(disk)),
    // a copy of what was written first: nobody brings its state up to date
    ...(libxl ? under(libxl, [['frontend', frontend], ['backend', backend], ...configured]) : []),
  ];
}

/** What both sides write when the guest's driver connects. Nobody does for virtio. */
export function connectedNodes(domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend, backend, devid } = placeDisk('xl', domid, disk);
  if (kind === 'virtio_disk') return [];
  const { mode, deviceType } = defaults(disk);
  const sectorSize = disk.sectorSize ?? 512;
  const sectors = disk.sectors ?? 2 ** 21;
  const physical = String(disk.physicalSectorSize ?? sectorSize);
  const channel = String((devid & 1023) + 8);
  return [
    ...under(frontend, [
      ['ring-ref', channel],
      ['event-channel', channel],
      ['protocol', 'x86_64-abi'],
      ['feature-persistent', '1'],
      ['state', XenbusState.connected],
    ]),
    ...under(backend, [
      ['feature-flush-cache', '1'],
      ...(mode === 'w' ? discardNodes(sectorSize) : []),
      ['feature-barrier', '1'],
      ['feature-persistent', '1'],
      // QEMU counts sectors of its own size, everyone else 512 bytes
      ['sectors', String(kind === 'qdisk' ? Math.floor((sectors * 512) / sectorSize) : sectors)],
      ['info', String((deviceType === 'cdrom' ? 1 : 0) | (mode === 'r' ? 4 : 0))],
      ['sector-size', String(sectorSize)],
      ...(kind === 'qdisk' ? [] : [['physical-sector-size', physical] as const]),
      ['state', XenbusState.connected],
    ]),
  ];
}

/** What both sides write when the guest's driver lets go of the disk; the rest stays. */
export function disconnectedNodes(domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend, backend } = placeDisk('xl', domid, disk);
  if (kind === 'virtio_disk') return [];
  return [frontend, backend].map((folder) => [`${folder}/state`, XenbusState.closed]);
}

/** The folders that go when a disk goes. */
export function diskFolders(toolstack: Toolstack, domid: number, disk: DiskSpec): string[] {
  const { frontend, backend, libxl } = placeDisk(toolstack, domid, disk);
  return libxl ? [frontend, backend, libxl] : [frontend, backend];
}

/** Whether there is no medium. */
export function isEmptyDrive(disk: DiskSpec): boolean {
  return (disk.source ?? '') === '';
}

function under(folder: string, nodes: readonly Node[]): Node[] {
  return nodes.map(([name, value]) => [`${folder}/${name}`, value]);
}

function defaults(disk: DiskSpec) {
  const deviceType = disk.deviceType ?? (isEmptyDrive(disk) ? 'cdrom' : 'disk');
  return { deviceType, mode: disk.mode ?? (deviceType === 'cdrom' ? 'r' : 'w') };
}

function domainNodes({ domid, name, uuid }: GuestSpec): Node[] {
  return [
    ...under(`/local/domain/${domid}`, [
      ['vm', `/vm/${uuid}`],
      ['name', name],
      ['domid', String(domid)],
    ]),
    ...under(`/vm/${uuid}`, [
      ['uuid', uuid],
      ['name', name],
    ]),
  ];
}

function frontendNodes(
  toolstack: Toolstack,
  disk: DiskSpec,
  { backend, devid }: DiskPlace,
): Node[] {
  return [
    ['backend', backend],
    ['backend-id', String(disk.backendDomid ?? 0)],
    ['state', XenbusState.initialising],
    ['virtual-device', String(devid)],
    ['device-type', defaults(disk).deviceType],
    ...(toolstack === 'xl' ? [['trusted', '1'] as const] : []),
  ];
}

function libxlBackend(domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend } = placeDisk('xl', domid, disk);
  const { deviceType, mode } = defaults(disk);
  const type = { vbd: 'phy', vbd3: 'vbd3', qdisk: 'qdisk', tap: 'tap', virtio_disk: 'standalone' };
  return [
    ['frontend', frontend],
    ['frontend-id', String(domid)],
    ['online', '1'],
    ['removable', '1'],
    ['bootable', '1'],
    ['state', XenbusState.initialising],
    ['dev', disk.name],
    ['type', type[kind]],
    ['mode', mode],
    ['device-type', deviceType],
    ['discard-enable', mode === 'w' ? '1' : '0'],
    ['specification', kind === 'virtio_disk' ? 'virtio' : 'xen'],
    ...(kind === 'virtio_disk' ? [['transport', 'mmio'] as const] : []),
    ...(kind === 'vbd' ? [['script', '/etc/xen/scripts/block'] as const] : []),
    ...paramsNodes(disk),
  ];
}

/** XAPI leaves the device type to the guest's folder, and tells what its storage knows of the disk. */
function xapiBackend(domid: number, disk: DiskSpec): Node[] {
  const { frontend } = placeDisk('xapi', domid, disk);
  const vdi = /[0-9a-f-]{36}$/.exec(disk.source ?? '')?.[0];
  return [
    ['frontend', frontend],
    ['frontend-id', String(domid)],
    ['online', '1'],
    ['removable', '1'],
    ['state', XenbusState.initialising],
    ['dev', disk.name],
    ['type', 'phy'],
    ['mode', defaults(disk).mode],
    ['params', params(disk)],
    ...(vdi === undefined ? [] : [['sm-data/vdi-uuid', vdi] as const]),
  ];
}

/**
 * In a disk's `params`: `/dev/vg/web1` for whoever takes a device, `qcow2:/srv/web1` for QEMU, and for
 * a blkback that was given what it cannot read.
 */
function params(disk: DiskSpec): string {
  const { kind = 'vbd', format = 'raw', source = '' } = disk;
  const formatted = kind === 'qdisk' || (kind === 'vbd' && format !== 'raw');
  return formatted ? `${formatWord(disk)}:${source}` : source;
}

/** For a tapdisk the file is in a node of its own. */
function paramsNodes(disk: DiskSpec): Node[] {
  const tapdisk = ['tapdisk-params', `${formatWord(disk)}:${disk.source ?? ''}`] as const;
  switch (disk.kind) {
    case 'vbd3':
      return [tapdisk, ['params', params(disk)]];
    case 'tap':
      return [tapdisk, ['params', '/dev/xen/blktap-2/tapdev0']];
    default:
      return [['params', params(disk)]];
  }
}

/** libxl's word for a format: raw bytes are `aio`, the way that they were once read. */
function formatWord({ format = 'raw' }: DiskSpec): string {
  return format === 'raw' ? 'aio' : format;
}

/** What the backend writes at its start, and for a device the hotplug script before it. */
function readyNodes(disk: DiskSpec): Node[] {
  const { kind = 'vbd', source = '' } = disk;
  if (kind === 'virtio_disk') return [];
  if (kind !== 'vbd') {
    return [
      ['hotplug-status', 'connected'],
      ['state', XenbusState.initWait],
    ];
  }
  const probed: Node[] = [
    ['feature-max-indirect-segments', '256'],
    ['multi-queue-max-queues', '1'],
    ['max-ring-page-order', '4'],
    ['state', XenbusState.initWait],
  ];
  if (isEmptyDrive(disk)) return probed;
  return [
    ['physical-device', 'fe:10'],
    ['physical-device-path', source],
    ['hotplug-status', 'connected'],
    ...probed,
  ];
}

function discardNodes(sectorSize: number): Node[] {
  return [
    ['discard-granularity', String(sectorSize)],
    ['discard-alignment', '0'],
    ['discard-secure', '0'],
    ['feature-discard', '1'],
  ];
}
