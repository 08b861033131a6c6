import { Options } from '../../options';
import type { DiskSet } from '../../sampling/disk-set';
import { DiskLabels } from '../disk-labels';
import { Readings, type Reading } from '../readings';
import { diskFamilies, hostFamilies } from './families';
import type { DiskFamily, Family, HostFamily, Labels } from './family';
import { checkOptions, type MetricsOptions, type ScrapeOptions } from './options';
import { TextBuffer } from './text-buffer';

/** A family with its HELP and TYPE lines and its name, encoded. */
type Encoded<F extends Family> = F & { readonly header: Buffer; readonly prefix: Buffer };

/**
 * The metrics of a set of disks in Prometheus' text format, version 0.0.4. For a registry of prom-client see
 * {@link registerDiskSet}.
 */
export class MetricsText {
  /** The value of the HTTP header `Content-Type`. */
  static readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';

  readonly #readings: Readings;
  readonly #disks: readonly Encoded<DiskFamily>[];
  readonly #host: readonly Encoded<HostFamily>[];
  /** The encoded labels of the disks, by the function that creates them. */
  readonly #labels = new Map<DiskFamily['labels'], DiskLabels<Buffer>>();
  readonly #buffer = new TextBuffer();

  /**
   * @param set - the set to scrape. The caller closes it after the last scrape.
   * @throws TypeError `ERR_INVALID_ARG_TYPE` if the counters of the set are bigints, or an option has the
   * wrong type; RangeError `ERR_OUT_OF_RANGE`.
   */
  constructor(set: DiskSet, options: MetricsOptions = {}) {
    const { names } = checkOptions(options);
    this.#readings = new Readings(set);
    this.#disks = diskFamilies(names, set.hasBacking).map(encode);
    this.#host = hostFamilies(names, set.hasBacking).map(encode);
    for (const { labels } of this.#disks) {
      if (this.#labels.has(labels)) continue;
      this.#labels.set(
        labels,
        new DiskLabels((disk, domain) => encodeLabels(labels(disk, domain))),
      );
    }
  }

  /**
   * Samples the set and formats the metrics. A disk that cannot be read has `xen_block_up` 0 and no counters;
   * so has a disk of QEMU, unless QEMU has answered since the last scrape.
   *
   * @returns the text in UTF-8, in a buffer that is not reused.
   * @throws XenError `ERR_XEN_CLOSED`.
   */
  scrape(): Buffer {
    return this.#format(this.#readings.sample());
  }

  /**
   * Asks QEMU for its disks, samples the set and formats the metrics. A disk that cannot be read has
   * `xen_block_up` 0 and no counters; so has a disk whose QEMU does not answer in time. Scrapes can overlap.
   *
   * @param options.timeoutMs - how long to wait for QEMU, in milliseconds; default: the connection's
   * `timeoutMs`.
   * @returns the text in UTF-8, in a buffer that is not reused.
   * @throws XenError `ERR_XEN_CLOSED`, also if the set is closed meanwhile; TypeError
   * `ERR_INVALID_ARG_TYPE`; RangeError `ERR_OUT_OF_RANGE`.
   */
  async scrapeAsync(options?: ScrapeOptions): Promise<Buffer> {
    const timeoutMs = new Options(options).number('timeoutMs');
    return this.#format(await this.#readings.sampleAsync(timeoutMs));
  }

  #format(reading: Reading): Buffer {
    const { disks } = reading.set;
    const labels = new Map([...this.#labels].map(([key, cache]) => [key, cache.of(disks)]));
    const buffer = this.#buffer;
    buffer.clear();
    for (const family of this.#disks) {
      const texts = labels.get(family.labels) ?? [];
      buffer.append(family.header);
      for (const [row, disk] of disks.entries()) {
        const value = family.value(reading, row, disk);
        const text = texts[row];
        if (value < 0 || text === undefined) continue;
        buffer.append(family.prefix);
        buffer.append(text);
        buffer.endLine(value);
      }
    }
    for (const family of this.#host) {
      buffer.append(family.header);
      for (const { labels, value } of family.samples(reading)) {
        buffer.append(family.prefix);
        buffer.append(encodeLabels(labels));
        buffer.endLine(value);
      }
    }
    return buffer.copy();
  }
}

function encode<F extends Family>(family: F): Encoded<F> {
  const { name, help, type } = family;
  const header = Buffer.from(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
  return { ...family, header, prefix: Buffer.from(name) };
}

/** Formats and encodes labels, if there are any. */
export function encodeLabels(labels: Labels): Buffer {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`);
  return Buffer.from(pairs.length === 0 ? '' : `{${pairs.join(',')}}`);
}

/** Escapes a label's value. Values from xenstore contain no newlines: they are replaced when a node is read. */
function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
