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
    this.#disks = diskFamilies(names).map(encode);
    this.#host = hostFamilies(names).map(encode);
    for (const { labels } of this.#disks) {
      if (this.#labels.has(labels)) continue;
      this.#labels.set(
        labels,
        new DiskLabels((disk, domain) => encodeLabels(labels(disk, domain))),
      );
    }
  }

  /**
   * Samples the set and formats the metrics. `xen_block_up` of a disk that cannot be read is 0.
   *
   * @returns the text in UTF-8, in a buffer that is not reused.
   * @throws XenError `ERR_XEN_CLOSED`.
   */
  scrape(): Buffer {
    this.#readings.sample();
    const { set } = this.#readings;
    const { disks } = set;
    const labels = new Map([...this.#labels].map(([key, cache]) => [key, cache.of(disks)]));
    const buffer = this.#buffer;
    buffer.clear();
    for (const family of this.#disks) {
      const texts = labels.get(family.labels) ?? [];
      buffer.append(family.header);
      for (const [row, disk] of disks.entries()) {
        const value = family.value(set, row, disk);
        const text = texts[row];
        if (value < 0 || text === undefined) continue;
        buffer.append(family.prefix);
        buffer.append(text);
        buffer.endLine(value);
      }
    }
    for (const family of this.#host) {
      buffer.append(family.header);
      for (const { labels, value } of family.samples(this.#readings)) {
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
