import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Connection, DiskSet } from '../..';
import { parseTopOptions, type TopOptions, type TopValues } from './options';
import { renderReport } from './report';
import { Sampler } from './rows';
import { pageLength, renderScreen, visibleRows } from './screen';
import { Terminal } from './terminal';
import type { Style } from './text';
import { press } from './view';

const END_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `top`: until it is told to end. */
export function top(_operands: string[], values: TopValues): (xen: Connection) => Promise<string> {
  const options = parseTopOptions(values);
  return async (xen) => {
    await run(xen, options);
    return '';
  };
}

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
    // what is no terminal, or can do nothing but print
    const plain = options.isBatch || !stdout.isTTY || process.env['TERM'] === 'dumb';
    await (plain ? report : show)(set, options, end.signal);
  } finally {
    set.close();
    for (const signal of END_SIGNALS) process.off(signal, onSignal);
  }
}

/** One report after the other. */
async function report(
  set: DiskSet,
  { view, intervalMs, count }: TopOptions,
  end: AbortSignal,
): Promise<void> {
  const sampler = new Sampler(set);
  sampler.sample();
  const clock = new Clock(intervalMs);
  for (let times = 0; times < count; times++) {
    await delay(clock.remaining(), undefined, { signal: end }).catch(() => undefined);
    if (end.aborted) return;
    clock.advance();
    const time = new Date().toISOString();
    process.stdout.write(renderReport({ view, rows: sampler.sample(), time }, { utf8: isUtf8() }));
  }
}

/** A screen that changes. */
async function show(
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

      const key = await terminal.next(clock.remaining());
      if (key !== undefined) {
        const page = { shown: pageLength(terminal.size), all: visibleRows(picture).length };
        const next = press(view, key, page);
        if (next === undefined) return;
        view = next;
      }
      if (clock.remaining() > 0) continue;
      clock.advance();
      times += 1;
      const sampled = sampler.sample();
      // it is sampled all the same, so that what is shown then is not the mean of the pause
      if (view.isPaused) continue;
      rows = sampled;
      time = new Date().toTimeString().slice(0, 8);
    }
  } finally {
    terminal.leave();
  }
}

/** When the next sample is due. */
class Clock {
  readonly #intervalMs: number;
  #due: number;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
    this.#due = performance.now() + intervalMs;
  }

  remaining(): number {
    return Math.max(0, this.#due - performance.now());
  }

  /** What was missed, while the process was stopped, is not made up for. */
  advance(): void {
    const now = performance.now();
    const next = this.#due + this.#intervalMs;
    this.#due = next > now ? next : now + this.#intervalMs;
  }
}

/** Whether the terminal's language has more than ASCII, as the C library tells. */
function isUtf8(): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return /utf-?8/i.test([LC_ALL, LC_CTYPE, LANG].find((it) => it !== undefined && it !== '') ?? '');
}
