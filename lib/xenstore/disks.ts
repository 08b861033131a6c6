import { devidOf, diskName } from '../disk-name';
import { parseSectorSize } from '../libvirt/sector-size';
import type { Answer } from '../native';
import {
  DISK_KINDS,
  DRIVERS,
  backendsDirectory,
  isDiskKind,
  kindDirectory,
  type DiskDriver,
  type DiskKind,
} from './backend-kinds';
import { toTexts, type NodeText, type Query } from './client';
import { isSameDomain, type DomainIdentity } from './domains';

/** The description of a disk, from its backend directory in xenstore. The object is frozen. */
export interface DiskInfo {
  /** The domid of the disk's domain. */
  readonly domid: number;
  /** The name of the disk's domain; undefined if xenstore has none that may be read. */
  readonly domain: string | undefined;
  /** The UUID of the disk's domain; undefined if xenstore has none that may be read. */
  readonly uuid: string | undefined;
  /** The name in the guest's configuration (`xvda`): the backend's node `dev`. */
  readonly name: string;
  /** The devid, 0 to 2^31 - 1: see `parseDiskName`. */
  readonly devid: number;
  /** The kind of the backend. */
  readonly kind: DiskKind;
  /** The backend directory in xenstore, which identifies a disk at any one time. */
  readonly backend: string;
  /** The domid of the domain that serves the disk. */
  readonly backendDomid: number;
  /** The driver that serves the disk. */
  readonly driver: DiskDriver;
  /**
   * The pid of the tapdisk process that serves the disk, from the backend's node `kthread-pid`; undefined for
   * disks of other drivers and other domains, and if the node is missing or has no number.
   */
  readonly tapdiskPid: number | undefined;
  /** `raw`, `qcow2`, `vhd` ...: from the backend's node `params` or `tapdisk-params`. */
  readonly format: string;
  /** The file or device that stores the disk, from the same node; undefined for an empty drive. */
  readonly source: string | undefined;
  /** `r` if the disk is read-only, else `w`. */
  readonly mode: 'r' | 'w';
  /** `cdrom` for a drive with a removable medium. */
  readonly deviceType: 'disk' | 'cdrom';
  /**
   * The backend's xenbus state, its node `state`: 1 initialising, 2 waiting for the guest, 3 initialised,
   * 4 connected, 5 closing, 6 closed; undefined if it is missing.
   */
  readonly state: number | undefined;
  /**
   * The size in sectors, the node `sectors`; undefined until the guest connects. A qdisk's sectors have
   * `sectorSize` bytes, those of other kinds 512 bytes, independently of `sectorSize`.
   */
  readonly sectors: number | undefined;
  /** Bytes of a logical sector, the node `sector-size`; undefined until the guest connects. */
  readonly sectorSize: number | undefined;
  /** Bytes of a physical sector, the node `physical-sector-size`; undefined until the guest connects. */
  readonly physicalSectorSize: number | undefined;
}

/** The directory of libxl's own nodes, which only the toolstack writes. */
export const LIBXL_DIRECTORY = '/libxl';

/** The location of a disk, known before its description is read. */
export interface DiskLocation extends Pick<
  DiskInfo,
  'domid' | 'devid' | 'kind' | 'backend' | 'backendDomid' | 'tapdiskPid'
> {
  /** The directory of the nodes that describe the disk: the backend directory, or libxl's copy of another domain's. */
  readonly description: string;
}

/** Returns the directories that tell which disks a domain has: that of its vbds, and two of libxl. */
export function diskDirectories(
  ownDomid: number,
  domid: number,
): [vbds: string, ...libxl: string[]] {
  return [`${kindDirectory(ownDomid, 'vbd')}/${domid}`, ...libxlDirectories(domid)];
}

function libxlDirectories(domid: number): string[] {
  return ['vbd', 'virtio_disk'].map((type) => `${LIBXL_DIRECTORY}/${domid}/device/${type}`);
}

/** Returns the locations of a domain's vbds, in the order of their devids. */
export function locateVbds(
  ownDomid: number,
  domid: number,
  names: readonly string[],
): DiskLocation[] {
  return toDevids(names)
    .sort((a, b) => a - b)
    .map((devid) => locationOf(ownDomid, 'vbd', domid, devid));
}

