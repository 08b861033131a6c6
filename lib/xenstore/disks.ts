import { devidOf, diskName } from '../disk-name';
import { parseSectorSize } from '../libvirt/sector-size';
import {
  DISK_KINDS,
  DRIVERS,
  isDiskKind,
  kindDirectory,
  type DiskDriver,
  type DiskKind,
} from './backend-kinds';
import type { NodeText, Query } from './client';
import { isSameDomain, type DomainIdentity } from './domains';

/** What a disk is, as its backend's directory in xenstore says. It never changes: see {@link Disk.info}. */
export interface DiskInfo {
  /** The domid of the domain that has it. */
  readonly domid: number;
  /** The name of that domain; undefined if xenstored does not tell. */
  readonly domain: string | undefined;
  /** The UUID of that domain; undefined if xenstored does not tell. */
  readonly uuid: string | undefined;
  /** Its name in the guest's configuration (`xvda`): the backend's `dev`. */
  readonly name: string;
  /** Its number, 0 to 2^31 - 1: see `parseDiskName`. */
  readonly devid: number;
  /** The kind of its backend. */
  readonly kind: DiskKind;
  /** The backend's directory in xenstore: no other disk has the same at the same time. */
  readonly backend: string;
  /** The domain that serves it. */
  readonly backendDomid: number;
  /** What serves it, in libvirt's words. */
  readonly driver: DiskDriver;
  /** `raw`, `qcow2`, `vhd` ...: from the backend's `params` or `tapdisk-params`. */
  readonly format: string;
  /** The file or device behind it; undefined for an empty drive. */
  readonly source: string | undefined;
  /** `r` or `w`. */
  readonly mode: 'r' | 'w';
  /** `cdrom` for a drive whose medium can be changed. */
  readonly deviceType: 'disk' | 'cdrom';
  /**
   * The backend's xenbus state: 1 initialising, 2 waiting for the guest, 3 initialised, 4 connected,
   * 5 closing, 6 closed; undefined if there is none.
   */
  readonly state: number | undefined;
  /** Its size in sectors of 512 bytes, for a vbd whatever its sector size; undefined until the guest connects. */
  readonly sectors: number | undefined;
  /** Bytes of a logical sector; undefined until the guest connects. */
  readonly sectorSize: number | undefined;
  /** Bytes of a physical sector; undefined until the guest connects. libvirt multiplies by it. */
  readonly physicalSectorSize: number | undefined;
}

/** What is known of a disk before its description is read. */
export interface DiskLocation extends Pick<
  DiskInfo,
  'domid' | 'devid' | 'kind' | 'backend' | 'backendDomid'
> {
  /** The directory that describes it: the backend's, or, if that is another domain's, libxl's copy. */
  readonly description: string;
}

/**
 * The disks of a domain. The frontend's side is not read: the guest can write there what it likes.
 * Disks that another domain serves are known from libxl's own nodes, where there are any. By devid;
 * of two with the same devid, the first kind's.
 */
export function locateDisks(query: Query, ownDomid: number, domid: number): DiskLocation[] {
  const ofKind = (kind: DiskKind) => `${kindDirectory(ownDomid, kind)}/${domid}`;
  const libxl = ['vbd', 'virtio_disk'].map((type) => `/libxl/${domid}/device/${type}`);
  // one request; xenstored refuses libxl's nodes to a driver domain
  const backends = [`/local/domain/${ownDomid}/backend`, ofKind('vbd')];
  const [present, vbds, ...libxlLists] = query.list([...backends, ...libxl], backends.length);
  const kinds = DISK_KINDS.filter((kind) => kind !== 'vbd' && present?.includes(kind) === true);
  const lists = [vbds, ...query.list(kinds.map(ofKind))];

  const own = (['vbd', ...kinds] as const).flatMap((kind, i) =>
    toDevids(lists[i]).map((devid) => ownLocation(ownDomid, kind, domid, devid)),
  );
  // the first kind's comes last, and stays
  const byDevid = new Map(own.reverse().map((disk) => [disk.devid, disk]));
  const notes = libxl.flatMap((directory, i) =>
    toDevids(libxlLists[i])
      .filter((devid) => !byDevid.has(devid))
      .map((devid) => ({ devid, description: `${directory}/${devid}` })),
  );
  const others = locateOtherDisks(query, ownDomid, domid, notes);
  return [...byDevid.values(), ...others].sort((a, b) => a.devid - b.devid);
}

/** The disks that another domain serves, by the directories that libxl keeps of them. */
function locateOtherDisks(
  query: Query,
  ownDomid: number,
  domid: number,
  notes: readonly Pick<DiskLocation, 'devid' | 'description'>[],
): DiskLocation[] {
  const backends = query.read(notes.map(({ description }) => `${description}/backend`));
  return notes.flatMap((disk, i) => {
    const location = parseBackend(backends[i], domid, disk.devid);
    return location && location.backendDomid !== ownDomid ? [{ domid, ...disk, ...location }] : [];
  });
}

