import type { Attributes, BatchObservableCallback, Meter, Observable } from '@opentelemetry/api';
import { DiskLabels } from './disk-labels';
import type { DiskSet } from '../sampling/disk-set';
import { Column } from '../native';
import type { SetDisk } from '../sampling/set-disk';

/** What tells a disk's numbers from another's, by the direction that they are about. */
interface DiskAttributes {
  readonly none: Attributes;
  readonly read: Attributes;
  readonly write: Attributes;
}

/** An instrument with the column that it observes. */
interface Observed {
  readonly instrument: Observable;
  readonly column: keyof typeof Column;
  readonly direction: keyof DiskAttributes;
}

const WIDTH = Object.keys(Column).length;

/**
 * Has a meter observe a set of disks. The set is sampled when metrics are collected, once for all of its
 * instruments. Names are those of OpenTelemetry's semantic conventions where there are any:
 * `system.disk.io`, `system.disk.operations`, `system.disk.limit`.
 *
 * @returns ends it; to be called before the set is closed.
 */
export function observeDiskSet(meter: Meter, set: DiskSet): () => void {
  const io = meter.createObservableCounter('system.disk.io', {
    description: 'Disk bytes transferred.',
    unit: 'By',
  });
  const operations = meter.createObservableCounter('system.disk.operations', {
    description: 'Disk operations count.',
    unit: '{operation}',
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
  const observed: readonly Observed[] = [
    { instrument: io, column: 'rdBytes', direction: 'read' },
    { instrument: io, column: 'wrBytes', direction: 'write' },
    { instrument: operations, column: 'rdReq', direction: 'read' },
    { instrument: operations, column: 'wrReq', direction: 'write' },
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
        'xen.disk.delayed',
        'Requests that were delayed because the backend was busy (oo_req).',
      ),
      column: 'outOfRequests',
      direction: 'none',
    },
  ];
  const cache = new DiskLabels(toAttributes);

  const observe: BatchObservableCallback = (result) => {
    const { disks, errors } = set.sample();
    const attributes = cache.of(disks);
    for (const [row, disk] of disks.entries()) {
      const of = attributes[row];
      if (of === undefined) continue;
      for (const { instrument, column, direction } of observed) {
        const value = set.values[row * WIDTH + Column[column]] ?? -1;
        if (value >= 0) result.observe(instrument, value, of[direction]);
      }
      const { sectors } = disk.info;
      if (sectors !== undefined) result.observe(limit, sectors * 512, of.none);
      result.observe(up, errors.has(disk) ? 0 : 1, of.none);
    }
  };
  const instruments = [...new Set(observed.map(({ instrument }) => instrument)), limit, up];
  meter.addBatchObservableCallback(observe, instruments);
  return () => {
    meter.removeBatchObservableCallback(observe, instruments);
  };
}

function toAttributes({ domain, uuid, domid, name }: SetDisk): DiskAttributes {
  const disk: Attributes = {
    'system.device': name,
    'xen.domain.id': domid,
    ...(domain !== undefined && { 'xen.domain.name': domain }),
    ...(uuid !== undefined && { 'xen.domain.uuid': uuid }),
  };
  return {
    none: disk,
    read: { ...disk, 'disk.io.direction': 'read' },
    write: { ...disk, 'disk.io.direction': 'write' },
  };
}
