import type { Connection, DiskSet, Recorder } from '..';
import { diskLabels } from '../metrics/prometheus/family';
import { encodeLabels } from '../metrics/prometheus/text';
import { PeakFinder } from '../sampling/peaks';

/** How long a peak is shown, in milliseconds. */
const SHOWN_MS = 60_000;

/** The time between two calls of `take()`, in milliseconds. */
const TAKE_MS = 1000;

/** The samples in a window. More would find peaks more exactly, and cost more. */
const SAMPLES_A_WINDOW = 5;

const FAMILIES = [
  { column: 'rdBytes', name: 'xen_block_read_bytes_per_second_peak', what: 'bytes read' },
  { column: 'wrBytes', name: 'xen_block_write_bytes_per_second_peak', what: 'bytes written' },
  { column: 'rdReq', name: 'xen_block_read_requests_per_second_peak', what: 'read requests' },
  { column: 'wrReq', name: 'xen_block_write_requests_per_second_peak', what: 'write requests' },
] as const;

const COUNTERS = FAMILIES.map(({ column }) => column);

/** The highest rates of a disk, in the order of the families. */
type Rates = readonly number[];

/** The peaks that were found in one call of `take()`, by the disk's backend. */
interface Found {
  readonly time: number;
  readonly rates: ReadonlyMap<string, Rates>;
}

/**
 * Gauges of the highest rates over any window of a length within the last minute. A recorder finds them,
 * independently of scrapes.
 */
export class PeakGauges {
  readonly #set: DiskSet;
  readonly #windowMs: number;
  readonly #recorder: Recorder;
  readonly #finder: PeakFinder;
  readonly #timer: NodeJS.Timeout;
  #found: readonly Found[] = [];

  private constructor(set: DiskSet, windowMs: number) {
    const intervalMs = windowMs / SAMPLES_A_WINDOW;
    this.#set = set;
    this.#windowMs = windowMs;
    this.#finder = new PeakFinder(windowMs);
    // no samples are lost while the event loop is blocked for some seconds
    this.#recorder = set.record({ intervalMs, capacity: Math.ceil((5 * TAKE_MS) / intervalMs) });
    this.#timer = setInterval(() => {
      this.#take();
    }, TAKE_MS).unref();
  }

  /** Starts to record all disks. */
  static async start(xen: Connection, windowMs: number): Promise<PeakGauges> {
    return new PeakGauges(await xen.diskSet({ counters: COUNTERS }), windowMs);
  }

  /** Returns the gauges in Prometheus' text format. */
  format(): Buffer {
    this.#take();
    const disks = this.#set.disks.map((disk) => ({
      labels: encodeLabels(diskLabels(disk)).toString(),
      highest: this.#highest(disk.backend),
    }));
    const lines = FAMILIES.flatMap(({ name, what }, i) => [
      `# HELP ${name} Highest rate of ${what} over any ${this.#windowMs} ms within the last minute.`,
      `# TYPE ${name} gauge`,
      ...disks.flatMap(({ labels, highest }) => {
        const rate = highest[i] ?? -1;
        return rate < 0 ? [] : [`${name}${labels} ${rate}`];
      }),
    ]);
    return Buffer.from(`${lines.join('\n')}\n`);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#set.close();
  }

  #highest(backend: string): Rates {
    const all = this.#found.flatMap(({ rates }) => [rates.get(backend) ?? []]);
    return FAMILIES.map((_, i) => all.reduce((most, rates) => Math.max(most, rates[i] ?? -1), -1));
  }

  #take(): void {
    const time = performance.now();
    const found = this.#recorder.take().map((samples): Found => {
      const peaks = this.#finder.find(samples);
      const rates = peaks.map(({ disk, peaks }): [string, Rates] => [
        disk.backend,
        COUNTERS.map((column) => peaks[column]?.perSecond ?? -1),
      ]);
      return { time, rates: new Map(rates) };
    });
    this.#found = [...this.#found.filter((it) => time - it.time < SHOWN_MS), ...found];
  }
}
