import { stripVTControlCharacters } from 'node:util';
import type { DiskInfo } from '../../../lib';
import type { Figures } from '../../../lib/cli/rates/figures';
import type { GuestRow } from '../../../lib/cli/rates/rows';
import type { Sample } from '../../../lib/cli/rates/sampler';
import { textWidth } from '../../../lib/cli/text';
import { renderScreen, type Picture, type Size } from '../../../lib/cli/top/screen';
import type { View } from '../../../lib/cli/top/view';

const VIEW: View = {
  by: 'disk',
  sort: 'kB/s',
  isReversed: false,
  filter: '',
  intervalMs: 1000,
  isTyping: false,
  isPaused: false,
  isHelpShown: false,
  skipped: 0,
};
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
    rAwait: -1,
    wAwait: -1,
    aquSz: -1,
    util: -1,
    fPerSec: 0,
    dPerSec: -1,
    ooPerSec: 0,
  };
}

function row(domid: number, disk: string, reads: number, rest?: Partial<GuestRow>): GuestRow {
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
const UNSUPPORTED = [
  { domid: 3, domain: 'mail', name: 'xvda', driver: 'qemu' },
  { domid: 4, domain: 'web4', name: 'xvda', driver: 'tap' },
  { domid: 4, domain: 'web4', name: 'xvdb', driver: 'tap' },
] as DiskInfo[];

function pictureOf(view: Partial<View>, sample: Partial<Sample> = {}): Picture {
  const time = new Date(2026, 0, 2, 14, 2, 31);
  return {
    view: { ...VIEW, ...view },
    sample: { time, rows: ROWS, unsupported: [], ...sample },
    unit: 'kB',
    isWatching: true,
  };
}

function render(view: Partial<View> = {}, size: Size = WIDE, rows = ROWS, style = PLAIN) {
  return renderScreen(pictureOf(view, { rows }), size, style);
}

/** The lines of a screen without colours and other attributes. */
const text = (...args: Parameters<typeof render>) => render(...args).map(stripVTControlCharacters);

describe('the screen', () => {
  test('shows a title, headings, the total, the busiest disks first, and the keys', () => {
    expect(text().map((line) => line.trimEnd())).toEqual([
      '14:02:31  every 1 s  3 disks of 2 domains  sorted by kB/s',
      'DOMAIN DISK     r/s    w/s     rkB/s     wkB/s rareq-sz wareq-sz    f/s    d/s   oo/s      kB/s',
      'total  3      260.0  130.0    4160.0    1040.0    16.00     8.00   0.00      -   0.00    5200.0            █▁█',
      'web1   xvdb   200.0  100.0    3200.0     800.0    16.00     8.00   0.00      -   0.00    4000.0            █▁█',
      'web2   xvda   50.00  25.00     800.0     200.0    16.00     8.00   0.00      -   0.00    1000.0            █▁█',
      'web1   xvda   10.00   5.00     160.0     40.00    16.00     8.00   0.00      -   0.00     200.0            █▁█',
      '',
      'q quit  ? help  p pause  / filter  <> sort  r reverse  d domains  +- interval',
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

  test('shows that it is paused, and that xenstored does not respond, before what can be cut off', () => {
    const picture = {
      ...pictureOf({ isPaused: true, intervalMs: 2500 }, { rows: [] }),
      isWatching: false,
    };
    const [title = ''] = renderScreen(picture, WIDE, PLAIN).map(stripVTControlCharacters);
    expect(title).toMatch(
      /^14:02:31 {2}PAUSED {2}xenstored does not respond: .* every 2\.5 s {2}0 disks of 0 domains/,
    );
  });

  test('shows in place of the figures why they are unknown', () => {
    const note = 'cannot read \x1b]0;statistics';
    const [line = ''] = text({}, WIDE, [row(1, 'xvda', 0, { figures: undefined, note })]).slice(3);
    expect(line).toMatch(/^web1 {3}xvda {2}cannot read \ufffd\]0;statistics *$/);
  });

  test('shows how many disks cannot be read, and what serves them', () => {
    const lines = (view: Partial<View>) =>
      renderScreen(pictureOf(view, { unsupported: UNSUPPORTED }), WIDE, PLAIN)
        .map(stripVTControlCharacters)
        .map((line) => line.trimEnd());
    expect(lines({}).slice(-3)).toEqual([
      expect.stringMatching(/^web1 {3}xvda/),
      '1 disk of QEMU, 2 disks of tapdisk are not shown',
      expect.stringMatching(/^q quit/),
    ]);
    expect(lines({ filter: 'mail' }).at(-2)).toBe('1 disk of QEMU is not shown');
    expect(lines({ filter: 'web1' }).at(-2)).toBe('');
  });

  test('shows the reverse order', () => {
    const lines = text({ isReversed: true });
    expect(lines[0]).toContain('sorted by kB/s, reversed');
    expect(lines.slice(3, 6).map((line) => line.slice(0, 11))).toEqual([
      'web1   xvda',
      'web2   xvda',
      'web1   xvdb',
    ]);
  });

  test('explains the keys in place of the rows, also on ten lines of 40 columns', () => {
    const lines = text({ isHelpShown: true }, { columns: 40, rows: 10 });
    expect(lines[0]).toMatch(/^14:02:31 /);
    expect(lines[1]).toMatch(/^q, Ctrl-C +quit *$/);
    expect(lines[9]).toMatch(/^arrows, pages +scroll *$/);
    expect(lines.join('\n')).not.toContain('web1');
  });

  test('shows throughput in megabytes, or with a unit for each figure', () => {
    const lines = (unit: Picture['unit']) =>
      renderScreen({ ...pictureOf({}), unit }, WIDE, PLAIN).map(stripVTControlCharacters);
    expect(lines('MB')[0]).toContain('sorted by MB/s');
    expect(lines('MB')[1]).toMatch(/ rMB\/s +wMB\/s rareq-sz .* MB\/s *$/);
    expect(lines('MB')[3]).toMatch(/ 3\.13 +0\.78 +16\.00 .* 3\.91 /);
    expect(lines('human')[1]).toMatch(/ rB\/s +wB\/s rareq-sz .* B\/s *$/);
    expect(lines('human')[3]).toMatch(/ 3\.13 MB\/s +800 kB\/s +16\.0 kB .* 3\.91 MB\/s /);
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
    expect(headings(104)).toBe('r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s d/s oo/s kB/s');
    expect(headings(103)).toBe('r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s oo/s kB/s');
    expect(headings(80)).toBe('r/s w/s rkB/s wkB/s f/s oo/s kB/s');
    expect(headings(78)).toBe('r/s w/s rkB/s wkB/s oo/s kB/s');
    expect(headings(60)).toBe('rkB/s wkB/s oo/s kB/s');
    expect(headings(40)).toBe('oo/s kB/s');
    expect(headings(31)).toBe('kB/s');
  });

  test.each(['d/s', 'rareq-sz', 'r/s', 'rkB/s', 'oo/s'] as const)(
    'shows the column %s at 40 columns if it is the sort key',
    (sort) => {
      expect(text({ sort }, { columns: 40, rows: 8 })[1]).toContain(` ${sort}`);
    },
  );

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
    expect(inverted('disk')).toBe('DISK');
  });
});
