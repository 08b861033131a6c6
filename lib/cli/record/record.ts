import type { Command } from 'commander';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection, DiskSet, RecordedSamples, Recorder } from '../..';
import { diskFilter, findDomain } from '../domain';
import { addHostOptions, withConnection } from '../host-command';
import { withDiskSet } from '../rates/sampling';
import { describeUnsupported } from '../rates/unsupported';
import { addRecordOptions, type RecordValues } from './options';
import { toOutput, type Output } from './output';

/** The time between two calls of `take()`, in milliseconds. */
const TAKE_MS = 100;

/** How long samples are kept, in milliseconds. Printing them may delay a call of `take()`. */
const KEPT_MS = 5000;

export function define(program: Command): void {
  const command = program
    .command('record')
    .description('record a disk, or all disks of a domain, at up to 5,000 samples a second')
    .argument('<domain>')
    .argument('[disk]', 'without it, all disks of the domain are recorded');
  addHostOptions(addRecordOptions(command)).action(
    async (domain: string, disk: string | undefined, values: RecordValues) => {
      if (values.peaks !== undefined && values.interval > values.peaks) {
        command.error('error: the window of --peaks is shorter than the interval');
      }
      await withConnection(values, { isLive: true }, (xen) =>
        record(xen, domain, disk ?? '', values),
      );
    },
  );
}

async function record(
  xen: Connection,
  domainText: string,
  path: string,
  values: RecordValues,
): Promise<void> {
  const domain = findDomain(xen, domainText);
  const filter = diskFilter(domain, path);
  if (path !== '' && domain.disk(path).info.kind === 'qdisk') {
    throw new Error(
      `QEMU serves disk ${path}: it cannot be asked that often (stat and top ask it)`,
    );
  }
  await withDiskSet(xen, { filter }, async (set, end) => {
    const hidden = describeUnsupported(set.unsupported);
    if (set.disks.length === 0) {
      throw new Error(`there is no disk to record${hidden === '' ? '' : `: ${hidden}`}`);
    }
    if (hidden !== '') process.stderr.write(`xen-block-stats: ${hidden}\n`);
    const { interval: intervalMs, duration = Infinity } = values;
    const output = toOutput(values, set.disks);
    const recorder = set.record({ intervalMs, capacity: Math.ceil(KEPT_MS / intervalMs) });
    await printUntil(recorder, output, duration, end);
    recorder.stop();
    output.end();
    reportLosses(recorder, set);
  });
}

/** Prints samples until the duration is over or a signal aborts `end`. */
async function printUntil(
  recorder: Recorder,
  output: Output,
  durationMs: number,
  end: AbortSignal,
): Promise<void> {
  const progress = new Progress(durationMs);
  // no sample may be due after the duration
  const latest = performance.now() + durationMs + TAKE_MS;
  let isLast = false;
  while (!isLast && !progress.isOver) {
    await delay(TAKE_MS, undefined, { signal: end }).catch(() => undefined);
    // before the samples are taken: printing them can take longer than the rest of the duration
    isLast = end.aborted || performance.now() >= latest;
    // the samples begin at the start of a line, also if stdout is the same terminal
    progress.clear();
    for (const samples of recorder.take()) {
      const cut = progress.advance(samples);
      if (cut.timestamps.length > 0) output.add(cut);
    }
    progress.show(recorder);
  }
  progress.clear();
}

/** Counts samples until the duration is over, and shows that on a terminal. */
class Progress {
  readonly #durationMs: number;
  #first: bigint | undefined;
  #samples = 0;
  #elapsedMs = 0;

  constructor(durationMs: number) {
    this.#durationMs = durationMs;
  }

  get isOver(): boolean {
    return this.#elapsedMs >= this.#durationMs;
  }

  /** Returns the samples that are within the duration. */
  advance(samples: RecordedSamples): RecordedSamples {
    const { timestamps, values } = samples;
    const first = (this.#first ??= timestamps[0] ?? 0n);
    const elapsed = (timestamp = first) => Number(timestamp - first) / 1e6;
    this.#elapsedMs = elapsed(timestamps.at(-1));
    const end = timestamps.findIndex((timestamp) => elapsed(timestamp) >= this.#durationMs);
    const count = end < 0 ? timestamps.length : end;
    this.#samples += count;
    const size = values.length / timestamps.length;
    return {
      ...samples,
      timestamps: timestamps.subarray(0, count),
      values: values.subarray(0, count * size),
    };
  }

  /** Overwrites a line of stderr, if that is a terminal. */
  show({ missed }: Recorder): void {
    const of = this.#durationMs === Infinity ? '' : ` of ${this.#durationMs / 1000}`;
    const losses = missed > 0 ? `, ${missed} missed` : '';
    const seconds = (this.#elapsedMs / 1000).toFixed(1);
    this.#overwrite(`${this.#samples} samples${losses}, ${seconds}${of} s`);
  }

  clear(): void {
    this.#overwrite('');
  }

  #overwrite(text: string): void {
    if (process.stderr.isTTY) process.stderr.write(`\r${text}\u001b[K`);
  }
}

/** Prints how many samples are missing. */
function reportLosses({ missed, overwritten }: Recorder, { disks }: DiskSet): void {
  if (missed > 0) {
    process.stderr.write(
      `xen-block-stats: ${missed} samples were missed: the machine is busy, or the interval is too short for ${disks.length} disks\n`,
    );
  }
  if (overwritten > 0) {
    process.stderr.write(
      `xen-block-stats: ${overwritten} samples were lost: they were recorded faster than they could be printed\n`,
    );
  }
}
