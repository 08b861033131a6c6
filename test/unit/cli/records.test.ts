import type { DiskInfo } from '../../../lib';
import { csvHeader, formatCsv, formatJsonLine } from '../../../lib/cli/rates/records';
import type { GuestRow, Selection } from '../../../lib/cli/rates/rows';
import type { Sample } from '../../../lib/cli/rates/sampler';

const SELECTION: Selection = { by: 'disk', sort: 'domain', isReversed: false, filter: '' };
const FIGURES = {
  rPerSec: 10.12345,
  wPerSec: 0,
  rkBPerSec: 40,
  wkBPerSec: 0,
  rareqSz: 4,
  wareqSz: 0,
  rAwait: 2.5,
  wAwait: 0,
  aquSz: -1,
  util: -1,
  fPerSec: 1,
  dPerSec: -1,
  ooPerSec: 0,
};

function row(domid: number, disk: string, rest?: Partial<GuestRow>): GuestRow {
  return { domid, domain: `web${domid}`, disk, figures: FIGURES, history: [], note: '', ...rest };
}

const SAMPLE: Sample = {
  time: new Date('2026-01-02T03:04:05.678Z'),
  rows: [
    row(1, 'xvda'),
    row(2, 'xvda', { domain: 'my "db", old', figures: undefined, note: 'counters were reset' }),
  ],
  unsupported: [
    { domid: 3, domain: 'mail', name: 'xvdb', driver: 'tap' } as DiskInfo,
    { domid: 4, domain: undefined, name: 'xvda', driver: 'qemu' } as DiskInfo,
  ],
};

describe('a line of JSON', () => {
  test('has the rates of each disk, named as in the interface, and null where they are unknown', () => {
    const line = formatJsonLine(SAMPLE, SELECTION);
    expect(line).toMatch(/^[^\n]+\n$/);
    const unknown = Object.fromEntries(Object.keys(FIGURES).map((name) => [name, null]));
    expect(JSON.parse(line)).toEqual({
      timestamp: '2026-01-02T03:04:05.678Z',
      disks: [
        {
          ...{ domid: 2, domain: 'my "db", old', disk: 'xvda' },
          ...unknown,
          note: 'counters were reset',
        },
        {
          domid: 1,
          domain: 'web1',
          disk: 'xvda',
          ...FIGURES,
          ...{ aquSz: null, util: null },
          rPerSec: 10.123,
          dPerSec: null,
          rAwait: 2.5,
        },
      ],
      unsupported: [
        { domid: 3, domain: 'mail', disk: 'xvdb', driver: 'tap' },
        { domid: 4, domain: '4', disk: 'xvda', driver: 'qemu' },
      ],
    });
  });

  test('has the sums of each domain, and only what the filter selects', () => {
    const sample = { ...SAMPLE, rows: [row(1, 'xvda'), row(1, 'xvdb'), row(2, 'xvda')] };
    const selection: Selection = { ...SELECTION, by: 'domain', filter: 'web1' };
    expect(JSON.parse(formatJsonLine(sample, selection))).toMatchObject({
      domains: [{ domid: 1, domain: 'web1', disks: 2, rkBPerSec: 80, rareqSz: 3.951 }],
      unsupported: [],
    });
  });
});

describe('CSV', () => {
  test('has a record for each disk, with quotes where they are needed', () => {
    expect(csvHeader(SELECTION) + formatCsv(SAMPLE, SELECTION)).toBe(
      [
        'timestamp,domid,domain,disk,rPerSec,wPerSec,rkBPerSec,wkBPerSec,rareqSz,wareqSz,rAwait,wAwait,aquSz,util,fPerSec,dPerSec,ooPerSec,note',
        '2026-01-02T03:04:05.678Z,2,"my ""db"", old",xvda,,,,,,,,,,,,,,counters were reset',
        '2026-01-02T03:04:05.678Z,1,web1,xvda,10.123,0,40,0,4,0,2.5,0,,,1,,0,',
        '',
      ].join('\n'),
    );
  });

  test('has a record for each domain, with the number of its disks', () => {
    const selection: Selection = { ...SELECTION, by: 'domain' };
    expect(csvHeader(selection)).toMatch(/^timestamp,domid,domain,disks,rPerSec,/);
    expect(formatCsv(SAMPLE, selection)).toContain('.678Z,1,web1,1,10.123,');
  });
});
