import type { DiskInfo } from '../../xenstore/disks';
import type { MakeLabels } from '../disk-labels';
import type { Reading } from '../readings';

/** The values of labels, by name. */
export type Labels = Readonly<Record<string, string>>;

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
  readonly value: (reading: Reading, row: number, disk: DiskInfo) => number;
}

/** A value of a family, in the form of prom-client. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** A metric family of the whole host, or one whose labels change while the disks stay the same. */
export interface HostFamily extends Family {
  readonly samples: (reading: Reading) => readonly Sample[];
}

export const NO_LABELS: Labels = Object.freeze({});

/** The labels that identify a disk, also after the guest restarts. */
export function diskLabels({ domain, uuid = '', domid, name }: DiskInfo): Labels {
  return { domain: domain ?? String(domid), uuid, disk: name };
}

/** Creates a family of gauges. */
export function gauge(
  name: string,
  help: string,
  value: DiskFamily['value'],
  labels: MakeLabels<Labels> = diskLabels,
): DiskFamily {
  return { name, help, type: 'gauge', labels, value };
}