/** Where a disk is described that this domain serves. */
export function ownLocation(
  ownDomid: number,
  kind: DiskKind,
  domid: number,
  devid: number,
): DiskLocation {
  const backend = `${kindDirectory(ownDomid, kind)}/${domid}/${devid}`;
  return { domid, devid, kind, backend, backendDomid: ownDomid, description: backend };
}

/** The devids among the names of a directory of disks. */
export function toDevids(names: readonly string[] | null | undefined): number[] {
  return (names ?? [])
    .filter((name) => /^(0|[1-9][0-9]{0,9})$/.test(name))
    .map(Number)
    .filter((devid) => devid < 2 ** 31);
}

/** A path to a backend of this disk, and to nothing else. */
function parseBackend(
  text: NodeText,
  domid: number,
  devid: number,
): { backend: string; backendDomid: number; kind: DiskKind } | undefined {
  const match = /^\/local\/domain\/([0-9]{1,5})\/backend\/([a-z0-9_]+)\/([0-9]+)\/([0-9]+)$/.exec(
    text ?? '',
  );
  const kind = match?.[2];
  if (!match || kind === undefined || !isDiskKind(kind)) return undefined;
  if (Number(match[3]) !== domid || Number(match[4]) !== devid) return undefined;
  return { backend: match[0], backendDomid: Number(match[1]), kind };
}

const NODES = [
  'dev',
  'params',
  'tapdisk-params',
  'mode',
  'device-type',
  'state',
  'sectors',
  'sector-size',
  'physical-sector-size',
] as const;

/** The nodes that describe disks. */
export function diskNodes(locations: readonly DiskLocation[]): string[] {
  return locations.flatMap(({ description }) => NODES.map((node) => `${description}/${node}`));
}

/**
 * Describes those of these disks that a domain has, by the values of all disks' {@link diskNodes}. A
 * disk that has no nodes is left out.
 */
export function toDiskInfos(
  domain: DomainIdentity,
  locations: readonly DiskLocation[],
  values: readonly NodeText[],
): DiskInfo[] {
  return locations.flatMap((location, i) => {
    if (location.domid !== domain.domid) return [];
    const nodes = values.slice(i * NODES.length, (i + 1) * NODES.length);
    return nodes.every((node) => node === undefined) ? [] : [describe(domain, location, nodes)];
  });
}

/** Whether two descriptions are of one disk, which the domain has had all the time in between. */
export function isSameDisk(before: DiskInfo, now: DiskInfo): boolean {
  return (
    before.backend === now.backend &&
    before.source === now.source &&
    isSameDomain({ ...before, name: before.domain }, { ...now, name: now.domain })
  );
}

function describe(
  domain: DomainIdentity,
  { devid, kind, backend, backendDomid }: DiskLocation,
  nodes: readonly NodeText[],
): DiskInfo {
  const node = (name: (typeof NODES)[number]) => nodes[NODES.indexOf(name)] ?? '';
  const dev = node('dev');
  return Object.freeze({
    domid: domain.domid,
    domain: domain.name,
    uuid: domain.uuid,
    name: devidOf(dev) === devid ? dev : diskName(devid),
    devid,
    kind,
    backend,
    backendDomid,
    driver: DRIVERS[kind],
    ...parseParams(node('params'), node('tapdisk-params')),
    mode: node('mode').startsWith('r') ? 'r' : 'w',
    deviceType: node('device-type') === 'cdrom' ? 'cdrom' : 'disk',
    state: parseNumber(node('state')),
    sectors: parseNumber(node('sectors')),
    sectorSize: parseSectorSize(node('sector-size')),
    physicalSectorSize: parseSectorSize(node('physical-sector-size')),
  });
}

/** Words for a format before a source; other words there belong to the source (`rbd:pool/image`). */
const FORMATTED = /^(?:(aio|phy|file|raw|qcow2?|vhd|vdi|vmdk|qed):)?(.*)$/;

/** `/dev/vg/web1` or `qcow2:/srv/web1.qcow2`; a tapdisk's own file is in a node of its own. */
function parseParams(params: string, tapdiskParams: string): Pick<DiskInfo, 'format' | 'source'> {
  const match = FORMATTED.exec(tapdiskParams === '' ? params : tapdiskParams);
  const format = match?.[1] ?? 'raw';
  return {
    // these are ways to reach raw bytes
    format: ['aio', 'phy', 'file'].includes(format) ? 'raw' : format,
    source: match?.[2] === '' ? undefined : match?.[2],
  };
}

function parseNumber(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
