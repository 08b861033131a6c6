export { MetricsText } from './text';
export { registerDiskSet, type MetricRegistry } from './collector';
export type { MetricsOptions, ScrapeOptions } from './options';
export type { MetricNames } from './families';
