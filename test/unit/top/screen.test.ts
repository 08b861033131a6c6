import { stripVTControlCharacters } from 'node:util';
import type { Figures } from '../../../lib/cli/top/figures';
import { toTopOptions } from '../../../lib/cli/top/options';
import { renderReport } from '../../../lib/cli/top/report';
import type { DiskRow } from '../../../lib/cli/top/rows';
import { renderScreen, type Picture, type Size } from '../../../lib/cli/top/screen';
import { textWidth } from '../../../lib/cli/top/text';
import type { View } from '../../../lib/cli/top/view';

const { view } = toTopOptions({ by: 'disk', sort: 'kB/s', filter: '', interval: 1 });
const COLOURS = { utf8: true, colours: true };
const PLAIN = { utf8: true, colours: false };

/** Figures of a disk with this many reads a second. */
function figures(reads: number): Figures {
  return {
    rPerSec: reads,
    wPerSec: reads / 2,
    rkBPerSec: reads * 16,
    wkBPerSec: reads * 4,
    rareqSz: 16,
    wareqSz: 8,
    fPerSec: 0,
    dPerSec: -1,
    ooPerSec: 0,
  };
}

function row(domid: number, disk: string, reads: number, rest?: Partial<DiskRow>): DiskRow {
  return {
    domid,
    domain: `web${domid}`,
    disk,
    figures: figures(reads),
    history: [reads, 0, reads],
    note: '',
    ...rest,
  };
}

const ROWS = [row(1, 'xvda', 10), row(1, 'xvdb', 200), row(2, 'xvda', 50)];
const WIDE = { columns: 110, rows: 8 };

function render(changes: Partial<View> = {}, size: Size = WIDE, rows = ROWS, style = PLAIN) {
  const picture: Picture = {
    view: { ...view, ...changes },
    rows,
    time: '14:02:31',
    intervalSeconds: 1,
    isWatching: true,
  };
  return renderScreen(picture, size, style);
}

/** The lines of a screen without colours and other attributes. */
const text = (...args: Parameters<typeof render>) => render(...args).map(stripVTControlCharacters);

