import type { DiskInfo } from '../../../lib';
import { formatReport } from '../../../lib/cli/rates/report';
import type { GuestRow, Selection } from '../../../lib/cli/rates/rows';
import type { Sample } from '../../../lib/cli/rates/sampler';

const SELECTION: Selection = { by: 'disk', sort: 'kB/s', isReversed: false, filter: 'xvda' };

/** The row of a disk with this many reads a second. */
function row(domid: number, disk: string, reads: number, rest?: Partial<GuestRow>): GuestRow {
  const figures = {
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
  return { domid, domain: `web${domid}`, disk, figures, history: [], note: '', ...rest };
}

const SAMPLE: Sample = {
  time: new Date('2026-01-02T03:04:05.678Z'),
  rows: [
    row(1, 'xvda', 10),
    row(1, 'xvdb', 200),
    row(2, 'xvda', 50, { domain: '东京' }),
    row(3, 'xvda', 0, { domain: 'my db\x1b', figures: undefined, note: 'counters were reset' }),
  ],
  unsupported: [{ domid: 4, domain: 'mail', name: 'xvda', driver: 'tap' } as DiskInfo],
};

describe('a report', () => {
  test('has the time, headings, rows, their total, and the number of disks that cannot be read', () => {
    expect(formatReport(SAMPLE, SELECTION, 'kB', { utf8: true })).toBe(
      `2026-01-02T03:04:05.678Z
DOMAIN    DISK    r/s    w/s   rkB/s   wkB/s  rareq-sz  wareq-sz   f/s  d/s  oo/s     kB/s
东京      xvda  50.00  25.00  800.00  200.00     16.00      8.00  0.00    -  0.00  1000.00
web1      xvda  10.00   5.00  160.00   40.00     16.00      8.00  0.00    -  0.00   200.00
"my db\ufffd"  xvda      -      -       -       -         -         -     -    -     -        -  "counters were reset"
total     3     60.00  30.00  960.00  240.00     16.00      8.00  0.00    -  0.00  1200.00
1 disk of tapdisk is not shown

`,
    );
  });

  test('has throughput in megabytes, or with a unit for each figure', () => {
    const total = (unit: 'MB' | 'human') =>
      formatReport(SAMPLE, SELECTION, unit, { utf8: true })
        .split('\n')
        .filter((line) => /^(DOMAIN|total)/.test(line))
        .map((line) => line.trim().split(/ {2,}/).slice(4, 7));
    expect(total('MB')).toEqual([
      ['rMB/s', 'wMB/s', 'rareq-sz'],
      ['0.94', '0.23', '16.00'],
    ]);
    expect(total('human')).toEqual([
      ['rB/s', 'wB/s', 'rareq-sz'],
      ['960 kB/s', '240 kB/s', '16.0 kB'],
    ]);
  });
});
