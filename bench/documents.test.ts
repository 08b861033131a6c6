import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { figures, fillIn, percentiles, recorders, write } from './documents';

const ROOT = join(__dirname, '..');

const RESULTS = {
  machine: '2 x A processor, Linux 6.1.0, Node.js 20.20.2',
  rounds: 9,
  results: [
    { name: 'disk.read()', nanoseconds: 4996, floor: 4803 },
    { name: 'fs.readFileSync of each file', nanoseconds: 70123, floor: 4810 },
  ],
  latencies: [
    {
      name: 'disk.read()',
      p50: 5012,
      p99: 11204,
      p999: 14000,
      max: 20000,
      disturbed: 100,
      disturbedMax: 1e6,
    },
    {
      name: 'its floor, in C',
      p50: 4812,
      p99: 9204,
      p999: 9300,
      max: 9400,
      disturbed: 0,
      disturbedMax: 0,
    },
  ],
  recorder: {
    disks: 50,
    intervalMs: 1,
    recorder: { onTime: 0.99, cpuNs: 7100 },
    floor: { onTime: 0.992, cpuNs: 7000 },
    blockMs: 2.34,
    idleBlockMs: 2.1,
  },
};

const FEW = `| for one disk | microseconds | its floor | times its floor |
| ------------ | -----------: | --------: | --------------: |
| disk.read()  |         5.00 |      4.80 |            1.04 |

2 x A processor, Linux 6.1.0, Node.js 20.20.2; medians of 9 rounds.`;

const TABLE = `| for one disk                 | microseconds | its floor | times its floor |
| ---------------------------- | -----------: | --------: | --------------: |
| disk.read()                  |         5.00 |      4.80 |            1.04 |
| fs.readFileSync of each file |        70.12 |      4.81 |           14.58 |

2 x A processor, Linux 6.1.0, Node.js 20.20.2; medians of 9 rounds.`;

const LATENCIES = `| microseconds of one call |  p50 |   p99 | p99.9 |   max | disturbed | their max |
| ------------------------ | ---: | ----: | ----: | ----: | --------: | --------: |
| disk.read()              | 5.01 | 11.20 | 14.00 | 20.00 |       100 |   1000.00 |
| its floor, in C          | 4.81 |  9.20 |  9.30 |  9.40 |         0 |           |`;

const RECORDERS = `| 50 disks every 1 ms               | ticks on time | microseconds of processor time for one disk | longest turn of the event loop |
| --------------------------------- | ------------: | ------------------------------------------: | -----------------------------: |
| set.record()                      |        99.0 % |                                        7.10 |                         2.3 ms |
| a thread in C, in another process |        99.2 % |                                        7.00 |                         2.1 ms |`;

describe('the benchmark’s figures in documents', () => {
  test('are tables in the format of prettier', () => {
    expect(figures(RESULTS)).toBe(TABLE);
    expect(percentiles(RESULTS)).toBe(LATENCIES);
    expect(recorders(RESULTS)).toBe(RECORDERS);
  });

  test('are a few in README.md, and all in docs/performance.md, beside the chart', () => {
    const root = mkdtempSync(join(tmpdir(), 'bench-'));
    mkdirSync(join(root, 'bench'));
    for (const name of ['README.md', 'docs/performance.md'])
      cpSync(join(ROOT, name), join(root, name));
    write(root, RESULTS);
    const text = (name: string) => readFileSync(join(root, name), 'utf8');
    expect(text('README.md')).toContain(`<!-- bench:begin -->\n\n${FEW}\n\n<!-- bench:end -->`);
    expect(text('docs/performance.md')).toContain(
      `](../bench/latency.svg)\n\n${TABLE}\n\n${LATENCIES}\n\n${RECORDERS}\n\n<!-- bench:end -->`,
    );
    expect(JSON.parse(text('bench/results.json'))).toEqual(RESULTS);
    expect(text('bench/latency.svg')).toContain('>disk.read()</text>');
    rmSync(root, { recursive: true });
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
    const text = readFileSync(join(ROOT, document), 'utf8');
    expect(fillIn(text, 'new')).toContain('\n\nnew\n\n');
  });
});
