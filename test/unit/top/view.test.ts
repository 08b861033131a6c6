import { press, type Key, type View } from '../../../lib/cli/top/view';

const FIRST: View = {
  by: 'disk',
  sort: 'kB/s',
  filter: '',
  isTyping: false,
  isPaused: false,
  skipped: 0,
};
const PAGE = { shown: 10, all: 25 };

/** The view after these keys; a text's characters are keys. */
function after(keys: (Key | string)[], view: View = FIRST): View | undefined {
  return keys
    .flatMap((key) =>
      typeof key === 'string'
        ? Array.from(key, (it): Key => ({ name: /[a-z]/.test(it) ? it : undefined, sequence: it }))
        : key,
    )
    .reduce<View | undefined>((it, key) => it && press(it, key, PAGE), view);
}

const named = (name: string): Key => ({ name, sequence: `\x1b${name}` });

describe('a key', () => {
  test('ends it: q and Ctrl-C, the latter while a filter is typed, too', () => {
    expect(after(['q'])).toBeUndefined();
    expect(after([{ name: 'c', ctrl: true, sequence: '\x03' }])).toBeUndefined();
    expect(after(['/w', { name: 'c', ctrl: true, sequence: '\x03' }])).toBeUndefined();
  });

  test('pauses and goes on', () => {
    expect(after(['p'])?.isPaused).toBe(true);
    expect(after(['p', { name: 'space', sequence: ' ' }])?.isPaused).toBe(false);
  });

  test('changes between disks and domains, from the first row', () => {
    expect(after(['d'], { ...FIRST, skipped: 3 })).toMatchObject({ by: 'domain', skipped: 0 });
    expect(after(['dd'])?.by).toBe('disk');
  });

  test('sorts by the column at the left or right, around the ends', () => {
    expect(after(['<'])?.sort).toBe('oo/s');
    expect(after([named('left'), named('left')])?.sort).toBe('d/s');
    expect(after(['>'])?.sort).toBe('domain');
    expect(after(['>', named('left')])?.sort).toBe('kB/s');
  });

  test('types a filter: q is a letter then', () => {
    expect(after(['/sq l'])).toMatchObject({ filter: 'sq l', isTyping: true });
    expect(after(['/web1', named('backspace'), '2', named('return')])).toEqual({
      ...FIRST,
      filter: 'web2',
    });
    expect(after(['/📀', named('backspace')])?.filter).toBe('');
    expect(after(['/a', named('up'), { sequence: '\x1bb', name: 'b', meta: true }])?.filter).toBe(
      'a',
    );
  });

  test('takes a filter away', () => {
    expect(after(['/web', named('escape')])).toEqual(FIRST);
    expect(after(['/web', named('return'), named('escape')])).toEqual(FIRST);
  });

  test('scrolls as far as there are rows', () => {
    expect(after([named('down')])?.skipped).toBe(1);
    expect(after([named('up')])?.skipped).toBe(0);
    expect(after([named('pagedown')])?.skipped).toBe(10);
    expect(after([named('pagedown'), named('pagedown')])?.skipped).toBe(15);
    expect(after([named('pagedown'), named('pagedown'), named('pageup')])?.skipped).toBe(5);
  });

  test('that means nothing does nothing', () => {
    expect(after(['xyz', named('f1'), { name: 'l', ctrl: true, sequence: '\x0c' }])).toEqual(FIRST);
  });
});
