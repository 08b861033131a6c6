import fc from 'fast-check';
import { QemuAnswer } from '../../lib/backends/qemu';
import { QmpReader } from '../../lib/backends/qmp';
import { XenError } from '../../lib/errors';
import { ROW_LENGTH } from '../../lib/native';
import { ANSWER, GREETING, NEGOTIATED } from '../support/qmp-recorded';

/** The number of altered answers. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 5000);

const MINUTE_MS = 60_000;
/** Far longer than the test takes. */
const TIMEOUT_MS = MINUTE_MS + 4 * RUNS;

const RECORDED = GREETING + NEGOTIATED + ANSWER;
const DISKS = [
  { name: 'xvda', format: 'qcow2' },
  { name: 'xvdb', format: 'raw' },
];

/** Text that replaces a part of an answer: JSON, parts of it, and any characters. */
const replacements = fc.oneof(
  fc.constantFrom(...Array.from('{}[]":,0-.eE\\\n\r\0 \u00ff'), '\r\n', '{}', '[]', 'null'),
  fc.constantFrom('"__proto__": ', '"node-name": "xvda-qcow2", ', '"stats": ', '"return": '),
  fc.constantFrom('{"event": "RESUME"}\r\n', '{"error": {}}\r\n', NEGOTIATED, GREETING, ANSWER),
  fc.json({ maxDepth: 4 }),
  fc.string({ unit: fc.nat(255).map((byte) => String.fromCharCode(byte)), maxLength: 8 }),
);

/** The tokens of the recorded JSON: strings, numbers and punctuation. */
const TOKENS = [...RECORDED.matchAll(/[{}[\],:]|"[^"]*"|[0-9]+|\r\n/g)];
const NUMBERS = TOKENS.filter(([token]) => /^[0-9]/.test(token));

/** Values of a counter, on both sides of the limits of numbers. */
const values = fc.oneof(
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc.nat(64).map((bit) => String(2n ** BigInt(bit) - 1n)),
  fc.constantFrom('0', '-0', '-1', '0.5', '1e3', '1e400', '"1"', '"12345678901234567"', 'null'),
);

/** The position of a part, its length, and what replaces it. */
const changes = fc.oneof(
  fc.tuple(fc.constantFrom(...NUMBERS), values).map(([{ index, 0: token }, value]) => ({
    ...{ at: index, removed: token.length, inserted: value },
  })),
  fc.tuple(fc.constantFrom(...TOKENS), replacements).map(([{ index, 0: token }, inserted]) => ({
    ...{ at: index, removed: token.length, inserted },
  })),
  fc.record({
    at: fc.nat(RECORDED.length),
    removed: fc.oneof(fc.nat(20), fc.nat(RECORDED.length)),
    inserted: replacements,
  }),
);

/** The recorded answer, altered in up to three places. */
const answers = fc
  .array(changes, { minLength: 1, maxLength: 3 })
  .map((all) =>
    all
      .sort((a, b) => b.at - a.at)
      .reduce(
        (text, { at, removed, inserted }) =>
          text.slice(0, at) + inserted + text.slice(at + removed),
        RECORDED,
      ),
  );

/** Returns the rows of the disks, 0 for a disk that is missing; undefined for a refusal. */
function rowsOf(text: string, chunkLength: number, array: Float64Array | BigInt64Array) {
  const reader = new QmpReader();
  let stats;
  try {
    for (let at = 0; at < text.length && stats === undefined; at += chunkLength) {
      stats = reader.push(text.slice(at, at + chunkLength));
    }
  } catch (error) {
    // the message is for a user
    expect((error as Error).constructor).toBe(Error);
    expect((error as Error).message).toMatch(/^(QEMU|it|the answer of QEMU) [ -~]+$/);
  }
  if (stats === undefined) return undefined;
  const answer = new QemuAnswer({ domid: 3, path: '/run/xen/qmp-libxenstat-3' }, 0n, stats);
  for (const [i, disk] of DISKS.entries()) {
    try {
      answer.fill(disk, array, i * ROW_LENGTH);
    } catch (error) {
      expect(error).toBeInstanceOf(XenError);
      expect(error).toMatchObject({ code: 'ERR_XEN_STATS_UNAVAILABLE', disk: disk.name });
      expect((error as Error).message).toMatch(/^cannot read \S+: node \S+: [ -~]+ \(domain 3\)$/);
    }
  }
  return array;
}

test(
  'reads an altered answer of QEMU to numbers, or refuses it with an error for the user',
  () => {
    let read = 0;
    const property = fc.property(answers, fc.integer({ min: 1, max: 4000 }), (text, length) => {
      const bigints = rowsOf(text, text.length, new BigInt64Array(2 * ROW_LENGTH));
      // independent of how the text arrives
      const numbers = rowsOf(text, length, new Float64Array(2 * ROW_LENGTH));
      expect(numbers && [...numbers]).toEqual(bigints && Array.from(bigints, Number));
      expect(bigints?.every((value) => value >= -1n)).not.toBe(false);
      if (bigints?.some((value) => value > 0n) === true) read++;
    });
    fc.assert(property, { numRuns: RUNS, seed: Number(process.env['FUZZ_SEED'] ?? 1) });
    // the alterations are small enough to pass, too
    expect(read).toBeGreaterThan(RUNS / 20);
    expect(read).toBeLessThan(RUNS);
    expect(({} as Record<string, unknown>)['stats']).toBeUndefined();
  },
  TIMEOUT_MS,
);
