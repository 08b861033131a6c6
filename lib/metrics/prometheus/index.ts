export { MetricsText } from './text';
export { registerDiskSet, type MetricRegistry } from './collector';
export type { MetricsOptions } from './options';
export type { MetricNames } from './families';
