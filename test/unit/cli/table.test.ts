import { formatTable, toField } from '../../../lib/cli/table';

const UTF8 = { utf8: true };

describe('a table', () => {
  test('has columns that are as wide as their widest field on the terminal', () => {
    const rows = [
      ['NAME', 'SIZE', 'NOTE'],
      ['数据库', '1', ''],
      ['u\u0308', '100', 'none'],
    ];
    expect(formatTable(rows, (column) => column === 1)).toEqual([
      'NAME    SIZE  NOTE',
      '数据库     1',
      'u\u0308        100  none',
    ]);
  });

  test.each([
    ['web1', 'web1'],
    ['has space', '"has space"'],
    ['has_space', 'has_space'],
    ['say "no"', '"say ""no"""'],
    ['', '""'],
    ['a\x1b[2J\tb', 'a\ufffd[2J\ufffdb'],
  ])('has the field %j as %s', (text, field) => {
    expect(toField(text, UTF8)).toBe(field);
  });
});
