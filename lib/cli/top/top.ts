import type { Command } from 'commander';
import type { Connection, DiskSet } from '../..';
import { addHostOptions, withConnection } from '../host-command';
import { Clock } from '../rates/clock';
import { selectRows } from '../rates/rows';
import { Sampler } from '../rates/sampler';
import { printSamples, withDiskSet, type Printing } from '../rates/sampling';
import { takesUtf8, type Style } from '../text';
import { addTopOptions, toTopOptions, type TopOptions, type TopValues } from './options';
import { pageLength, renderScreen, type Picture } from './screen';
import { Terminal } from './terminal';
import { handleKey } from './view';

export function define(program: Command): void {
  const command = program.command('top').description('show the rates of all disks, live');
  addHostOptions(addTopOptions(command)).action(async (values: TopValues) => {
    await withConnection(values, { isLive: true }, (xen) => top(xen, toTopOptions(values)));
  });
}

/** Shows the rates of all disks, until a key, a signal or `--count` ends it. */
async function top(xen: Connection, options: TopOptions): Promise<void> {
  const { view, unit, count, format, kinds } = options;
  const { stdout } = process;
  // prints reports also on a terminal that cannot move its cursor
  const isScreen = format === undefined && stdout.isTTY && process.env['TERM'] !== 'dumb';
  await withDiskSet(xen, { kinds, backing: true }, (set, end) => {
    if (isScreen) return showScreen(set, options, end);
    const printing: Printing = { format: format ?? 'text', selection: view, unit };
    return printSamples(set, { intervalMs: view.intervalMs, count }, printing, end);
  });
}

/** Shows a screen, and handles keys. */
async function showScreen(
  set: DiskSet,
  { view: firstView, unit, count }: TopOptions,
  end: AbortSignal,
): Promise<void> {
  const { stdin, stdout } = process;
  const style: Style = { utf8: takesUtf8(), colours: stdout.hasColors() };
  const sampler = new Sampler(set);
  const clock = new Clock(firstView.intervalMs);
  const terminal = new Terminal(stdin, stdout);
  end.addEventListener('abort', () => {
    terminal.wake();
  });
  let view = firstView;
  let shown = await sampler.sample(view.intervalMs);
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
      const sample = await sampler.sample(view.intervalMs);
      // samples also while paused, so that the next rates are not the mean of the pause
      if (!view.isPaused) shown = sample;
    }
  } finally {
    terminal.leave();
  }
}
