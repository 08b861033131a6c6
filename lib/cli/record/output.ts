import type { DiskInfo, DiskPeaks, RecordedSamples } from '../..';
import { DISK_COLUMNS } from '../../disk-stats';
import { monotonicTime } from '../../native';
import { PeakFinder } from '../../sampling/peaks';
import { ratesBetween } from '../../sampling/rates';
import { toFigures } from '../rates/figures';
import { FIGURES, known, toCsv } from '../rates/records';
import { formatTable, toField } from '../table';
import { takesUtf8, textWidth } from '../text';
import type { RecordValues } from './options';

/** Prints recorded samples. */
export interface Output {
  /** Prints samples, or keeps what of them is printed at the end. */
  add(samples: RecordedSamples): void;
  end(): void;
}

/** The values of a disk at a time, in the order of the output's fields; null if they are not known. */
interface DiskRecord {
  readonly timestamp: bigint;
  readonly disk: DiskInfo;
  readonly values: readonly (number | null)[];
}

/** The fields of rates, without those of the backing device, which is not recorded. */
const RATES = FIGURES.filter((name) => name !== 'aquSz' && name !== 'util');

/** The fields that blkback does not count. */
const NOT_OF_BLKBACK = ['rdTimeNs', 'wrTimeNs', 'ioErrors', 'rAwait', 'wAwait'];

/** The fields that a table does not have, because others tell the same, or few disks have them. */
const LEFT_OUT = ['rdSectors', 'wrSectors', 'rareqSz', 'wareqSz', ...NOT_OF_BLKBACK];

/** The width of a value in a table: that of 2^53. */
const VALUE_WIDTH = 16;

/** The width of a time in a table: five digits and six decimals. */
const SECONDS_WIDTH = 12;

/** The rates of which there are peaks: their headings and fields, and the columns and units of their counters. */
const PEAKS = [
  { heading: 'r/s', field: 'rPerSec', column: 'rdReq', unit: 1 },
  { heading: 'w/s', field: 'wPerSec', column: 'wrReq', unit: 1 },
  { heading: 'rkB/s', field: 'rkBPerSec', column: 'rdBytes', unit: 1024 },
  { heading: 'wkB/s', field: 'wkBPerSec', column: 'wrBytes', unit: 1024 },
  { heading: 'f/s', field: 'fPerSec', column: 'flushReq', unit: 1 },
  { heading: 'd/s', field: 'dPerSec', column: 'discardReq', unit: 1 },
  { heading: 'oo/s', field: 'ooPerSec', column: 'ooReq', unit: 1 },
] as const;

/** Creates the output that the options select. */
export function toOutput(values: RecordValues, disks: readonly DiskInfo[]): Output {
  const format = values.json === true ? 'json' : values.csv === true ? 'csv' : 'text';
  if (values.peaks !== undefined) return new PeaksOutput(values.peaks, format);
  return new SamplesOutput(values.rates === true, format, disks);
}

type Format = 'text' | 'json' | 'csv';

/** Prints a line for each sample and disk. */
class SamplesOutput implements Output {
  readonly #fields: readonly string[];
  readonly #isRates: boolean;
  readonly #format: Format;
  readonly #clock = new SampleClock();
  /** The widths of the names in a table. */
  readonly #widths: readonly [number, number];
  #last: RecordedSamples | undefined;

  constructor(isRates: boolean, format: Format, disks: readonly DiskInfo[]) {
    this.#isRates = isRates;
    this.#format = format;
    const fields: readonly string[] = isRates ? RATES : DISK_COLUMNS;
    this.#fields = format === 'text' ? fields.filter((it) => !LEFT_OUT.includes(it)) : fields;
    const widest = (names: string[]) => Math.max(8, ...names.map(textWidth));
    this.#widths = [
      widest(disks.map((disk) => toName(domainOf(disk)))),
      widest(disks.map(({ name }) => toName(name))),
    ];
    process.stdout.write(this.#header());
  }