/**
 * Finds the disks of a domain that are no vbds of this domain, in the order of their devids. libxl lists
 * all disks of its domains, whatever serves them. Other toolstacks do not, and xenstored refuses a driver
 * domain libxl's nodes: then this domain's backends of other kinds are listed. Reads no frontend directory,
 * because the guest can write to it.
 *
 * @param vbds - the domain's vbds, which take precedence over other disks with the same devid.
 * @param libxlLists - the children of libxl's {@link diskDirectories}.
 */
export function locateOthers(
  query: Query,
  ownDomid: number,
  domid: number,
  vbds: readonly DiskLocation[],
  libxlLists: readonly string[][],
): DiskLocation[] {
  const known = vbds.map(({ devid }) => devid);
  const found = libxlLists.some((names) => names.length > 0)
    ? locateByLibxl(query, ownDomid, domid, known, libxlLists)
    : locateByKinds(query, ownDomid, domid);
  const others = withoutDuplicates(found).filter(({ devid }) => !known.includes(devid));
  return withTapdiskPids(others, query.read(tapdiskNodes(others)));
}

/** Finds the disks of libxl's directories `/libxl/<domid>/device/<type>/<devid>`, but those that are known. */
function locateByLibxl(
  query: Query,
  ownDomid: number,
  domid: number,
  known: readonly number[],
  lists: readonly string[][],
): DiskLocation[] {
  const disks = libxlDirectories(domid).flatMap((directory, i) =>
    toDevids(lists[i])
      .filter((devid) => !known.includes(devid))
      .map((devid) => ({ devid, copy: `${directory}/${devid}` })),
  );
  const backends = query.read(disks.map(({ copy }) => `${copy}/backend`));
  return disks.flatMap(({ devid, copy }, i) => {
    const { backendDomid, kind } = parseBackend(backends[i], domid, devid) ?? {};
    if (backendDomid === undefined || kind === undefined) return [];
    const location = locationOf(backendDomid, kind, domid, devid);
    return [backendDomid === ownDomid ? location : { ...location, description: copy }];
  });
}

/** Finds the disks of a domain that this domain serves, but its vbds, by the kinds of their backends. */
function locateByKinds(query: Query, ownDomid: number, domid: number): DiskLocation[] {
  const [present = []] = query.list([backendsDirectory(ownDomid)]);
  const kinds = DISK_KINDS.filter((kind) => kind !== 'vbd' && present.includes(kind));
  const lists = query.list(kinds.map((kind) => `${kindDirectory(ownDomid, kind)}/${domid}`));
  return kinds.flatMap((kind, i) =>
    toDevids(lists[i]).map((devid) => locationOf(ownDomid, kind, domid, devid)),
  );
}

/** Returns the locations in the order of domid and devid: of two with the same ones, the first. */
export function withoutDuplicates(locations: readonly DiskLocation[]): DiskLocation[] {
  // reversed, so that the first one overwrites the others
  const first = new Map(locations.toReversed().map((it) => [`${it.domid}/${it.devid}`, it]));
  return [...first.values()].sort((a, b) => a.domid - b.domid || a.devid - b.devid);
}

/** Returns the location of a disk that is described in its backend directory. */
export function locationOf(
  backendDomid: number,
  kind: DiskKind,
  domid: number,
  devid: number,
): DiskLocation {
  const backend = `${kindDirectory(backendDomid, kind)}/${domid}/${devid}`;
  return { domid, devid, kind, backend, backendDomid, tapdiskPid: undefined, description: backend };
}

/** Returns the paths of the nodes with the pids of the tapdisk processes of this domain that serve these disks. */
export function tapdiskNodes(locations: readonly DiskLocation[]): string[] {
  return locations.filter(hasTapdisk).map(({ backend }) => `${backend}/kthread-pid`);
}

/** Whether a tapdisk of this domain serves the disk. A disk of another domain is described by libxl's copy. */
function hasTapdisk({ kind, backend, description }: DiskLocation): boolean {
  return kind === 'vbd3' && description === backend;
}

/** Adds the values of the {@link tapdiskNodes} to locations. */
export function withTapdiskPids(
  locations: readonly DiskLocation[],
  values: readonly NodeText[],
): DiskLocation[] {
  const pids = values.values();
  return locations.map((it) =>
    hasTapdisk(it) ? { ...it, tapdiskPid: parsePid(pids.next().value) } : it,
  );
}

/** Parses a pid: decimal digits without a leading zero, below 2^31. */
function parsePid(text: NodeText): number | undefined {
  const pid = /^[1-9][0-9]{0,9}$/.test(text ?? '') ? Number(text) : Infinity;
  return pid < 2 ** 31 ? pid : undefined;
}

