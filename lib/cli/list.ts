import type { Command } from 'commander';
import type { Connection, DiskInfo, Domain } from '..';
import { findDomain } from './domain';
import { addHostOptions, withConnection, type HostValues } from './host-command';
import { toJson } from './json';

const HEADINGS = [
  'DOMID',
  'DOMAIN',
  'DISK',
  'DEVID',
  'BACKEND',
  'DRIVER',
  'FORMAT',
  'MODE',
  'STATE',
];

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
      listed.map(({ domain: { domid, name, uuid }, disks }) => ({ domid, name, uuid, disks })),
    );
  }
  const rows = listed.flatMap(({ domain: it, disks }) =>
    disks.length === 0
      ? [[String(it.domid), it.name ?? '-', ...HEADINGS.slice(2).map(() => '-'), '-']]
      : disks.map((disk) => row(it, disk)),
  );
  return table([[...HEADINGS, 'SOURCE'], ...rows]);
}

function row(domain: Domain, disk: DiskInfo): string[] {
  return [
    String(domain.domid),
    domain.name ?? '-',
    disk.name,
    String(disk.devid),
    disk.backendDomid === 0 ? disk.kind : `${disk.kind}@${disk.backendDomid}`,
    disk.driver,
    disk.format,
    disk.deviceType === 'cdrom' ? `${disk.mode},cdrom` : disk.mode,
    STATES[disk.state ?? 0] ?? String(disk.state),
    disk.source ?? '-',
  ];
}

/** Formats rows of cells in columns that are as wide as their widest cell. */
function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, i) =>
    Math.max(...rows.map((cells) => cells[i]?.length ?? 0)),
  );
  return rows
    .map((cells) => cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}
