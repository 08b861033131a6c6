import { invalidType, outOfRange } from '../../errors';
import type { MetricNames } from './families';

/** How metrics are made. */
export interface MetricsOptions {
  /**
   * `'xen'`, the default: `xen_block_read_bytes_total{domain,uuid,disk}` ...; `'libvirt'`:
   * `libvirt_domain_block_stats_read_bytes_total{domain,target_device}` ..., for dashboards that exist,
   * and what libvirt's exporters do not have under the names of `'xen'`.
   */
  names?: MetricNames | undefined;
}

/** The options with their defaults. */
export function checkOptions(options: MetricsOptions): { names: MetricNames } {
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw invalidType('options', 'of type object', options);
  }
  const { names = 'xen' } = options;
  if (typeof names !== 'string') throw invalidType('options.names', 'of type string', names);
  if (!['xen', 'libvirt'].includes(names)) {
    throw outOfRange('options.names', 'xen or libvirt', names);
  }
  return { names };
}
