import { Column, ROW_LENGTH } from '../../native';
import { readVersion } from '../../version';
import { sizeOf, type DiskInfo } from '../../xenstore/disks';
import type { MakeLabels } from '../disk-labels';
import type { Reading } from '../readings';
import { countUnsupported } from '../unsupported-disks';
import { BACKING, BACKING_INFO } from './backing-families';
import {
  NO_LABELS,
  diskLabels,
  gauge,
  type DiskFamily,
  type HostFamily,
  type Labels,
} from './family';

const VERSION = readVersion();

/** The naming of the metrics and labels: this package's, or that of libvirt's exporters. */
export type MetricNames = 'xen' | 'libvirt';

const NS_PER_SECOND = 1e9;

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

/**
 * Creates a family for a column of the set.
 *
 * @param unit - the number of the column's units in the family's unit.
 */
function counter(
  name: string,
  help: string,
  column: keyof typeof Column,
  labels: MakeLabels<Labels> = diskLabels,
  unit = 1,
): DiskFamily {
  const offset = Column[column];
  return {
    name,
    help,
    type: 'counter',
    labels,
    value: (reading, row) =>
      reading.isCurrent(row) ? (reading.set.values[row * ROW_LENGTH + offset] ?? -1) / unit : -1,
  };
}

const size: DiskFamily['value'] = (_reading, _row, disk) => sizeOf(disk) ?? -1;

const XEN: readonly DiskFamily[] = [
  counter('xen_block_read_bytes_total', 'Bytes that the guest read.', 'rdBytes'),
  counter('xen_block_read_requests_total', 'Read requests of the guest.', 'rdReq'),
  counter('xen_block_write_bytes_total', 'Bytes that the guest wrote.', 'wrBytes'),
  counter('xen_block_write_requests_total', 'Write requests of the guest.', 'wrReq'),
  counter('xen_block_flush_requests_total', 'Flush and barrier requests of the guest.', 'flushReq'),
  counter(
    'xen_block_read_seconds_total',
    "Time that the guest's read requests took in all.",
    'rdTimeNs',
    diskLabels,
    NS_PER_SECOND,
  ),
  counter(
    'xen_block_write_seconds_total',
    "Time that the guest's write requests took in all.",
    'wrTimeNs',
    diskLabels,
    NS_PER_SECOND,
  ),
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
  counter(
    'libvirt_domain_block_stats_read_time_seconds_total',
    'Total time spent on reads from a block device, in seconds.',
    'rdTimeNs',
    libvirtLabels,
    NS_PER_SECOND,
  ),
  counter(
    'libvirt_domain_block_stats_write_time_seconds_total',
    'Total time spent on writes on a block device, in seconds.',
    'wrTimeNs',
    libvirtLabels,
    NS_PER_SECOND,
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
  counter('xen_block_io_errors_total', 'Requests of the guest that failed.', 'ioErrors'),
  gauge(
    'xen_block_state',
    'Xenbus state of the backend: 1 initialising, 2 waiting for the guest, 3 initialised, 4 connected, 5 closing, 6 closed.',
    (_reading, _row, { state }) => state ?? -1,
  ),
  gauge('xen_block_up', 'Whether the counters of the disk could be read.', (reading, row) =>
    Number(reading.isCurrent(row)),
  ),
];

/** Returns the samples of a family with one metric, which has no labels. */
const single = (value: (reading: Reading) => number): HostFamily['samples'] => {
  return (reading) => [{ labels: NO_LABELS, value: value(reading) }];
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
    help: 'Disks with metrics.',
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
    samples: single((reading) => reading.seconds),
  },
];

const LIBVIRT_UP: HostFamily = {
  name: 'libvirt_up',
  help: "Whether scraping libvirt's metrics was successful.",
  type: 'gauge',
  samples: single(() => 1),
};

/** Returns the families of the disks of a set. */
export function diskFamilies(names: MetricNames, hasBacking: boolean): readonly DiskFamily[] {
  return [...(names === 'libvirt' ? LIBVIRT : XEN), ...BOTH, ...(hasBacking ? BACKING : [])];
}

/** Returns the other families. The last one is the duration of the scrape, to include the others. */
export function hostFamilies(names: MetricNames, hasBacking: boolean): readonly HostFamily[] {
  const backing = hasBacking ? [BACKING_INFO] : [];
  return [...backing, ...(names === 'libvirt' ? [LIBVIRT_UP] : []), ...HOST];
}