/** Returns the devids among the names of a directory's children. */
export function toDevids(names: readonly string[] | null | undefined): number[] {
  return (names ?? [])
    .filter((name) => /^(0|[1-9][0-9]{0,9})$/.test(name))
    .map(Number)
    .filter((devid) => devid < 2 ** 31);
}

/** `/local/domain/<backend's domid>/backend/<kind>/<guest's domid>/<devid>`. */
const BACKEND = /^\/local\/domain\/([0-9]{1,5})\/backend\/([a-z0-9_]+)\/([0-9]+)\/([0-9]+)$/;

/** Parses the path of a backend directory. Returns undefined unless it is a backend of this disk. */
function parseBackend(
  text: NodeText,
  domid: number,
  devid: number,
): { backendDomid: number; kind: DiskKind } | undefined {
  const [, backendDomid, kind = '', ...disk] = BACKEND.exec(text ?? '') ?? [];
  const isOfDisk = Number(disk[0]) === domid && Number(disk[1]) === devid;
  if (!isDiskKind(kind) || !isOfDisk) return undefined;
  return { backendDomid: Number(backendDomid), kind };
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

const NODES_OF_DISK = `{${NODES.join(',')}}`;

/** Returns a path for each disk, whose answer is the nodes that describe it. */
export function diskNodes(locations: readonly Pick<DiskLocation, 'description'>[]): string[] {
  return locations.map(({ description }) => `${description}/${NODES_OF_DISK}`);
}

/**
 * Creates the descriptions of a domain's disks. Omits disks of other domains and disks without nodes.
 *
 * @param answers - the answers to the {@link diskNodes} of all locations.
 */
export function toDiskInfos(
  domain: DomainIdentity,
  locations: readonly DiskLocation[],
  answers: readonly (Answer | undefined)[],
): DiskInfo[] {
  return locations.flatMap((location, i) => {
    if (location.domid !== domain.domid) return [];
    const nodes = toTexts(answers[i]);
    return nodes.every((node) => node === undefined) ? [] : [toDiskInfo(domain, location, nodes)];
  });
}

/** Whether two descriptions are of the same disk: the same backend directory, source and domain. */
export function isSameDisk(before: DiskInfo, now: DiskInfo): boolean {
  return (
    before.backend === now.backend &&
    before.source === now.source &&
    isSameDomain({ ...before, name: before.domain }, { ...now, name: now.domain })
  );
}

/** Returns the size of a disk in bytes; undefined until the guest connects. */
export function sizeOf({ kind, sectors, sectorSize }: DiskInfo): number | undefined {
  if (sectors === undefined) return undefined;
  return sectors * (kind === 'qdisk' ? (sectorSize ?? 512) : 512);
}

function toDiskInfo(
  domain: DomainIdentity,
  { devid, kind, backend, backendDomid, tapdiskPid }: DiskLocation,
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
    tapdiskPid,
    ...parseParams(node('params'), node('tapdisk-params')),
    mode: node('mode').startsWith('r') ? 'r' : 'w',
    deviceType: node('device-type') === 'cdrom' ? 'cdrom' : 'disk',
    state: parseNumber(node('state')),
    sectors: parseNumber(node('sectors')),
    sectorSize: parseSectorSize(node('sector-size')),
    physicalSectorSize: parseSectorSize(node('physical-sector-size')),
  });
}

/** A source with an optional format prefix. Any other prefix belongs to the source (`rbd:pool/image`). */
const FORMAT_AND_SOURCE = /^(?:(aio|phy|file|raw|qcow2?|vhd|vdi|vmdk|qed):)?(.*)$/;

/** Parses `/dev/vg/web1` or `qcow2:/srv/web1.qcow2`. `tapdisk-params`, where present, has tapdisk's source. */
function parseParams(params: string, tapdiskParams: string): Pick<DiskInfo, 'format' | 'source'> {
  const match = FORMAT_AND_SOURCE.exec(tapdiskParams === '' ? params : tapdiskParams);
  const format = match?.[1] ?? 'raw';
  return {
    // these prefixes name ways of access to a raw image
    format: ['aio', 'phy', 'file'].includes(format) ? 'raw' : format,
    source: match?.[2] === '' ? undefined : match?.[2],
  };
}

function parseNumber(text: string): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}
