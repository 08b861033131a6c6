import { Column, ROW_LENGTH } from '../../native';
import { isFilled, type DiskSet } from '../../sampling/disk-set';
import { readVersion } from '../../version';
import type { DiskInfo } from '../../xenstore/disks';
import type { MakeLabels } from '../disk-labels';
import { countUnsupported } from '../unsupported-disks';
import type { Readings } from './readings';

const VERSION = readVersion();

/** The values of labels, by name. */
export type Labels = Readonly<Record<string, string>>;

/** The naming of the metrics and labels: this package's, or that of libvirt's exporters. */
export type MetricNames = 'xen' | 'libvirt';

/** A metric family: the metrics of one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
}

/** A metric family with a metric for each disk. */
export interface DiskFamily extends Family {
  readonly labels: MakeLabels<Labels>;
  /** Returns the value of the disk in a row, or -1 if it has none. */
  readonly value: (set: DiskSet, row: number, disk: DiskInfo) => number;
}

/** A value of a family, in the form of prom-client. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** A metric family with metrics of the whole host. */
export interface HostFamily extends Family {
  readonly samples: (readings: Readings) => readonly Sample[];
}

export const NO_LABELS: Labels = Object.freeze({});

/** The labels that identify a disk, also after the guest restarts. */
export function diskLabels({ domain, uuid = '', domid, name }: DiskInfo): Labels {
  return { domain: domain ?? String(domid), uuid, disk: name };
}

function infoLabels(disk: DiskInfo): Labels {
  return {
    ...diskLabels(disk),
    domid: String(disk.domid),
    backend: disk.kind,
    devid: String(disk.devid),
    source: disk.source ?? '',
    mode: disk.mode,
    device_type: disk.deviceType,
  };
}

function libvirtLabels({ name }: DiskInfo, domain: string): Labels {
  return { domain, target_device: name };
}

function libvirtMetaLabels(disk: DiskInfo, domain: string): Labels {
  return {
    ...libvirtLabels(disk, domain),
    source_file: disk.source ?? '',
    disk_type: 'block',
    driver_type: disk.format,
  };
}

/** Creates a family for a column of the set. */
function counter(
  name: string,
  help: string,
  column: keyof typeof Column,
  labels: MakeLabels<Labels> = diskLabels,
): DiskFamily {
  const offset = Column[column];
  return {
    name,
    help,
    type: 'counter',
    labels,
    value: (set, row) => set.values[row * ROW_LENGTH + offset] ?? -1,
  };
}

function gauge(
  name: string,
  help: string,
  value: DiskFamily['value'],
  labels: MakeLabels<Labels> = diskLabels,
): DiskFamily {
  return { name, help, type: 'gauge', labels, value };
}

/** The size of a disk in bytes: vbd's node `sectors` counts sectors of 512 bytes. */
const size: DiskFamily['value'] = (_set, _row, { sectors }) =>
  sectors === undefined ? -1 : sectors * 512;

const XEN: readonly DiskFamily[] = [
  counter('xen_block_read_bytes_total', 'Bytes that the guest read.', 'rdBytes'),
  counter('xen_block_read_requests_total', 'Read requests of the guest.', 'rdReq'),
  counter('xen_block_write_bytes_total', 'Bytes that the guest wrote.', 'wrBytes'),
  counter('xen_block_write_requests_total', 'Write requests of the guest.', 'wrReq'),
  counter('xen_block_flush_requests_total', 'Flush and barrier requests of the guest.', 'flushReq'),
  gauge('xen_block_size_bytes', 'Size of the disk; missing until the guest has connected.', size),
  gauge('xen_block_info', 'Description of the disk, in its labels.', () => 1, infoLabels),
];

