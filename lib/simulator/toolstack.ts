import type { DiskKind } from '../xenstore/backend-kinds';
import { parseDiskName } from '../disk-name';

/*
 * The nodes that toolstacks and backends write to xenstore. These functions only return nodes; the caller
 * writes them, to the simulator's store or to a real xenstored.
 */

/** The toolstack: `xl` stands for libxl (xl, libvirt), `xapi` for XenServer and XCP-ng. */
export type Toolstack = 'xl' | 'xapi';

/** A node of xenstore. */
export type Node = readonly [path: string, value: string];

/** A guest, as xenstore describes it. */
export interface GuestSpec {
  /** 0 to 32751. */
  readonly domid: number;
  readonly name: string;
  /** As text with hyphens. */
  readonly uuid: string;
}

/** A disk, as a guest's configuration describes it. */
export interface DiskSpec {
  /** `xvda`, `xvdb1`, `hdc` and so on: see `parseDiskName`. */
  readonly name: string;
  /** The device or file behind it; without one, or with `''`, it is an empty CD-ROM drive. */
  readonly source?: string;
  /** The kind of its backend. Default: `vbd`, the kernel's blkback. */
  readonly kind?: DiskKind;
  /** `raw`, `qcow2`, `vhd` and so on. Default: `raw`. */
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
  /** The domain of its backend. Default: the host's own domain; another one is a driver domain. */
  readonly backendDomid?: number;
}

/** Returns the directories of a guest's disk: the guest's, the backend's and libxl's own; XAPI has none. */
export function placeDisk(toolstack: Toolstack, domid: number, disk: DiskSpec) {
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

/** Returns the nodes of dom0 before there are guests. */
export function dom0Nodes(toolstack: Toolstack): Node[] {
  // libxl gives dom0 no UUID
  if (toolstack === 'xl') return under('/local/domain/0', 'domid=0 name=Domain-0');
  const uuid = '00000000-0000-0000-0000-000000000000';
  return guestNodes(toolstack, { domid: 0, name: 'Domain-0', uuid });
}

/** Returns the nodes of a guest without devices. */
export function guestNodes(toolstack: Toolstack, { domid, name, uuid }: GuestSpec): Node[] {
  return [
    ...under(`/local/domain/${domid}`, `vm=/vm/${uuid} domid=${domid}`, ['name', name]),
    ...under(`/vm/${uuid}`, `uuid=${uuid}`, ['name', name]),
    ...(toolstack === 'xl' ? under(`/libxl/${domid}`, 'type=pv') : []),
  ];
}

/** Returns the directories of a guest, without those of its disks: see {@link diskDirectories}. */
export function guestDirectories(toolstack: Toolstack, { domid, uuid }: GuestSpec): string[] {
  const directories = [`/local/domain/${domid}`, `/vm/${uuid}`];
  return toolstack === 'xl' ? [...directories, `/libxl/${domid}`] : directories;
}

/**
 * Returns the nodes of a disk whose backend waits for the frontend: the backend's state is 2
 * (InitWait), and the nodes of {@link connectedNodes} are missing.
 */
export function diskNodes(toolstack: Toolstack, domid: number, disk: DiskSpec): Node[] {
  const { devid, frontend, backend, libxl } = placeDisk(toolstack, domid, disk);
  const { deviceType } = defaults(disk);
  const configured = toolstack === 'xl' ? libxlBackend : xapiBackend;
  return [
    ...under(
      frontend,
      `backend=${backend} backend-id=${disk.backendDomid ?? 0} state=1 virtual-device=${devid}`,
      ['device-type', deviceType],
      ...(toolstack === 'xl' ? [['trusted', '1'] as const] : []),
    ),
    ...configured(backend, domid, disk),
    ...readyNodes(backend, disk),
    // libxl keeps a copy of the backend's first nodes, and does not update its state
    ...(libxl ? under(libxl, `frontend=${frontend} backend=${backend}`) : []),
    ...(libxl ? configured(libxl, domid, disk) : []),
  ];
}

/** Returns the nodes that both sides write when the frontend connects; none for virtio. */
export function connectedNodes(domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend, backend, devid } = placeDisk('xl', domid, disk);
  if (kind === 'virtio_disk') return [];
  const { mode, deviceType } = defaults(disk);
  const { sectors = 2 ** 21, sectorSize = 512, physicalSectorSize = sectorSize } = disk;
  const channel = (devid & 1023) + 8;
  const info = (deviceType === 'cdrom' ? 1 : 0) | (mode === 'r' ? 4 : 0);
  // QEMU's sectors have the disk's sector size, those of other backends 512 bytes
  const size = kind === 'qdisk' ? Math.floor((sectors * 512) / sectorSize) : sectors;
  const discard = `discard-granularity=${sectorSize} discard-alignment=0 discard-secure=0`;
  const features = 'feature-flush-cache=1 feature-barrier=1 feature-persistent=1';
  return [
    ...under(frontend, `ring-ref=${channel} event-channel=${channel} protocol=x86_64-abi`),
    ...under(frontend, 'feature-persistent=1 state=4'),
    ...under(backend, kind === 'vbd3' ? 'feature-barrier=1' : features),
    ...(mode === 'w' && kind !== 'vbd3' ? under(backend, `${discard} feature-discard=1`) : []),
    ...under(backend, `sectors=${size} info=${info} sector-size=${sectorSize}`),
    ...(kind === 'qdisk' || kind === 'vbd3'
      ? []
      : under(backend, `physical-sector-size=${physicalSectorSize}`)),
    ...under(backend, 'state=4'),
  ];
}

