import type { Command } from 'commander';
import type { Connection, DiskInfo } from '..';
import { isReadable } from '../backends/readable';
import { sizeOf } from '../xenstore/disks';
import { findDomain } from './domain';
import { addHostOptions, withConnection, type HostValues } from './host-command';
import { toJson } from './json';
import { formatSize } from './rates/units';
import { formatTable, toField } from './table';
import { takesUtf8 } from './text';

/** The names of xenbus' states, by their numbers. */
const STATES = [
  'unknown',
  'initialising',
  'waiting',
  'initialised',
  'connected',
  'closing',
  'closed',
];

/** The columns of a disk, after those of its domain. */
const COLUMNS: readonly { heading: string; of: (disk: DiskInfo, ownDomid: number) => string }[] = [
  { heading: 'DISK', of: ({ name }) => name },
  { heading: 'DEVID', of: ({ devid }) => String(devid) },
  {
    heading: 'BACKEND',
    of: ({ kind, backendDomid }, ownDomid) =>
      backendDomid === ownDomid ? kind : `${kind}@${backendDomid}`,
  },
  { heading: 'DRIVER', of: ({ driver }) => driver },
  { heading: 'READABLE', of: (disk, ownDomid) => (isReadable(disk, ownDomid) ? 'yes' : 'no') },
  { heading: 'FORMAT', of: ({ format }) => format },
  {
    heading: 'MODE',
    of: ({ mode, deviceType }) => (deviceType === 'cdrom' ? `${mode},cdrom` : mode),
  },
  { heading: 'STATE', of: ({ state }) => STATES[state ?? 0] ?? String(state) },
  {
    heading: 'SIZE',
    of: (disk) => {
      const size = sizeOf(disk);
      return size === undefined ? '-' : formatSize(size);
    },
  },
  { heading: 'SECTOR', of: sectorOf },
  { heading: 'SOURCE', of: ({ source }) => source ?? '-' },
];

export function define(program: Command): void {
  const command = program
    .command('list')
    .description('print the running domains with their disks')
    .argument('[domain]', 'print the disks of this domain only')
    .option('--json', 'print JSON');
  addHostOptions(command).action(
    async (domain: string | undefined, values: HostValues & { json?: true }) => {
      await withConnection(values, {}, (xen) => {
        process.stdout.write(list(xen, domain, values.json === true));
      });
    },
  );
}

/** Returns the running domains with their disks, as a table or as JSON. */
function list(xen: Connection, domain: string | undefined, isJson: boolean): string {
  const domains = domain === undefined ? xen.domains() : [findDomain(xen, domain)];
  const listed = domains.map((it) => ({ domain: it, disks: it.disks() }));
  if (isJson) {
    return toJson(
      listed.map(({ domain: { domid, name, uuid }, disks }) => ({
        domid,
        domain: name,
        uuid,
        disks: disks.map((disk) => toRecord(disk, xen.ownDomid)),
      })),
    );
  }
  const style = { utf8: takesUtf8() };
  const rows = listed.flatMap(({ domain: { domid, name }, disks }) => {
    const cells =
      disks.length === 0
        ? [COLUMNS.map(() => '-')]
        : disks.map((disk) => COLUMNS.map(({ of }) => of(disk, xen.ownDomid)));
    return cells.map((row) =>
      [String(domid), name ?? '-', ...row].map((text) => toField(text, style)),
    );
  });
  const headings = ['DOMID', 'DOMAIN', ...COLUMNS.map(({ heading }) => heading)];
  return formatTable([headings, ...rows], () => false)
    .map((line) => `${line}\n`)
    .join('');
}

/** Returns the description of a disk, with the name `disk` that all JSON has for a disk's name. */
function toRecord({ domid, domain, uuid, name, ...info }: DiskInfo, ownDomid: number): object {
  const readable = isReadable({ domid, domain, uuid, name, ...info }, ownDomid);
  return { domid, domain, uuid, disk: name, ...info, readable };
}

/** Returns the sizes of a logical and of a physical sector, in bytes. */
function sectorOf({ sectorSize, physicalSectorSize }: DiskInfo): string {
  return sectorSize === undefined ? '-' : `${sectorSize}/${physicalSectorSize ?? sectorSize}`;
}
