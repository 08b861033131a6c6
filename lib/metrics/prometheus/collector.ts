import { DiskLabels } from '../disk-labels';
import type { DiskSet } from '../../sampling/disk-set';
import {
  NO_LABELS,
  diskFamilies,
  hostFamilies,
  type DiskFamily,
  type Family,
  type HostFamily,
  type Sample,
} from './families';
import { checkOptions, type MetricsOptions } from './options';
import { Readings } from './readings';

/**
 * The methods of prom-client's `Registry` that {@link registerDiskSet} calls. Programs without prom-client
 * compile, because prom-client's own types are not used.
 */
export interface MetricRegistry {
  registerMetric(metric: object): void;
  removeSingleMetric(name: string): void;
}

/**
 * Registers the metrics of a set of disks with a registry of prom-client. Each collection of the registry
 * samples the set once, for all metrics. After the set is closed, the metrics have no values.
 *
 * @throws the registry's error if it has a metric with one of the names. No metric is registered then.
 * TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE` for invalid arguments.
 * @returns a function that removes the metrics from the registry.
 */
export function registerDiskSet(
  registry: MetricRegistry,
  set: DiskSet,
  options: MetricsOptions = {},
): () => void {
  const { names } = checkOptions(options);
  const readings = new Readings(set);
  const families = [...diskFamilies(names), ...hostFamilies(names)];
  const labels = new Map(
    diskFamilies(names).map((family) => [family.labels, new DiskLabels(family.labels)]),
  );

  /** Whether the set was sampled in this collection: a registry calls `get` of all metrics synchronously. */
  let isFresh = false;
  const refresh = () => {
    if (isFresh) return;
    readings.sample();
    isFresh = true;
    queueMicrotask(() => {
      isFresh = false;
    });
  };

  const samples = (family: DiskFamily | HostFamily): readonly Sample[] => {
    if (set.isClosed) return [];
    refresh();
    if ('samples' in family) return family.samples(readings);
    const { disks } = set;
    const rowLabels = labels.get(family.labels)?.of(disks) ?? [];
    return disks.flatMap((disk, row) => {
      const value = family.value(set, row, disk);
      return value < 0 ? [] : [{ value, labels: rowLabels[row] ?? NO_LABELS }];
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
    unregister();
    throw error;
  }
  return unregister;
}

/**
 * Creates an object with the members of prom-client's Metric that a registry uses. prom-client's own
 * counters have only increments, and would keep a copy of every number.
 */
function toMetric({ name, help, type }: Family, samples: () => readonly Sample[]): object {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    // the registry may have changed the name of `metric`: OpenMetrics omits _total
    get: () => Promise.resolve({ ...metric, values: samples() }),
    reset: () => undefined,
  };
  return metric;
}