/** The names and HELP texts of Tinkoff/libvirt-exporter. inovex/prometheus-libvirt-exporter has most of them, too. */
const LIBVIRT: readonly DiskFamily[] = [
  counter(
    'libvirt_domain_block_stats_read_bytes_total',
    'Number of bytes read from a block device, in bytes.',
    'rdBytes',
    libvirtLabels,
  ),
  counter(
    'libvirt_domain_block_stats_read_requests_total',
    'Number of read requests from a block device.',
    'rdReq',
    libvirtLabels,
  ),
  counter(
    'libvirt_domain_block_stats_write_bytes_total',
    'Number of bytes written to a block device, in bytes.',
    'wrBytes',
    libvirtLabels,
  ),
  counter(
    'libvirt_domain_block_stats_write_requests_total',
    'Number of write requests to a block device.',
    'wrReq',
    libvirtLabels,
  ),
  counter(
    'libvirt_domain_block_stats_flush_requests_total',
    'Total flush requests from a block device.',
    'flushReq',
    libvirtLabels,
  ),
  gauge(
    'libvirt_domain_block_stats_capacity_bytes',
    'Logical size in bytes of the block device.',
    size,
    libvirtLabels,
  ),
  gauge('libvirt_domain_block_meta', 'Block device metadata.', () => 1, libvirtMetaLabels),
];

/** The families for which libvirt's exporters have no names. */
const BOTH: readonly DiskFamily[] = [
  counter('xen_block_discard_requests_total', 'Discard requests of the guest.', 'discardReq'),
  counter(
    'xen_block_oo_requests_total',
    'Requests that were delayed because the backend was busy (oo_req).',
    'ooReq',
  ),
  gauge(
    'xen_block_state',
    'Xenbus state of the backend: 1 initialising, 2 waiting for the guest, 3 initialised, 4 connected, 5 closing, 6 closed.',
    (_set, _row, { state }) => state ?? -1,
  ),
  gauge('xen_block_up', 'Whether the counters of the disk could be read.', ({ values }, row) =>
    Number(isFilled(values, row)),
  ),
];

/** Returns the samples of a family with one metric, which has no labels. */
const single = (value: (readings: Readings) => number): HostFamily['samples'] => {
  return (readings) => [{ labels: NO_LABELS, value: value(readings) }];
};

const HOST: readonly HostFamily[] = [
  {
    name: 'xen_block_build_info',
    help: 'Versions of xen-block-stats and of Node.js, in its labels.',
    type: 'gauge',
    samples: () => [
      { labels: { version: VERSION, node_version: process.versions.node }, value: 1 },
    ],
  },
  {
    name: 'xen_block_disks',
    help: 'Disks that blkback serves on this host.',
    type: 'gauge',
    samples: single(({ set }) => set.disks.length),
  },
  {
    name: 'xen_block_unsupported_disks',
    help: 'Disks without metrics, by the driver that serves them.',
    type: 'gauge',
    samples: ({ set }) =>
      countUnsupported(set.unsupported).map(({ driver, count }) => ({
        labels: { driver },
        value: count,
      })),
  },
  {
    name: 'xen_block_watching',
    help: 'Whether xenstored responds and sends watch events; if not, the known disks are still read.',
    type: 'gauge',
    samples: single(({ set }) => Number(set.watching)),
  },
  {
    name: 'xen_block_scrape_errors_total',
    help: 'Disks whose counters could not be read, over all scrapes.',
    type: 'counter',
    samples: single(({ errors }) => errors),
  },
  {
    name: 'xen_block_scrape_duration_seconds',
    help: 'Duration of this scrape: reading all disks and formatting the metrics.',
    type: 'gauge',
    samples: single((readings) => readings.seconds),
  },
];

const LIBVIRT_UP: HostFamily = {
  name: 'libvirt_up',
  help: "Whether scraping libvirt's metrics was successful.",
  type: 'gauge',
  samples: single(() => 1),
};

/** Returns the families of the disks. */
export function diskFamilies(names: MetricNames): readonly DiskFamily[] {
  return [...(names === 'libvirt' ? LIBVIRT : XEN), ...BOTH];
}

/** Returns the families of the host. The last one is the duration of the scrape, to include the others. */
export function hostFamilies(names: MetricNames): readonly HostFamily[] {
  return names === 'libvirt' ? [LIBVIRT_UP, ...HOST] : HOST;
}
