import { BackingColumn } from '../../native';
import { diskLabels, gauge, type DiskFamily, type HostFamily } from './family';

/** Milliseconds in a second. */
const MILLISECONDS = 1e3;

/** Creates the value of a column of the disk's backing device. */
function backingValue(column: keyof typeof BackingColumn, unit = 1): DiskFamily['value'] {
  const offset = BackingColumn[column];
  return ({ backings }, row) => (backings[row]?.row[offset] ?? -1) / unit;
}

function backingCounter(
  name: string,
  help: string,
  column: keyof typeof BackingColumn,
  unit?: number,
): DiskFamily {
  const value = backingValue(column, unit);
  return { name, help, type: 'counter', labels: diskLabels, value };
}

/** The families of a set that reads backing devices. */
export const BACKING: readonly DiskFamily[] = [
  backingCounter(
    'xen_block_backing_reads_total',
    'Reads that the backing device has completed, for all of its users.',
    'rdIos',
  ),
  backingCounter(
    'xen_block_backing_writes_total',
    'Writes that the backing device has completed, for all of its users.',
    'wrIos',
  ),
  backingCounter(
    'xen_block_backing_flushes_total',
    'Flushes that the backing device has completed, for all of its users.',
    'flIos',
  ),
  backingCounter(
    'xen_block_backing_read_seconds_total',
    "Time that reads took in the backing device: not the guest's time, which is longer.",
    'rdTimeMs',
    MILLISECONDS,
  ),
  backingCounter(
    'xen_block_backing_write_seconds_total',
    "Time that writes took in the backing device: not the guest's time, which is longer.",
    'wrTimeMs',
    MILLISECONDS,
  ),
  backingCounter(
    'xen_block_backing_flush_seconds_total',
    "Time that flushes took in the backing device: not the guest's time, which is longer.",
    'flTimeMs',
    MILLISECONDS,
  ),
  backingCounter(
    'xen_block_backing_io_seconds_total',
    'Time during which the backing device had requests.',
    'ioTimeMs',
    MILLISECONDS,
  ),
  backingCounter(
    'xen_block_backing_queue_seconds_total',
    "Time that all requests took in the backing device: not the guest's time, which is longer.",
    'queueTimeMs',
    MILLISECONDS,
  ),
  gauge(
    'xen_block_backing_in_flight',
    'Requests that the backing device has begun and not completed.',
    backingValue('inFlight'),
  ),
];

/** The family whose labels are the backing devices. */
export const BACKING_INFO: HostFamily = {
  name: 'xen_block_backing_info',
  help: 'Backing device of the disk, major:minor, in its labels.',
  type: 'gauge',
  samples: ({ set, backings }) =>
    set.disks.flatMap((disk, row) => {
      const device = backings[row]?.device;
      return device === undefined ? [] : [{ labels: { ...diskLabels(disk), device }, value: 1 }];
    }),
};
