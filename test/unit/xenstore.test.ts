import { constants } from 'node:os';
import {
  checkPermitted,
  toChildren,
  toNames,
  toText,
  toTexts,
  xenstoreError,
} from '../../lib/xenstore/client';
import { isSameDisk, toDevids, type DiskInfo } from '../../lib/xenstore/disks';
import { isSameDomain, toDomids, toIdentities } from '../../lib/xenstore/domains';

const { EACCES, EPERM, ENOENT, ECONNRESET } = constants.errno;

describe('an answer of xenstored', () => {
  test('is text, in which U+FFFD replaces what is not printable', () => {
    expect(toText('web1')).toBe('web1');
    expect(toText(Buffer.from('a\u001b\n\u0085é'))).toBe('a\uFFFD\uFFFD\uFFFDé');
    expect(toText(Buffer.from([0x61, 0xff]))).toBe('a\uFFFD');
  });

  test('is undefined for a node that does not exist, and null for one that is refused', () => {
    expect(toText(ENOENT)).toBeUndefined();
    for (const errno of [EACCES, EPERM]) expect(toText(errno)).toBeNull();
  });

  test('is the names of a directory, or none', () => {
    expect(toNames(['1', '2'])).toEqual(['1', '2']);
    for (const answer of [ENOENT, EACCES, undefined]) expect(toNames(answer)).toEqual([]);
  });

  test('is an answer for each child, or none', () => {
    const answers = [
      ['1', ['xvda']],
      ['2', [ENOENT]],
    ];
    expect([...toChildren(answers)]).toEqual(answers);
    for (const answer of [ENOENT, EACCES, undefined]) expect(toChildren(answer).size).toBe(0);
  });

  test('is the values of several nodes, or none', () => {
    expect(toTexts(['1', ENOENT, EACCES])).toEqual(['1', undefined, null]);
    for (const answer of [ENOENT, EACCES, undefined]) expect(toTexts(answer)).toEqual([]);
  });
});

describe('checkPermitted', () => {
  test.each([
    [EACCES, 0, 'EACCES'],
    [EPERM, 1, 'EPERM'],
  ])('throws for errno %i of the answer %i', (errno, index, name) => {
    const answers = ['', '', ''].map((text, i) => (i === index ? errno : text));
    expect(() => {
      checkPermitted(['/a', '/b', '/c'], answers);
    }).toThrow(
      expect.objectContaining({
        code: 'ERR_XENSTORE_CONNECT',
        message: expect.stringContaining(`refuses access to ${['/a', '/b'][index]}: ${name}`),
        errno,
        path: ['/a', '/b'][index],
      }),
    );
  });

  test('throws for one of the nodes of a path', () => {
    const answer = [
      ['1', ['', ENOENT]],
      ['2', [EACCES]],
    ];
    expect(() => {
      checkPermitted(['/a/*/{b,c}'], [answer]);
    }).toThrow(expect.objectContaining({ errno: EACCES, path: '/a/*/{b,c}' }));
  });

  test('accepts every other answer', () => {
    checkPermitted(['/a', '/b', '/c/*'], ['', ENOENT, ['', ENOENT]]);
  });
});

test('the error of a lost connection has the reason, if it is known', () => {
  const lost = (errno: number) =>
    xenstoreError({ failure: 'broken', errno }, { timeoutMs: 1000, socket: undefined }).message;
  expect(lost(ECONNRESET)).toMatch(/^the connection to xenstored was lost: ECONNRESET /);
  expect(lost(0)).toMatch(/^the connection to xenstored was lost: unknown reason /);
});

test('toDomids returns the domids that a guest can have, once and in their order', () => {
  const names = ['10', '9', '0', '9', '32751', '32752', '65535', '100000', '01', '-1', '', 'x'];
  expect(toDomids(names)).toEqual([0, 9, 10, 32751]);
});

test('toDevids returns the devids of 31 bits', () => {
  const names = ['51712', '0', '2147483647', '2147483648', '4294967296', '051712', '-1', '', 'x'];
  expect(toDevids(names)).toEqual([51712, 0, 2147483647]);
  for (const none of [null, undefined]) expect(toDevids(none)).toEqual([]);
});

const UUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
const OTHER_UUID = 'aaaaaaaa-bbbb-4ccc-8ddd-ffffffffffff';

test('toIdentities returns the name and the UUID of each domain, as far as xenstored tells', () => {
  const answers = [
    ['web1', `/vm/${UUID.toUpperCase()}`],
    ['', ENOENT],
    [EACCES, EACCES],
    ['db', '/vm/x'],
  ];
  expect(toIdentities([1, 2, 3, 4], answers)).toEqual([
    { domid: 1, name: 'web1', uuid: UUID },
    { domid: 2, name: undefined, uuid: undefined },
    { domid: 3, name: undefined, uuid: undefined },
    { domid: 4, name: 'db', uuid: undefined },
  ]);
});

describe('isSameDomain', () => {
  const domain = { domid: 1, name: 'web1', uuid: UUID };

  test('compares domid and UUID: a domain can be renamed', () => {
    expect(isSameDomain(domain, { ...domain, name: 'www' })).toBe(true);
    expect(isSameDomain(domain, { ...domain, uuid: OTHER_UUID })).toBe(false);
    expect(isSameDomain(domain, { ...domain, uuid: undefined })).toBe(false);
    expect(isSameDomain(domain, { ...domain, domid: 2 })).toBe(false);
  });

  test('compares names as long as the UUID is unknown', () => {
    const early = { ...domain, uuid: undefined };
    expect(isSameDomain(early, domain)).toBe(true);
    expect(isSameDomain(early, { ...domain, name: 'web2' })).toBe(false);
    expect(isSameDomain(early, { ...early, domid: 2 })).toBe(false);
  });
});

describe('isSameDisk', () => {
  const disk = {
    backend: '/local/domain/0/backend/vbd/1/51712',
    source: '/dev/a',
    domid: 1,
    domain: 'web1',
    uuid: UUID,
  } as DiskInfo;

  test.each<[string, Partial<DiskInfo>]>([
    ['backend directory', { backend: '/local/domain/0/backend/vbd/1/51728' }],
    ['source', { source: '/dev/b' }],
    ['domain', { uuid: OTHER_UUID }],
  ])('is false for another %s', (_what, change) => {
    expect(isSameDisk(disk, { ...disk, ...change })).toBe(false);
  });

  test('is true for a renamed domain, and for one whose UUID was not known', () => {
    expect(isSameDisk(disk, { ...disk, domain: 'www' })).toBe(true);
    expect(isSameDisk({ ...disk, uuid: undefined }, disk)).toBe(true);
    expect(isSameDisk({ ...disk, uuid: undefined }, { ...disk, domain: 'www' })).toBe(false);
  });
});