describe('the screen', () => {
  test('shows a title, headings, the total, the busiest disks first, and the keys', () => {
    expect(text().map((line) => line.trimEnd())).toEqual([
      '14:02:31  every 1 s  3 disks of 2 domains  sorted by kB/s',
      'DOMAIN DISK     r/s    w/s   rkB/s   wkB/s rareq-sz wareq-sz    f/s    d/s   oo/s                         kB/s',
      'total  3      260.0  130.0  4160.0  1040.0    16.00     8.00   0.00      -   0.00                          █▁█',
      'web1   xvdb   200.0  100.0  3200.0   800.0    16.00     8.00   0.00      -   0.00                          █▁█',
      'web2   xvda   50.00  25.00   800.0   200.0    16.00     8.00   0.00      -   0.00                          █▁█',
      'web1   xvda   10.00   5.00   160.0   40.00    16.00     8.00   0.00      -   0.00                          █▁█',
      '',
      'q quit  space pause  / filter  < > sort  d disks or domains  up, down scroll',
    ]);
  });

  test('shows one line for each domain', () => {
    const lines = text({ by: 'domain', sort: 'domain' });
    expect(lines[1]).toMatch(/^DOMAIN DISKS +r\/s/);
    expect(lines[3]).toMatch(/^web1 {3}2 +210\.0 /);
    expect(lines[4]).toMatch(/^web2 {3}1 +50\.00 /);
  });

  test('shows only rows that match the filter, and their total', () => {
    const lines = text({ filter: 'web1' });
    expect(lines[0]).toMatch(/ 3 disks of 2 domains .* only web1 *$/);
    expect(lines[2]).toMatch(/^total {2}2 +210\.0 /);
    expect(lines.filter((line) => line.startsWith('web'))).toHaveLength(2);
  });

  test('shows the filter while it is typed, without invisible characters', () => {
    expect(text({ filter: 'we\u202eb', isTyping: true }).at(-1)).toMatch(/^Filter: we\ufffdb_ /);
  });

  test('shows that it is paused, and that xenstored does not respond', () => {
    const picture: Picture = {
      view: { ...view, isPaused: true },
      rows: [],
      time: '',
      intervalSeconds: 2.5,
      isWatching: false,
    };
    const [title = ''] = renderScreen(picture, WIDE, PLAIN).map(stripVTControlCharacters);
    expect(title).toContain(
      'every 2.5 s  0 disks of 0 domains  PAUSED  xenstored does not respond',
    );
  });

  test('shows in place of the bars why figures are unknown', () => {
    const note = 'cannot read \x1b]0;statistics';
    const [line = ''] = text({}, WIDE, [row(1, 'xvda', 0, { figures: undefined, note })]).slice(3);
    expect(line).toMatch(/^web1 {3}xvda( +-){9} cannot read \ufffd\]0;statistics *$/);
  });

  test('scrolls as far as the last row', () => {
    const size = { columns: 80, rows: 6 };
    const names = (skipped: number) =>
      text({ skipped, sort: 'domain' }, size)
        .slice(3, -1)
        .map((line) => line.slice(0, 11));
    expect(names(0)).toEqual(['web1   xvda', 'web1   xvdb']);
    expect(names(1)).toEqual(['web1   xvdb', 'web2   xvda']);
    expect(names(9)).toEqual(names(1));
    expect(text({ skipped: 1 }, size).at(-1)).toMatch(/^q quit.* 2-3 of 3$/);
  });

  test('leaves out columns on a narrow terminal, discards first', () => {
    const headings = (columns: number) =>
      text({}, { columns, rows: 8 })[1]?.trim().split(/ +/).slice(2).join(' ');
    expect(headings(92)).toBe('r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s d/s oo/s kB/s');
    expect(headings(91)).toBe('r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s oo/s kB/s');
    expect(headings(80)).toBe('r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s kB/s');
    expect(headings(60)).toBe('r/s w/s rkB/s wkB/s f/s kB/s');
    expect(headings(59)).toBe('r/s w/s rkB/s wkB/s kB/s');
    expect(headings(40)).toBe('rkB/s wkB/s kB/s');
    expect(headings(25)).toBe('kB/s');
  });

  test('fits the terminal with any names', () => {
    const rows = [
      row(1, 'xvdbgqcv255', 1e9, { domain: '東京'.repeat(40) }),
      row(2, 'xvda', 12345, { domain: 'u\u0308'.repeat(300), note: '📀'.repeat(200) }),
      row(3, 'xvda', 0.01, { history: Array.from({ length: 60 }, (_, i) => i) }),
    ];
    for (let columns = 1; columns < 240; columns++) {
      const size = { columns, rows: (columns % 12) + 1 };
      for (const changes of [{}, { isTyping: true, filter: '東'.repeat(columns) }]) {
        const lines = text(changes, size, rows);
        expect(lines.length).toBe(size.rows);
        expect(Math.max(...lines.map(textWidth))).toBeLessThanOrEqual(columns);
      }
    }
  });

  test('shows the same text with and without colours', () => {
    const busy = [row(1, 'xvda', 3, { figures: { ...figures(3), ooPerSec: 2 } })];
    const coloured = render({}, WIDE, busy, COLOURS);
    const plain = render({}, WIDE, busy, PLAIN);
    // eslint-disable-next-line no-control-regex
    const colour = /\x1b\[[34][0-9]m/;
    expect(coloured.some((line) => colour.test(line))).toBe(true);
    expect(plain.some((line) => colour.test(line))).toBe(false);
    expect(coloured.map(stripVTControlCharacters)).toEqual(plain.map(stripVTControlCharacters));
  });

  test('marks the heading of the sort key: only that one is not inverse', () => {
    const inverted = (sort: View['sort']) => {
      const [, heading] = render({ sort })[1]?.split(/\x1b\[27m(.*)\x1b\[7m/) ?? []; // eslint-disable-line no-control-regex
      return heading;
    };
    for (const sort of ['r/s', 'd/s', 'kB/s', 'rareq-sz'] as const) {
      expect(inverted(sort)).toBe(sort);
    }
    expect(inverted('domain')).toBe('DOMAIN');
  });
});

describe('a report', () => {
  test('has the time, headings, rows and their total, with the same fields in each line', () => {
    const rows = [
      ...ROWS,
      row(3, 'xvda', 0, { domain: 'my db\x1b', figures: undefined, note: 'counters were reset' }),
    ];
    const time = '2026-01-02T03:04:05.678Z';
    expect(renderReport({ view: { ...view, filter: 'xvda' }, rows, time }, PLAIN)).toBe(
      `2026-01-02T03:04:05.678Z
DOMAIN  DISK    r/s    w/s   rkB/s   wkB/s  rareq-sz  wareq-sz   f/s  d/s  oo/s
web2    xvda  50.00  25.00  800.00  200.00     16.00      8.00  0.00    -  0.00
web1    xvda  10.00   5.00  160.00   40.00     16.00      8.00  0.00    -  0.00
my_db\ufffd  xvda      -      -       -       -         -         -     -    -     -  counters were reset
total   3     60.00  30.00  960.00  240.00     16.00      8.00  0.00    -  0.00

`,
    );
  });
});
