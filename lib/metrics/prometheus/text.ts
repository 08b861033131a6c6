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

/** A family with what its lines begin with. */
type Named<F extends Family> = F & { readonly header: Buffer; readonly prefix: Buffer };

/**
 * The metrics of a set of disks as the text that Prometheus scrapes. For a registry of prom-client see
 * {@link registerDiskSet}.
 */
export class MetricsText {
  /** What to send as `Content-Type`. */
  static readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';

  readonly #readings: Readings;
  readonly #disks: readonly Named<DiskFamily>[];
  readonly #host: readonly Named<HostFamily>[];
  /** The labels of disks as text, by the function that makes them. */
  readonly #labels = new Map<DiskFamily['labels'], DiskLabels<Buffer>>();
  readonly #buffer = new TextBuffer();

  /** @param set - stays the caller's, to be closed when no more is scraped. */
  constructor(set: DiskSet, options: MetricsOptions = {}) {
    const { names } = checkOptions(options);
    this.#readings = new Readings(set);
    this.#disks = diskFamilies(names).map(named);
    this.#host = hostFamilies(names).map(named);
    for (const { labels } of this.#disks) {
      if (this.#labels.has(labels)) continue;
      this.#labels.set(labels, new DiskLabels((disk, domain) => toText(labels(disk, domain))));
    }
  }

  /**
   * Samples the set and writes down what it has.
   *
   * @returns UTF-8, the caller's to keep.
   * @throws `ERR_XEN_CLOSED`; a disk that cannot be read has `xen_block_up` 0.
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
      buffer.append(family.prefix);
      buffer.endLine(family.value(this.#readings));
    }
    return buffer.copy();
  }
}

function named<F extends Family>(family: F): Named<F> {
  const { name, help, type } = family;
  const header = Buffer.from(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
  return { ...family, header, prefix: Buffer.from(name) };
}

function toText(labels: Labels): Buffer {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value)}"`);
  return Buffer.from(`{${pairs.join(',')}}`);
}

/** What xenstore says has no ends of lines. */
function escape(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
}
