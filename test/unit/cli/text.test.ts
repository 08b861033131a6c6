import { fit, textWidth, toPrintable } from '../../../lib/cli/text';
import { sparkline } from '../../../lib/cli/top/sparkline';

const UTF8 = { utf8: true };
const ASCII = { utf8: false };

describe('text on a terminal', () => {
  test.each([
    ['', 0],
    ['web1', 4],
    ['Bücher', 6],
    ['Bu\u0308cher', 6],
    ['東京', 4],
    ['ﾃｽﾄ', 3],
    ['한국', 4],
    ['📀', 2],
    ['x📀y', 4],
  ])('%j takes %i columns', (text, width) => {
    expect(textWidth(text)).toBe(width);
  });

  test.each([
    ['web1', 6, 'web1  '],
    ['web1', 4, 'web1'],
    ['webserver', 4, 'web…'],
    ['webserver', 1, '…'],
    ['webserver', 0, ''],
    ['東京都', 5, '東京…'],
    ['東京都', 4, '東… '],
    ['東京都', 1, '…'],
    ['u\u0308u\u0308u\u0308', 2, 'u\u0308…'],
    ['📀📀', 3, '📀…'],
  ])('%j is fitted in %i columns as %j', (text, width, fitted) => {
    expect(fit(text, width, UTF8)).toBe(fitted);
    expect(textWidth(fitted)).toBe(width);
  });

  test('is cut with an ASCII character without UTF-8', () => {
    expect(fit('webserver', 4, ASCII)).toBe('web~');
  });

  test('has no characters that break a line or change its direction', () => {
    expect(toPrintable('a\u202eb\u200dc\u2028d\ud800e\x1b[2Jf\x9bg', UTF8)).toBe(
      'a\ufffdb\ufffdc\ufffdd\ufffde\ufffd[2Jf\ufffdg',
    );
    expect(toPrintable('B\u00fccher 📀\x07', ASCII)).toBe('B?cher ??');
  });
});

describe('a sparkline', () => {
  test('shows values relative to the largest', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, UTF8)).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([0, 100, 1], 3, UTF8)).toBe('▁█▂');
  });

  test('shows the newest value at the right, and blanks for unknown values', () => {
    expect(sparkline([9, 4, undefined, 2], 3, UTF8)).toBe('█ ▅');
    expect(sparkline([1], 3, UTF8)).toBe('  █');
    expect(sparkline([], 2, UTF8)).toBe('  ');
    expect(sparkline([1], 0, UTF8)).toBe('');
  });

  test('shows the lowest bar for an idle disk', () => {
    expect(sparkline([0, 0], 2, UTF8)).toBe('▁▁');
  });

  test('uses ASCII characters without UTF-8', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8, ASCII)).toBe('_.-=+*#@');
  });
});
