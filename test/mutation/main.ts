/* Changes the compiled core, one change at a time, in copies of the package, and tests each. See run. */
import { appendFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Copy } from './copy';
import { findMutants, instrument, mutate, type Mutant } from './mutants';

const WANTED = Number(process.env['MUTANTS'] ?? 300);
const SEED = Number(process.env['MUTATION_SEED'] ?? 1);
const JOBS = Number(process.env['MUTATION_JOBS'] ?? availableParallelism());
/** The percentage of mutants that the tests must notice. */
const MIN_PERCENT = 90;

const ROOT = process.cwd();
/** Has a line for each mutant, with the test that noticed it. */
const LOG = join(ROOT, 'build/mutation.log');
/** What uses the core. */
const NOT_CORE = /^(cli|metrics|simulator)\//;
const PROJECTS = ['unit', 'simulator', 'integration', 'faults'];
/** The suites of what uses the core or is not in dist/, those that take minutes, and those that the kernel's devices of another run disturb. */
const OTHER_SUITES =
  /top|cli|prometheus|opentelemetry|simulator-|proxy|imports|documents|reliability|hot-path|churn|process|kernel/;

interface Suite {
  readonly path: string;
  readonly ms: number;
  /** The statements that it reaches. */
  readonly reached: ReadonlySet<string>;
}

const list = (directory: string, end: string) =>
  readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(end))
    .sort();

const statementOf = ({ file, statement }: Mutant) => `${file}:${statement}`;

/** Returns a function that returns the same numbers from 0 to 1 for the same seed (mulberry32). */
function generate(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let bits = Math.imul(seed ^ (seed >>> 15), seed | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Selects one of each run of successive mutants, so that they are spread over all files. */
function select(mutants: readonly Mutant[]): Mutant[] {
  const [count, random] = [Math.min(WANTED, mutants.length), generate(SEED)];
  const first = (run: number) => Math.floor((run * mutants.length) / count);
  return Array.from({ length: count }, (_, i) => i).flatMap((i) => {
    const [from, to] = [first(i), first(i + 1)];
    return mutants[from + Math.floor(random() * (to - from))] ?? [];
  });
}

/** Calls a function for each item. Each copy has one item at a time. */
async function forEach<T>(
  copies: readonly Copy[],
  items: readonly T[],
  call: (copy: Copy, item: T) => Promise<void>,
) {
  const rest = [...items];
  const work = async (copy: Copy) => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await call(copy, item);
  };
  await Promise.all(copies.map(work));
}

async function main(): Promise<void> {
  const files = list('dist', '.js').filter((file) => !NOT_CORE.test(file));
  const texts = new Map(
    files.map((file) => [file, readFileSync(join(ROOT, 'dist', file), 'utf8')]),
  );
  const all = [...texts].flatMap(([file, text]) => findMutants(file, text));
  const mutants = select(all);
  console.log(`${mutants.length} of ${all.length} mutants of ${files.length} files, seed ${SEED}`);
  const start = performance.now();
  const copies = Array.from({ length: JOBS }, (_, i) => new Copy(ROOT, String(i)));

  // which statements each suite reaches, also in its child processes
  for (const copy of copies) {
    for (const [file, text] of texts) {
      const own = all.filter((mutant) => mutant.file === file);
      copy.write(
        file,
        `${instrument(text, own, '__reach')}\n${copy.recorder('__reach', `${file}:`)}`,
      );
    }
  }
  const paths = PROJECTS.flatMap((project) =>
    list(`test/${project}`, '.test.ts').map((file) => `test/${project}/${file}`),
  );
  const suites: Suite[] = [];
  await forEach(
    copies,
    paths.filter((path) => !OTHER_SUITES.test(path)),
    async (copy, path) => {
      const begin = performance.now();
      let { result, failed } = await copy.test([path]);
      // once more, because the machine may be busy
      if (result !== 'lived') ({ result, failed } = await copy.test([path]));
      if (result !== 'lived') throw new Error(`${path} fails without a mutant: ${failed}`);
      suites.push({ path, ms: performance.now() - begin, reached: copy.takeReached() });
    },
  );
  suites.sort((a, b) => a.ms - b.ms);
  for (const copy of copies) for (const [file, text] of texts) copy.write(file, text);

  let killed = 0;
  writeFileSync(LOG, '');
  await forEach(copies, mutants, async (copy, mutant) => {
    const { file, line, start, end, replacement } = mutant;
    const text = texts.get(file) ?? '';
    const reaching = suites.filter(({ reached }) => reached.has(statementOf(mutant)));
    copy.write(file, mutate(text, mutant));
    const { result, failed } =
      reaching.length === 0
        ? { result: 'lived' as const, failed: '' }
        : await copy.test(reaching.map(({ path }) => path));
    copy.write(file, text);
    if (result !== 'lived') killed += 1;
    const change = `${text.slice(start, end)} -> ${replacement}`.replace(/\s+/g, ' ');
    const report = `${result} dist/${file}:${line}: ${change}`;
    appendFileSync(LOG, `${report}${result === 'killed' ? ` by: ${failed}` : ''}\n`);
    if (result === 'lived') console.log(report);
  });
  const percent = (100 * killed) / mutants.length;
  const minutes = ((performance.now() - start) / 60_000).toFixed(0);
  console.log(
    `${killed} killed, ${mutants.length - killed} lived of ${mutants.length}: ${percent.toFixed(1)} % in ${minutes} minutes`,
  );
  if (percent < MIN_PERCENT) process.exitCode = 1;
}

void main();
