export { MetricsText } from './text';
export { registerDiskSet } from './collector';
export type { MetricsOptions } from './options';
export type { MetricNames } from './families';
