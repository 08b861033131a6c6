import type { Attributes, BatchObservableCallback, Meter, Observable } from '@opentelemetry/api';
import { Column, ROW_LENGTH } from '../native';
import type { DiskSet } from '../sampling/disk-set';
import { sizeOf, type DiskInfo } from '../xenstore/disks';
import { DiskLabels } from './disk-labels';
import { Readings } from './readings';
import { countUnsupported } from './unsupported-disks';

/** The attributes of a disk, for each direction of I/O. */
interface DiskAttributes {
  /** The attributes without a direction, as JSON: the key of the disk. */
  readonly key: string;
  readonly none: Attributes;
  readonly read: Attributes;
  readonly write: Attributes;
}

/** An instrument, and the column that it observes. */
interface Observed {
  readonly instrument: Observable;
  readonly column: keyof typeof Column;
  readonly direction: 'none' | 'read' | 'write';
  /** The number of the column's units in the instrument's unit; default: 1. */
  readonly unit?: number;
}

const NS_PER_SECOND = 1e9;

/** What is observed of a set that was closed. */
const CLOSED = { disks: [], unsupported: [], values: new Float64Array() };

/**
 * Creates instruments of a meter that observe a set of disks. Each collection of metrics samples the set
 * once, for all instruments, and waits for QEMU at most for the connection's `timeoutMs`. The instruments
 * `system.disk.*` follow OpenTelemetry's semantic conventions; the others, which have no convention, begin
 * with `xen.disk`. A disk whose QEMU does not answer in time has `xen.disk.up` 0, and no new values. The SDK
 * exports the last values of a removed disk again and again, so its `xen.disk.up` is observed as 0, as is
 * that of every disk after the set is closed.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE` if the counters of the set are bigints.
 * @returns a function that ends the observation.
 */
export function observeDiskSet(meter: Meter, set: DiskSet): () => void {
  const readings = new Readings(set);
  const io = meter.createObservableCounter('system.disk.io', {
    description: 'Disk bytes transferred.',
    unit: 'By',
  });
  const operations = meter.createObservableCounter('system.disk.operations', {
    description: 'Disk operations count.',
    unit: '{operation}',
  });
  const operationTime = meter.createObservableCounter('system.disk.operation_time', {
    description: 'Sum of the time each operation took to complete.',
    unit: 's',
  });
  const requests = (name: string, description: string) =>
    meter.createObservableCounter(name, { description, unit: '{request}' });
  const limit = meter.createObservableUpDownCounter('system.disk.limit', {
    description: 'The total storage capacity of the disk.',
    unit: 'By',
  });
  const up = meter.createObservableGauge('xen.disk.up', {
    description: 'Whether the counters of the disk could be read: 1 or 0.',
  });
  const unsupportedDisks = meter.createObservableUpDownCounter('xen.disk.unsupported', {
    description: 'Disks that are not observed, by the driver that serves them.',
    unit: '{disk}',
  });
  const observed: readonly Observed[] = [
    { instrument: io, column: 'rdBytes', direction: 'read' },
    { instrument: io, column: 'wrBytes', direction: 'write' },
    { instrument: operations, column: 'rdReq', direction: 'read' },
    { instrument: operations, column: 'wrReq', direction: 'write' },
    { instrument: operationTime, column: 'rdTimeNs', direction: 'read', unit: NS_PER_SECOND },
    { instrument: operationTime, column: 'wrTimeNs', direction: 'write', unit: NS_PER_SECOND },
    {
      instrument: requests('xen.disk.flushes', 'Flush and barrier requests of the guest.'),
      column: 'flushReq',
      direction: 'none',
    },
    {
      instrument: requests('xen.disk.discards', 'Discard requests of the guest.'),
      column: 'discardReq',
      direction: 'none',
    },
    {
      instrument: requests(
        'xen.disk.oo_requests',
        'Requests that were delayed because the backend was busy (oo_req).',
      ),
      column: 'ooReq',
      direction: 'none',
    },
    {
      instrument: requests('xen.disk.io_errors', 'Requests of the guest that failed.'),
      column: 'ioErrors',
      direction: 'none',
    },
  ];
  const labels = new DiskLabels(toAttributes);
  /** The attributes of the disks of the last collection, by key. */
  let present = new Map<string, Attributes>();

  // the SDK waits for the promise, at most for the timeout of the export
  const observe: BatchObservableCallback = async (result) => {
    const reading = await readings.sampleUnlessClosed();
    const { disks, unsupported, values } = reading?.set ?? CLOSED;
    const attributes = labels.of(disks);
    const previous = present;
    present = new Map();
    for (const [row, info] of disks.entries()) {
      const disk = attributes[row];
      if (disk === undefined) continue;
      const isCurrent = reading?.isCurrent(row) === true;
      for (const { instrument, column, direction, unit = 1 } of isCurrent ? observed : []) {
        const value = values[row * ROW_LENGTH + Column[column]] ?? -1;
        if (value >= 0) result.observe(instrument, value / unit, disk[direction]);
      }
      const size = sizeOf(info);
      if (size !== undefined) result.observe(limit, size, disk.none);
      result.observe(up, Number(isCurrent), disk.none);
      present.set(disk.key, disk.none);
    }
    for (const [key, attributes] of previous) {
      if (!present.has(key)) result.observe(up, 0, attributes);
    }
    for (const { driver, count } of countUnsupported(unsupported)) {
      result.observe(unsupportedDisks, count, { 'xen.disk.driver': driver });
    }
  };
  const instruments = [
    ...new Set(observed.map(({ instrument }) => instrument)),
    limit,
    up,
    unsupportedDisks,
  ];
  meter.addBatchObservableCallback(observe, instruments);
  return () => {
    meter.removeBatchObservableCallback(observe, instruments);
  };
}

function toAttributes({ domain, uuid, domid, name }: DiskInfo): DiskAttributes {
  const disk: Attributes = {
    'system.device': name,
    ...(domain !== undefined && { 'xen.domain.name': domain }),
    // the domid changes when the guest restarts
    ...(uuid === undefined ? { 'xen.domain.id': domid } : { 'xen.domain.uuid': uuid }),
  };
  return {
    key: JSON.stringify(disk),
    none: disk,
    read: { ...disk, 'disk.io.direction': 'read' },
    write: { ...disk, 'disk.io.direction': 'write' },
  };
}
