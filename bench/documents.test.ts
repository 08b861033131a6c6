import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { figures, fillIn } from './documents';

const RESULTS = {
  machine: '2 x A processor, Linux 6.1.0, Node.js 20.20.2',
  rounds: 9,
  results: [
    { name: 'the floor', nanoseconds: 4996, ratio: 1 },
    { name: 'fs.readFileSync of each file', nanoseconds: 70123, ratio: 14.036 },
  ],
};

const TABLE = `| one disk                     | microseconds | times the floor |
| ---------------------------- | -----------: | --------------: |
| the floor                    |         5.00 |            1.00 |
| fs.readFileSync of each file |        70.12 |           14.04 |

2 x A processor, Linux 6.1.0, Node.js 20.20.2; medians of 9 rounds.`;

describe('the benchmark’s figures in documents', () => {
  test('are a table in the format of prettier', () => {
    expect(figures(RESULTS)).toBe(TABLE);
  });

  test('replace the text between the markers, and nothing else', () => {
    const before = 'a\n\n<!-- bench:begin -->\n\nold\n\n<!-- bench:end -->\n\nb\n';
    const after = `a\n\n<!-- bench:begin -->\n\n${TABLE}\n\n<!-- bench:end -->\n\nb\n`;
    expect(fillIn(before, figures(RESULTS))).toBe(after);
    expect(fillIn(after, figures(RESULTS))).toBe(after);
  });

  test.each(['', '<!-- bench:begin -->', '<!-- bench:end --> <!-- bench:begin -->'])(
    'are not written into a document without markers: %j',
    (document) => {
      expect(() => fillIn(document, '')).toThrow('the document has no <!-- bench:begin -->');
    },
  );

  test.each(['README.md', 'docs/performance.md'])('have their markers in %s', (document) => {
    const text = readFileSync(join(__dirname, '..', document), 'utf8');
    expect(fillIn(text, 'new')).toContain('\n\nnew\n\n');
  });
});
