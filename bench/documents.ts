import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawChart, type Result } from './chart';
import type { Latencies } from './latency';
import type { Ticks } from './floor';
import type { RecorderResult } from './recorder';

/** The content of results.json. */
export interface Results {
  readonly machine: string;
  readonly rounds: number;
  readonly results: readonly Result[];
  readonly latencies: readonly Latencies[];
  readonly recorder: RecorderResult;
}

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** The rows that README.md shows. */
const FEW = /^disk\.read(Into)?\((array)?\)$|^domain\.blockStats\(|, 100 disks$|libvirt/;

const microseconds = (nanoseconds: number) => (nanoseconds / 1000).toFixed(2);

/** Formats a table as prettier does. The first row is the heading; the first column is text. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const [heading = '', ...others] = rows.map((row) =>
    line(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))),
    ),
  );
  const rule = line(
    widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)),
  );
  return [heading, rule, ...others].join('\n');
}

/** Returns the figures as a table, followed by the machine and the number of rounds. */
export function figures({ machine, rounds, results }: Results): string {
  const rows = results.map(({ name, nanoseconds, floor }) => [
    name,
    microseconds(nanoseconds),
    microseconds(floor),
    (nanoseconds / floor).toFixed(2),
  ]);
  const heading = ['for one disk', 'microseconds', 'its floor', 'times its floor'];
  return `${table([heading, ...rows])}\n\n${machine}; medians of ${rounds} rounds.`;
}

/** Returns the latencies as a table. */
export function percentiles({ latencies }: Results): string {
  const rows = latencies.map(({ name, disturbed, disturbedMax, ...times }) => [
    name,
    ...[times.p50, times.p99, times.p999, times.max].map(microseconds),
    String(disturbed),
    disturbed === 0 ? '' : microseconds(disturbedMax),
  ]);
  const heading = [
    'microseconds of one call',
    'p50',
    'p99',
    'p99.9',
    'max',
    'disturbed',
    'their max',
  ];
  return table([heading, ...rows]);
}

/** Returns the figures of a recorder as a table. */
export function recorders({ recorder: it }: Results): string {
  const row = (name: string, { onTime, cpuNs }: Ticks, blockMs: number) => [
    name,
    `${(100 * onTime).toFixed(1)} %`,
    microseconds(cpuNs),
    `${blockMs.toFixed(1)} ms`,
  ];
  return table([
    [
      `${it.disks} disks every ${it.intervalMs} ms`,
      'ticks on time',
      'microseconds of processor time for one disk',
      'longest turn of the event loop',
    ],
    row('set.record()', it.recorder, it.blockMs),
    row('a thread in C, in another process', it.floor, it.idleBlockMs),
  ]);
}

/** Returns the document with the text between its two markers. */
export function fillIn(document: string, text: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`the document has no ${BEGIN} before ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${document.slice(end)}`;
}

/** Writes the results into bench/, as JSON and as a chart, and into the documents. */
export function write(root: string, results: Results): void {
  const few = { ...results, results: results.results.filter(({ name }) => FEW.test(name)) };
  const chart = '![One disk’s counters: time, and times the floor](../bench/latency.svg)';
  const all = [chart, figures(results), percentiles(results), recorders(results)].join('\n\n');
  const fill = (document: string, text: string) => {
    const path = join(root, document);
    writeFileSync(path, fillIn(readFileSync(path, 'utf8'), text));
  };
  writeFileSync(join(root, 'bench/results.json'), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(root, 'bench/latency.svg'), drawChart(results.results, results.machine));
  fill('README.md', figures(few));
  fill('docs/performance.md', all);
}