/** Returns the nodes that both sides write when the frontend disconnects; the other nodes stay. */
export function disconnectedNodes(domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend, backend } = placeDisk('xl', domid, disk);
  if (kind === 'virtio_disk') return [];
  return [...under(frontend, 'state=6'), ...under(backend, 'state=6')];
}

/** Returns the directories of a disk. */
export function diskDirectories(toolstack: Toolstack, domid: number, disk: DiskSpec): string[] {
  const { frontend, backend, libxl } = placeDisk(toolstack, domid, disk);
  return libxl ? [frontend, backend, libxl] : [frontend, backend];
}

/** Returns whether a drive has no medium. */
export function isEmptyDrive(disk: DiskSpec): boolean {
  return (disk.source ?? '') === '';
}

/**
 * Returns nodes of one directory.
 *
 * @param nodes - `name=value`, separated by spaces.
 * @param more - nodes whose values can have spaces.
 */
function under(directory: string, nodes: string, ...more: Node[]): Node[] {
  const pairs = nodes.split(' ').map((node): Node => {
    const equals = node.indexOf('=');
    return [node.slice(0, equals), node.slice(equals + 1)];
  });
  return [...pairs, ...more].map(([name, value]) => [`${directory}/${name}`, value]);
}

function defaults(disk: DiskSpec) {
  const deviceType = disk.deviceType ?? (isEmptyDrive(disk) ? 'cdrom' : 'disk');
  return { deviceType, mode: disk.mode ?? (deviceType === 'cdrom' ? 'r' : 'w') };
}

/** Returns the nodes that libxl writes to a backend's directory. */
function libxlBackend(directory: string, domid: number, disk: DiskSpec): Node[] {
  const { kind, frontend } = placeDisk('xl', domid, disk);
  const { deviceType, mode } = defaults(disk);
  const types = { vbd: 'phy', vbd3: 'vbd3', qdisk: 'qdisk', tap: 'tap', virtio_disk: 'standalone' };
  const virtio = kind === 'virtio_disk';
  return [
    ...under(
      directory,
      `frontend=${frontend} frontend-id=${domid} online=1 removable=1 bootable=1`,
    ),
    ...under(directory, `state=1 dev=${disk.name} type=${types[kind]} mode=${mode}`),
    ...under(directory, `device-type=${deviceType} discard-enable=${mode === 'w' ? 1 : 0}`),
    ...under(directory, virtio ? 'specification=virtio transport=mmio' : 'specification=xen'),
    ...(kind === 'vbd' ? under(directory, 'script=/etc/xen/scripts/block') : []),
    ...paramsNodes(directory, disk),
  ];
}

/** Returns the nodes that XAPI writes to a backend's directory; its device type is in the frontend's. */
function xapiBackend(directory: string, domid: number, disk: DiskSpec): Node[] {
  const { frontend } = placeDisk('xapi', domid, disk);
  const vdi = /[0-9a-f-]{36}$/.exec(disk.source ?? '')?.[0];
  return [
    ...under(directory, `frontend=${frontend} frontend-id=${domid} online=1 removable=1 state=1`),
    ...under(directory, `dev=${disk.name} type=phy mode=${defaults(disk).mode}`),
    [`${directory}/params`, params(disk)],
    ...(vdi === undefined ? [] : under(directory, `sm-data/vdi-uuid=${vdi}`)),
  ];
}

/**
 * Returns a disk's `params`: `/dev/vg/web1` for a device, `qcow2:/srv/web1` for QEMU, and for a blkback
 * that is configured with a format other than raw.
 */
function params(disk: DiskSpec): string {
  const { kind = 'vbd', format = 'raw', source = '' } = disk;
  return kind === 'qdisk' || (kind === 'vbd' && format !== 'raw') ? formatted(disk) : source;
}

function paramsNodes(directory: string, disk: DiskSpec): Node[] {
  const value = disk.kind === 'tap' ? '/dev/xen/blktap-2/tapdev0' : params(disk);
  const nodes: Node[] = [[`${directory}/params`, value]];
  // tapdisk's file is in a node of its own
  if (disk.kind === 'vbd3' || disk.kind === 'tap') {
    nodes.push([`${directory}/tapdisk-params`, formatted(disk)]);
  }
  return nodes;
}

/** Returns a disk's format and source. libxl calls raw `aio`. */
function formatted({ format = 'raw', source = '' }: DiskSpec): string {
  return `${format === 'raw' ? 'aio' : format}:${source}`;
}

/** Returns the nodes that the backend writes when it starts, and those of a device's hotplug script. */
function readyNodes(backend: string, disk: DiskSpec): Node[] {
  const { kind = 'vbd', source = '' } = disk;
  if (kind === 'virtio_disk') return [];
  const device: Node = ['physical-device-path', source];
  if (kind === 'vbd3' && !isEmptyDrive(disk)) {
    // the simulator's process has the statistics file of tapdisk open
    const tapdisk = `hotplug-status=connected kthread-pid=${process.pid}`;
    return under(backend, `${tapdisk} max-ring-page-order=3 state=2`, device);
  }
  if (kind !== 'vbd') return under(backend, 'hotplug-status=connected state=2');
  return [
    ...(isEmptyDrive(disk)
      ? []
      : under(backend, 'physical-device=fe:10 hotplug-status=connected', device)),
    ...under(backend, 'feature-max-indirect-segments=256 multi-queue-max-queues=1'),
    ...under(backend, 'max-ring-page-order=4 state=2'),
  ];
}
