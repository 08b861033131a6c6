import type { Metric, Registry, RegistryContentType } from 'prom-client';
import { DiskLabels } from '../disk-labels';
import type { DiskSet } from '../../sampling/disk-set';
import {
  diskFamilies,
  hostFamilies,
  type DiskFamily,
  type Family,
  type HostFamily,
  type Labels,
} from './families';
import { checkOptions, type MetricsOptions } from './options';
import { Readings } from './readings';

/** One number of a metric, as prom-client has it. */
interface Sample {
  readonly value: number;
  readonly labels: Labels;
}

const NO_LABELS: Labels = Object.freeze({});

/**
 * Has a registry of prom-client give the metrics of a set of disks. The set is sampled when the registry
 * is asked, once for all of its metrics.
 *
 * @throws what the registry throws if it has a metric of one of these names; none is registered then.
 * @returns takes the metrics out of the registry; to be called before the set is closed.
 */
export function registerDiskSet(
  registry: Registry<RegistryContentType>,
  set: DiskSet,
  options: MetricsOptions = {},
): () => void {
  const { names } = checkOptions(options);
  const readings = new Readings(set);
  const families = [...diskFamilies(names), ...hostFamilies(names)];
  const labels = new Map(
    diskFamilies(names).map((family) => [family.labels, new DiskLabels(family.labels)]),
  );

  /** A registry asks all of its metrics in one go, and then waits for their answers. */
  let isFresh = false;
  const refresh = () => {
    if (isFresh) return;
    readings.sample();
    isFresh = true;
    queueMicrotask(() => {
      isFresh = false;
    });
  };

  const samples = (family: DiskFamily | HostFamily): Sample[] => {
    refresh();
    if (!('labels' in family)) return [{ value: family.value(readings), labels: NO_LABELS }];
    const { disks } = set;
    const texts = labels.get(family.labels)?.of(disks) ?? [];
    return disks.flatMap((disk, row) => {
      const value = family.value(set, row, disk);
      return value < 0 ? [] : [{ value, labels: texts[row] ?? NO_LABELS }];
    });
  };

  const registered: string[] = [];
  const unregister = () => {
    for (const name of registered.splice(0)) registry.removeSingleMetric(name);
  };
  try {
    for (const family of families) {
      registry.registerMetric(toMetric(family, () => samples(family)));
      registered.push(family.name);
    }
  } catch (error) {
    // the registry has another metric of this name
    unregister();
    throw error;
  }
  return unregister;
}

/**
 * What a registry needs of a metric. It is none of prom-client's own: those have only increments, and
 * would keep a copy of every number.
 */
function toMetric({ name, help, type }: Family, samples: () => Sample[]): Metric {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    // the registry may have changed the name: OpenMetrics has it without _total
    get: () => Promise.resolve({ ...metric, values: samples() }),
    reset: () => undefined,
  };
  return metric as unknown as Metric;
}
