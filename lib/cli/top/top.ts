import type { Connection, DiskSet } from '../..';
import { Clock } from '../rates/clock';
import { selectRows } from '../rates/rows';
import { Sampler } from '../rates/sampler';
import { printSamples, withDiskSet } from '../rates/sampling';
import { isUtf8Locale, type Style } from '../text';
import { parseTopOptions, type TopOptions, type TopValues } from './options';
import { pageLength, renderScreen, type Picture } from './screen';
import { Terminal } from './terminal';
import { handleKey } from './view';

/** Runs `top`: shows the rates of all disks, until a key, a signal or `--count` ends it. */
export function top(_operands: string[], values: TopValues): (xen: Connection) => Promise<string> {
  const options = parseTopOptions(values);
  const { view, unit, count, isBatch, format } = options;
  const { stdout } = process;
  // prints reports also on a terminal that cannot move its cursor
  const isPlain = isBatch || !stdout.isTTY || process.env['TERM'] === 'dumb';
  return async (xen) => {
    await withDiskSet(xen, {}, (set, end) =>
      isPlain
        ? printSamples(
            set,
            { intervalMs: view.intervalMs, count },
            { format, selection: view, unit },
            end,
          )
        : showScreen(set, options, end),
    );
    return '';
  };
}

/** Shows a screen, and handles keys. */
async function showScreen(
  set: DiskSet,
  { view: firstView, unit, count }: TopOptions,
  end: AbortSignal,
): Promise<void> {
  const { stdin, stdout } = process;
  const style: Style = { utf8: isUtf8Locale(), colours: stdout.hasColors() };
  const sampler = new Sampler(set);
  const clock = new Clock(firstView.intervalMs);
  const terminal = new Terminal(stdin, stdout);
  end.addEventListener('abort', () => {
    terminal.wake();
  });
  let view = firstView;
  let shown = sampler.sample();
  let times = 0;
  terminal.enter();
  try {
    while (!end.aborted && times < count) {
      const picture: Picture = { view, sample: shown, unit, isWatching: set.watching };
      terminal.draw(renderScreen(picture, terminal.size, style));

      const key = await terminal.nextKey(clock.remainingMs());
      if (key !== undefined) {
        const page = {
          shown: pageLength(picture, terminal.size),
          all: selectRows(shown.rows, view).length,
        };
        const next = handleKey(view, key, page);
        if (next === undefined) return;
        view = next;
        clock.intervalMs = view.intervalMs;
      }
      if (clock.remainingMs() > 0) continue;
      clock.advance();
      times += 1;
      const sample = sampler.sample();
      // samples also while paused, so that the next rates are not the mean of the pause
      if (!view.isPaused) shown = sample;
    }
  } finally {
    terminal.leave();
  }
}