  add(samples: RecordedSamples): void {
    this.#clock.start(samples.timestamps[0] ?? 0n);
    const lines: string[] = [];
    for (const [i, timestamp] of samples.timestamps.entries()) {
      for (const [row, disk] of samples.disks.entries()) {
        const values = this.#isRates ? this.#rates(samples, i, row) : counters(samples, i, row);
        if (values !== undefined) lines.push(this.#line({ timestamp, disk, values }));
      }
    }
    this.#last = samples;
    process.stdout.write(lines.join(''));
  }

  end(): void {
    // everything is printed
  }

  /** Returns the rates since the sample before; undefined if there is none of these disks. */
  #rates(samples: RecordedSamples, index: number, row: number): (number | null)[] | undefined {
    const last = this.#last?.disks === samples.disks ? this.#last : undefined;
    const [before, from] =
      index > 0 ? [samples, index - 1] : [last, (last?.timestamps.length ?? 0) - 1];
    if (before === undefined) return undefined;
    const since = before.timestamps[from] ?? 0n;
    const seconds = Number((samples.timestamps[index] ?? 0n) - since) / 1e9;
    const rates = ratesBetween(rowOf(before, from, row), rowOf(samples, index, row), 0, seconds);
    if (rates.reset) return RATES.map(() => null);
    const figures = toFigures(rates);
    return RATES.map((name) => known(figures[name]));
  }

  #header(): string {
    if (this.#format === 'json') return '';
    const names = ['timestamp', 'domid', 'domain', 'disk', ...this.#fields];
    if (this.#format === 'csv') return toCsv(names);
    const headings = PEAKS.map(({ heading, field }): [string, string] => [field, heading]);
    const headingOf = (field: string) => new Map(headings).get(field) ?? field;
    return this.#table('SECONDS', 'DOMAIN', 'DISK', this.#fields.map(headingOf));
  }

  #line({ timestamp, disk, values }: DiskRecord): string {
    const { domid, name } = disk;
    const domain = domainOf(disk);
    const all: readonly string[] = this.#isRates ? RATES : DISK_COLUMNS;
    const entries = all.map((field, i): [string, number | null] => [field, values[i] ?? null]);
    const shown = entries.filter(([field]) => this.#fields.includes(field));
    if (this.#format === 'text') {
      const texts = shown.map(([, value]) => (value === null ? '-' : formatValue(value)));
      return this.#table(this.#clock.seconds(timestamp), toName(domain), toName(name), texts);
    }
    const time = this.#clock.time(timestamp);
    if (this.#format === 'json') {
      const record = { timestamp: time, domid, domain, disk: name, ...Object.fromEntries(shown) };
      return `${JSON.stringify(record)}\n`;
    }
    const texts = shown.map(([, value]) => String(value ?? ''));
    return toCsv([time, String(domid), domain, name, ...texts]);
  }

  #table(seconds: string, domain: string, disk: string, values: readonly string[]): string {
    const padded = (text: string, width: number) => text + ' '.repeat(width - textWidth(text));
    const [domainWidth, diskWidth] = this.#widths;
    return `${[
      seconds.padStart(SECONDS_WIDTH),
      padded(domain, Math.max(domainWidth, textWidth(domain))),
      padded(disk, Math.max(diskWidth, textWidth(disk))),
      ...values.map((text) => text.padStart(VALUE_WIDTH)),
    ].join('  ')}\n`;
  }
}

/** Prints a line for each disk at the end: its highest rates, and when they were. */
class PeaksOutput implements Output {
  readonly #format: Format;
  readonly #finder: PeakFinder;
  readonly #clock = new SampleClock();
  /** By the disk's backend. */
  readonly #peaks = new Map<string, DiskPeaks>();

  constructor(windowMs: number, format: Format) {
    this.#format = format;
    this.#finder = new PeakFinder(windowMs);
  }

  add(samples: RecordedSamples): void {
    this.#clock.start(samples.timestamps[0] ?? 0n);
    for (const found of this.#finder.find(samples)) {
      const { backend } = found.disk;
      this.#peaks.set(backend, higherPeaks(this.#peaks.get(backend), found));
    }
  }

