import type { DiskSet } from '../../sampling/disk-set';
import { DiskLabels } from '../disk-labels';
import { Readings, type Reading } from '../readings';
import { diskFamilies, hostFamilies } from './families';
import { NO_LABELS, type DiskFamily, type Family, type HostFamily, type Sample } from './family';
import { checkOptions, type MetricsOptions } from './options';

/**
 * The methods of prom-client's `Registry` that {@link registerDiskSet} calls. Programs without prom-client
 * compile, because prom-client's own types are not used.
 */
export interface MetricRegistry {
  registerMetric(metric: object): void;
  removeSingleMetric(name: string): void;
}

/** The samples of all families in one collection; undefined if the set is closed. */
type Collection = ReadonlyMap<Family, readonly Sample[]> | undefined;

/**
 * Registers the metrics of a set of disks with a registry of prom-client. Each collection of the registry
 * samples the set once, for all metrics, and waits for QEMU at most for the connection's `timeoutMs`. A disk
 * whose QEMU does not answer in time has `xen_block_up` 0 and no counters. After the set is closed, the
 * metrics have no values.
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
  const ofDisks = diskFamilies(names, set.hasBacking);
  const families = [...ofDisks, ...hostFamilies(names, set.hasBacking)];
  const labels = new Map(ofDisks.map((family) => [family.labels, new DiskLabels(family.labels)]));

  const samples = (family: DiskFamily | HostFamily, reading: Reading): readonly Sample[] => {
    if ('samples' in family) return family.samples(reading);
    const { disks } = set;
    const rowLabels = labels.get(family.labels)?.of(disks) ?? [];
    return disks.flatMap((disk, row) => {
      const value = family.value(reading, row, disk);
      return value < 0 ? [] : [{ value, labels: rowLabels[row] ?? NO_LABELS }];
    });
  };

  const collect = async (): Promise<Collection> => {
    const reading = await readings.sampleUnlessClosed();
    // all at once: other code may sample the set between the calls of two metrics
    return reading && new Map(families.map((family) => [family, samples(family, reading)]));
  };

  /** The collection that the registry has begun: it calls `get` of all metrics synchronously. */
  let begun: Promise<Collection> | undefined;
  const collectOnce = (): Promise<Collection> => {
    if (begun === undefined) {
      begun = collect();
      queueMicrotask(() => {
        begun = undefined;
      });
    }
    return begun;
  };

  const registered: string[] = [];
  const unregister = () => {
    for (const name of registered.splice(0)) registry.removeSingleMetric(name);
  };
  try {
    for (const family of families) {
      const values = async () => (await collectOnce())?.get(family) ?? [];
      registry.registerMetric(toMetric(family, values));
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
function toMetric({ name, help, type }: Family, samples: () => Promise<readonly Sample[]>): object {
  const metric = {
    name,
    help,
    type,
    aggregator: 'sum',
    // the registry may have changed the name of `metric`: OpenMetrics omits _total
    get: async () => {
      const values = await samples();
      return { ...metric, values };
    },
    reset: () => undefined,
  };
  return metric;
}
