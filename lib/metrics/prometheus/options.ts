import { outOfRange } from '../../errors';
import { Options } from '../../options';
import type { MetricNames } from './families';

/** The options of {@link MetricsText} and {@link registerDiskSet}. */
export interface MetricsOptions {
  /**
   * The naming of metrics and labels. `'xen'`, the default:
   * `xen_block_read_bytes_total{domain,uuid,disk}` ... `'libvirt'`, for dashboards made for libvirt's
   * exporters: `libvirt_domain_block_stats_read_bytes_total{domain,target_device}` ..., and the names of
   * `'xen'` for metrics that those exporters do not have.
   */
  names?: MetricNames | undefined;
}

/** The options of {@link MetricsText.scrapeAsync}. */
export interface ScrapeOptions {
  /** How long to wait for QEMU, in milliseconds; default: the connection's `timeoutMs`. */
  timeoutMs?: number | undefined;
}

/**
 * Checks the options, and returns them with their defaults.
 *
 * @throws TypeError `ERR_INVALID_ARG_TYPE`, RangeError `ERR_OUT_OF_RANGE`.
 */
export function checkOptions(options: MetricsOptions): { names: MetricNames } {
  const names = new Options(options).string('names') ?? 'xen';
  if (names === 'xen' || names === 'libvirt') return { names };
  throw outOfRange('options.names', 'xen or libvirt', names);
}
