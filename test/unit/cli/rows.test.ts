import type { Figures } from '../../../lib/cli/rates/figures';
import {
  filterRows,
  groupByDomain,
  sortRows,
  totalRow,
  type GuestRow,
  type SortKey,
} from '../../../lib/cli/rates/rows';

const IDLE: Figures = {
  rPerSec: 0,
  wPerSec: 0,
  rkBPerSec: 0,
  wkBPerSec: 0,
  rareqSz: 0,
  wareqSz: 0,
  rAwait: -1,
  wAwait: -1,
  aquSz: -1,
  util: -1,
  fPerSec: 0,
  dPerSec: 0,
  ooPerSec: 0,
};

function row(domid: number, disk: string, figures?: Partial<Figures>, rest?: Partial<GuestRow>) {
  return {
    domid,
    domain: `web${domid}`,
    disk,
    figures: figures && { ...IDLE, ...figures },
    history: [],
    note: '',
    ...rest,
  };
}

const namesOf = (rows: GuestRow[]) => rows.map(({ domain }) => domain);

describe('rows', () => {
  test('are summed, with the mean request size of all disks', () => {
    const { figures } = totalRow([
      row(1, 'xvda', { rPerSec: 3, rkBPerSec: 12, rareqSz: 4, fPerSec: 1 }),
      row(2, 'xvda', { rPerSec: 1, rkBPerSec: 64, rareqSz: 64, wPerSec: 5, wkBPerSec: 20 }),
    ]);
    expect(figures).toEqual({
      ...IDLE,
      rPerSec: 4,
      rkBPerSec: 76,
      rareqSz: 19,
      wPerSec: 5,
      wkBPerSec: 20,
      wareqSz: 4,
      rAwait: -1,
      wAwait: -1,
      aquSz: -1,
      util: -1,
      fPerSec: 1,
    });
  });

  test('are summed over the disks that have a counter', () => {
    const { figures } = totalRow([
      row(1, 'xvda', { dPerSec: -1, fPerSec: -1 }),
      row(1, 'xvdb', { dPerSec: 2, fPerSec: -1 }),
      row(1, 'xvdc'),
    ]);
    expect(figures).toMatchObject({ dPerSec: 2, fPerSec: -1 });
  });

  test('have no sum if all figures are unknown, and a sum of 0 if there are no rows', () => {
    expect(totalRow([row(1, 'xvda')]).figures).toBeUndefined();
    expect(totalRow([])).toEqual({
      domain: 'total',
      disk: '0',
      figures: IDLE,
      history: [],
      note: '',
    });
  });

  test('are grouped by domain, also if two domains have the same name', () => {
    const rows = [
      row(1, 'xvda', { rPerSec: 1 }, { domain: 'web' }),
      row(2, 'xvda', { rPerSec: 4 }, { domain: 'web' }),
      row(1, 'xvdb', { rPerSec: 2 }, { domain: 'web', note: 'counters were reset' }),
    ];
    expect(groupByDomain(rows)).toMatchObject([
      {
        domid: 1,
        domain: 'web',
        disk: '2',
        figures: { rPerSec: 3 },
        note: 'xvdb: counters were reset',
      },
      { domid: 2, domain: 'web', disk: '1', figures: { rPerSec: 4 }, note: '' },
    ]);
  });

  test('have histories that are added from the newest sample back', () => {
    const { history } = totalRow([
      row(1, 'xvda', {}, { history: [1, 2, 3] }),
      row(1, 'xvdb', {}, { history: [10, undefined] }),
      row(1, 'xvdc', {}, { history: [undefined, undefined, undefined] }),
    ]);
    expect(history).toEqual([1, 12, 3]);
    expect(totalRow([row(1, 'xvda', {}, { history: [undefined, 0] })]).history).toEqual([
      undefined,
      0,
    ]);
  });

  test('are filtered by the names of the disk and its domain, ignoring case', () => {
    const rows = [row(1, 'xvda'), row(1, 'xvdb'), row(2, 'xvda')];
    const names = (text: string) =>
      filterRows(rows, text).map(({ domain, disk }) => `${domain} ${disk}`);
    expect(names('WEB1')).toEqual(['web1 xvda', 'web1 xvdb']);
    expect(names('vda')).toEqual(['web1 xvda', 'web2 xvda']);
    expect(names('1 xvdb')).toEqual(['web1 xvdb']);
    expect(names('')).toHaveLength(3);
    expect(names('db1')).toEqual([]);
  });

  test.each<[SortKey, string[]]>([
    ['domain', ['web2', 'web9', 'web10', 'web11']],
    ['disk', ['web10', 'web9', 'web11', 'web2']],
    ['rkB/s', ['web9', 'web2', 'web10', 'web11']],
    ['wkB/s', ['web2', 'web9', 'web10', 'web11']],
    ['kB/s', ['web2', 'web9', 'web10', 'web11']],
    ['d/s', ['web9', 'web10', 'web11', 'web2']],
  ])('are sorted by %s, unknown figures last', (key, order) => {
    const rows = [
      row(11, 'xvdb'),
      row(9, 'xvdaa', { rkBPerSec: 5 }),
      row(10, 'xvda', { rkBPerSec: 1 }),
      row(2, 'xvdc', { rkBPerSec: 2, wkBPerSec: 9, dPerSec: -1 }),
    ];
    expect(namesOf(sortRows(rows, { sort: key, isReversed: false }))).toEqual(order);
  });

  test.each<[SortKey, string[]]>([
    ['domain', ['web3', 'web2', 'web1']],
    ['r/s', ['web2', 'web1', 'web3']],
  ])('are sorted by %s in reverse order, unknown figures last', (sort, order) => {
    const rows = [
      row(1, 'xvda', { rPerSec: 5 }),
      row(2, 'xvda', { rPerSec: 1 }),
      row(3, 'xvda', { rPerSec: -1 }),
    ];
    expect(namesOf(sortRows(rows, { sort, isReversed: true }))).toEqual(order);
  });

  test('are not changed by sorting', () => {
    const rows = Object.freeze([row(2, 'xvda'), row(1, 'xvda')]);
    expect(sortRows(rows, { sort: 'domain', isReversed: false })[0]).toBe(rows[1]);
  });
});
