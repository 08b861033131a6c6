import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Connection, DiskSet } from '../..';
import { addHostOptions, withConnection } from '../host-command';
import { addTopOptions, toTopOptions, type TopOptions, type TopValues } from './options';
import { renderReport } from './report';
import { Sampler } from './rows';
import { pageLength, renderScreen, visibleRows } from './screen';
import { Terminal } from './terminal';
import type { Style } from './text';
import { handleKey } from './view';

const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export function define(program: Command): void {
  const command = program
    .command('top')
    .description('show the rates of the disks that blkback serves, live');
  addHostOptions(addTopOptions(command)).action(async (values: TopValues) => {
    await withConnection(values, { isLive: true }, (xen) => run(xen, toTopOptions(values)));
  });
}

/** Shows the rates of all disks, until a key, a signal or `--count` ends it. */
async function run(xen: Connection, options: TopOptions): Promise<void> {
  const { stdout } = process;
  const end = new AbortController();
  const onSignal = (signal: (typeof END_SIGNALS)[number]) => {
    process.exitCode = 128 + constants.signals[signal];
    end.abort();
  };
  for (const signal of END_SIGNALS) process.once(signal, onSignal);
  const set = await xen.diskSet();
  try {
    // prints reports also on a terminal that cannot move its cursor
    const isPlain = options.isBatch || !stdout.isTTY || process.env['TERM'] === 'dumb';
    await (isPlain ? printReports : showScreen)(set, options, end.signal);
  } finally {
    set.close();
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}

/** Prints one report after the other. */
async function printReports(
  set: DiskSet,
  { view, intervalMs, count }: TopOptions,
  end: AbortSignal,
): Promise<void> {
  const sampler = new Sampler(set);
  sampler.sample();
  const clock = new Clock(intervalMs);
  for (let times = 0; times < count; times++) {
    await delay(clock.remainingMs(), undefined, { signal: end }).catch(() => undefined);
    if (end.aborted) return;
    clock.advance();
    const time = new Date().toISOString();
    process.stdout.write(renderReport({ view, rows: sampler.sample(), time }, { utf8: isUtf8() }));
  }
}

/** Shows a screen, and handles keys. */
async function showScreen(
  set: DiskSet,
  { view: firstView, intervalMs, count }: TopOptions,
  end: AbortSignal,
): Promise<void> {
  const { stdin, stdout } = process;
  const style: Style = { utf8: isUtf8(), colours: stdout.hasColors() };
  const sampler = new Sampler(set);
  const clock = new Clock(intervalMs);
  const terminal = new Terminal(stdin, stdout);
  end.addEventListener('abort', () => {
    terminal.wake();
  });
  let view = firstView;
  let rows = sampler.sample();
  let time = new Date().toTimeString().slice(0, 8);
  let times = 0;
  terminal.enter();
  try {
    while (!end.aborted && times < count) {
      const intervalSeconds = intervalMs / 1000;
      const picture = { view, rows, time, intervalSeconds, isWatching: set.watching };
      terminal.draw(renderScreen(picture, terminal.size, style));

      const key = await terminal.nextKey(clock.remainingMs());
      if (key !== undefined) {
        const page = { shown: pageLength(terminal.size), all: visibleRows(picture).length };
        const next = handleKey(view, key, page);
        if (next === undefined) return;
        view = next;
      }
      if (clock.remainingMs() > 0) continue;
      clock.advance();
      times += 1;
      const sampled = sampler.sample();
      // samples also while paused, so that the next rates are not the mean of the pause
      if (view.isPaused) continue;
      rows = sampled;
      time = new Date().toTimeString().slice(0, 8);
    }
  } finally {
    terminal.leave();
  }
}

/** The schedule of the samples. */
class Clock {
  readonly #intervalMs: number;
  #due: number;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
    this.#due = performance.now() + intervalMs;
  }

  /** Returns the milliseconds until the next sample. */
  remainingMs(): number {
    return Math.max(0, this.#due - performance.now());
  }

  /** Moves to the next sample. Skips the samples that were missed while the process was stopped. */
  advance(): void {
    const now = performance.now();
    const next = this.#due + this.#intervalMs;
    this.#due = next > now ? next : now + this.#intervalMs;
  }
}

/** Returns whether the locale's encoding is UTF-8, by the C library's order of the variables. */
function isUtf8(): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return /utf-?8/i.test([LC_ALL, LC_CTYPE, LANG].find((it) => it !== undefined && it !== '') ?? '');
}