  end(): void {
    const all = [...this.#peaks.values()];
    process.stdout.write(this.#format === 'json' ? this.#toJson(all) : this.#toTable(all));
  }

  #toJson(all: readonly DiskPeaks[]): string {
    const lines = all.map(({ disk, peaks }) => {
      const fields = PEAKS.flatMap(
        ({ field, column, unit }): [string, number | string | null][] => {
          const peak = peaks[column];
          const perSecond = peak === undefined ? null : known(peak.perSecond / unit);
          const at = peak === undefined ? null : this.#clock.time(peak.timestamp);
          return [
            [field, perSecond],
            [`${field}At`, at],
          ];
        },
      );
      const { domid, name } = disk;
      const record = { domid, domain: domainOf(disk), disk: name, ...Object.fromEntries(fields) };
      return `${JSON.stringify(record)}\n`;
    });
    return lines.join('');
  }

  #toTable(all: readonly DiskPeaks[]): string {
    const isCsv = this.#format === 'csv';
    const headings = PEAKS.flatMap(({ heading, field }) =>
      isCsv ? [field, `${field}At`] : [heading, 'at'],
    );
    const rows = all.map(({ disk, peaks }) => {
      const fields = PEAKS.flatMap(({ column, unit }) => {
        const peak = peaks[column];
        if (peak === undefined) return isCsv ? ['', ''] : ['-', '-'];
        const value = known(peak.perSecond / unit) ?? 0;
        return isCsv
          ? [String(value), this.#clock.time(peak.timestamp)]
          : [value.toFixed(2), this.#clock.seconds(peak.timestamp)];
      });
      return isCsv
        ? [String(disk.domid), domainOf(disk), disk.name, ...fields]
        : [toName(domainOf(disk)), toName(disk.name), ...fields];
    });
    if (isCsv) return [['domid', 'domain', 'disk', ...headings], ...rows].map(toCsv).join('');
    const table = formatTable([['DOMAIN', 'DISK', ...headings], ...rows], (column) => column >= 2);
    return `${table.join('\n')}\n`;
  }
}

/** Converts the times of samples: to seconds since the first one, and to times of day. */
class SampleClock {
  #first: bigint | undefined;
  /** The time of day at 0 on the clock of samples, in nanoseconds. */
  readonly #epoch = BigInt(Date.now()) * 1_000_000n - monotonicTime();

  start(timestamp: bigint): bigint {
    this.#first ??= timestamp;
    return this.#first;
  }

  seconds(timestamp: bigint): string {
    return (Number(timestamp - this.start(timestamp)) / 1e9).toFixed(6);
  }

  /** Returns a time in UTC, with microseconds. */
  time(timestamp: bigint): string {
    const microseconds = (this.#epoch + timestamp) / 1000n;
    const date = new Date(Number(microseconds / 1000n)).toISOString();
    return date.replace('Z', `${String(microseconds % 1000n).padStart(3, '0')}Z`);
  }
}

/** Returns the higher peak of each column. */
function higherPeaks(known: DiskPeaks | undefined, found: DiskPeaks): DiskPeaks {
  const entries = DISK_COLUMNS.map((column) => {
    const [before, now] = [known?.peaks[column], found.peaks[column]];
    return [column, (now?.perSecond ?? -1) > (before?.perSecond ?? -1) ? now : before];
  });
  return { disk: found.disk, peaks: Object.fromEntries(entries) as DiskPeaks['peaks'] };
}

function counters(samples: RecordedSamples, index: number, row: number): (number | null)[] {
  return Array.from(rowOf(samples, index, row), (value) => (value < 0 ? null : value));
}

/** Returns the row of a disk in a sample. */
function rowOf(samples: RecordedSamples, index: number, row: number): Float64Array {
  const { disks, columns, values } = samples;
  const begin = (index * disks.length + row) * columns.length;
  return values.subarray(begin, begin + columns.length);
}

function formatValue(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

function domainOf({ domain, domid }: DiskInfo): string {
  return domain ?? String(domid);
}

function toName(text: string): string {
  return toField(text, { utf8: takesUtf8() });
}
