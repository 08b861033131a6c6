import { handleKey, type Key, type View } from '../../../lib/cli/top/view';

const INITIAL: View = {
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
const PAGE = { shown: 10, all: 25 };

/** The view after these keys. Each character of a string is a key. */
function after(keys: (Key | string)[], view: View = INITIAL): View | undefined {
  return keys
    .flatMap((key) =>
      typeof key === 'string'
        ? Array.from(key, (it): Key => ({ name: /[a-z]/.test(it) ? it : undefined, sequence: it }))
        : key,
    )
    .reduce<View | undefined>((it, key) => it && handleKey(it, key, PAGE), view);
}

/** A key with a name. */
const named = (name: string): Key => ({ name, sequence: `\x1b${name}` });

describe('handleKey', () => {
  test('quits on q, and on Ctrl-C also while a filter is typed', () => {
    expect(after(['q'])).toBeUndefined();
    expect(after([{ name: 'c', ctrl: true, sequence: '\x03' }])).toBeUndefined();
    expect(after(['/w', { name: 'c', ctrl: true, sequence: '\x03' }])).toBeUndefined();
  });

  test('pauses and resumes on p and space', () => {
    expect(after(['p'])?.isPaused).toBe(true);
    expect(after(['p', { name: 'space', sequence: ' ' }])?.isPaused).toBe(false);
  });

  test('switches between disks and domains on d, and shows the first row', () => {
    expect(after(['d'], { ...INITIAL, skipped: 3 })).toMatchObject({ by: 'domain', skipped: 0 });
    expect(after(['dd'])?.by).toBe('disk');
  });

  test('sorts by the adjacent column on <, >, left and right, around the ends', () => {
    expect(after(['<'])?.sort).toBe('oo/s');
    expect(after([named('left'), named('left')])?.sort).toBe('d/s');
    expect(after(['>'])?.sort).toBe('domain');
    expect(after(['>', named('left')])?.sort).toBe('kB/s');
  });

  test('reverses the order on r', () => {
    expect(after(['r'])?.isReversed).toBe(true);
    expect(after(['rr'])?.isReversed).toBe(false);
  });

  test('changes the interval on + and -, to the next of a few round ones', () => {
    expect(after(['+'])?.intervalMs).toBe(2000);
    expect(after(['--'])?.intervalMs).toBe(200);
    expect(after(['-----'])?.intervalMs).toBe(100);
    expect(after(['+'], { ...INITIAL, intervalMs: 3000 })?.intervalMs).toBe(5000);
    expect(after(['-'], { ...INITIAL, intervalMs: 3000 })?.intervalMs).toBe(2000);
    expect(after(['+'], { ...INITIAL, intervalMs: 86_400_000 })?.intervalMs).toBe(86_400_000);
  });

  test('shows the help on ? and h, until the next key', () => {
    expect(after(['?'])?.isHelpShown).toBe(true);
    expect(after(['h'])?.isHelpShown).toBe(true);
    expect(after(['hd'])).toEqual(INITIAL);
    expect(after(['hq'])).toBeUndefined();
  });

  test('edits the filter after /, with q as a letter', () => {
    expect(after(['/sq l'])).toMatchObject({ filter: 'sq l', isTyping: true });
    expect(after(['/web1', named('backspace'), '2', named('return')])).toEqual({
      ...INITIAL,
      filter: 'web2',
    });
    expect(after(['/📀', named('backspace')])?.filter).toBe('');
    expect(after(['/a', named('up'), { sequence: '\x1bb', name: 'b', meta: true }])?.filter).toBe(
      'a',
    );
  });

  test('clears the filter on Esc', () => {
    expect(after(['/web', named('escape')])).toEqual(INITIAL);
    expect(after(['/web', named('return'), named('escape')])).toEqual(INITIAL);
  });

  test('scrolls on up, down, page up and page down, as far as there are rows', () => {
    expect(after([named('down')])?.skipped).toBe(1);
    expect(after([named('up')])?.skipped).toBe(0);
    expect(after([named('pagedown')])?.skipped).toBe(10);
    expect(after([named('pagedown'), named('pagedown')])?.skipped).toBe(15);
    expect(after([named('pagedown'), named('pagedown'), named('pageup')])?.skipped).toBe(5);
  });

  test('ignores other keys', () => {
    expect(after(['xyz', named('f1'), { name: 'l', ctrl: true, sequence: '\x0c' }])).toEqual(
      INITIAL,
    );
  });
});
