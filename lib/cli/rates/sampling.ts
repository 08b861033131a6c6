import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection, DiskSet, DiskSetOptions } from '../..';
import { takesUtf8 } from '../text';
import { Clock } from './clock';
import { csvHeader, formatCsv, formatJsonLine } from './records';
import { formatReport } from './report';
import type { Selection } from './rows';
import { Sampler, type Sample } from './sampler';
import type { Unit } from './units';
import { describeUnsupported, filterUnsupported } from './unsupported';

const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The samples that a command takes. */
export interface Schedule {
  readonly intervalMs: number;
  /** The number of samples; Infinity by default. */
  readonly count: number;
}

/** What is printed of each sample. */
export interface Printing {
  readonly format: 'text' | 'json' | 'csv';
  readonly selection: Selection;
  readonly unit: Unit;
}

/** The kinds of disks that a command shows. */
export function kindsFor({ qemu }: { readonly qemu?: boolean }): DiskSetOptions['kinds'] {
  return qemu === false ? ['vbd', 'vbd3'] : ['vbd', 'vbd3', 'qdisk'];
}

/** Calls a function with a set of disks. A signal then aborts `end`, and is the exit status. */
export async function withDiskSet(
  xen: Connection,
  options: DiskSetOptions & { bigint?: false },
  act: (set: DiskSet, end: AbortSignal) => Promise<void>,
): Promise<void> {
  // until the disks are found, a signal ends the process at once
  const set = await xen.diskSet(options);
  const end = new AbortController();
  const onSignal = (signal: (typeof END_SIGNALS)[number]) => {
    process.exitCode = 128 + constants.signals[signal];
    end.abort();
  };
  for (const signal of END_SIGNALS) process.once(signal, onSignal);
  try {
    await act(set, end.signal);
  } finally {
    set.close();
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}

/** Prints the rates of each interval, one after the other. */
export async function printSamples(
  set: DiskSet,
  { intervalMs, count }: Schedule,
  printing: Printing,
  end: AbortSignal,
): Promise<void> {
  const sampler = new Sampler(set);
  printHead(await sampler.sample(intervalMs), printing);
  const clock = new Clock(intervalMs);
  for (let times = 0; times < count; times++) {
    await delay(clock.remainingMs(), undefined, { signal: end }).catch(() => undefined);
    if (end.aborted) return;
    clock.advance();
    process.stdout.write(format(await sampler.sample(intervalMs), printing));
  }
}

/** Prints what precedes the first sample. CSV has no place for disks that cannot be read. */
function printHead({ unsupported }: Sample, { format, selection }: Printing): void {
  if (format !== 'csv') return;
  process.stdout.write(csvHeader(selection));
  const hidden = describeUnsupported(filterUnsupported(unsupported, selection.filter));
  if (hidden !== '') process.stderr.write(`xen-block-stats: ${hidden}\n`);
}

function format(sample: Sample, { format, selection, unit }: Printing): string {
  switch (format) {
    case 'json':
      return formatJsonLine(sample, selection);
    case 'csv':
      return formatCsv(sample, selection);
    case 'text':
      return formatReport(sample, selection, unit, { utf8: takesUtf8() });
  }
}
