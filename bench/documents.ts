import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from './chart';

/** The content of results.json. */
export interface Results {
  readonly machine: string;
  readonly rounds: number;
  readonly results: readonly Result[];
}

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** Rows that only docs/performance.md shows. */
const DETAILS =
  /require|connect\(\)|not open|bigint|koffi|promises|held descriptors|[56] counters|libxenstore in C|node -e|xen-block-stats stat/;

/** Returns the figures as a table, followed by the machine and the number of rounds. */
export function figures({ machine, rounds, results }: Results): string {
  const name = Math.max(8, ...results.map((it) => it.name.length));
  const row = (cells: [string, string, string]) =>
    `| ${cells[0].padEnd(name)} | ${cells[1].padStart(12)} | ${cells[2].padStart(15)} |`;
  return [
    row(['one disk', 'microseconds', 'times the floor']),
    `| ${'-'.repeat(name)} | ${'-'.repeat(11)}: | ${'-'.repeat(14)}: |`,
    ...results.map(({ name: text, nanoseconds, ratio }) =>
      row([text, (nanoseconds / 1000).toFixed(2), ratio.toFixed(2)]),
    ),
    '',
    `${machine}; medians of ${rounds} rounds.`,
  ].join('\n');
}

/** Returns the document with the text between its two markers. */
export function fillIn(document: string, text: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`the document has no ${BEGIN} before ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${text}\n\n${document.slice(end)}`;
}

/** Writes the figures of results.json and their chart into the documents. */
export function writeDocuments(root: string): void {
  const json = readFileSync(join(root, 'bench', 'results.json'), 'utf8');
  const all = JSON.parse(json) as Results;
  const few = { ...all, results: all.results.filter(({ name }) => !DETAILS.test(name)) };
  const write = (document: string, text: string) => {
    const path = join(root, document);
    writeFileSync(path, fillIn(readFileSync(path, 'utf8'), text));
  };
  const chart = 'One disk’s counters: time, and times the floor';
  write('README.md', figures(few));
  write('docs/performance.md', `![${chart}](../bench/latency.svg)\n\n${figures(all)}`);
}
