import { readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { preProcessFile } from 'typescript';

const ROOT = join(__dirname, '..', '..');
const LIB = join(ROOT, 'lib');

/** The parts of lib/ from top to bottom, a layer each line: a directory ends with a slash. */
const LAYERS = [
  ['cli/'],
  ['metrics/', 'simulator/'],
  ['index.ts'],
  ['connection.ts'],
  ['sampling/'],
  ['domain.ts'],
  ['domain-counters.ts'],
  ['domain-disks.ts'],
  ['disk.ts'],
  ['backends/'],
  ['xenstore/'],
  ['host.ts'],
  ['libvirt/'],
  ['options.ts', 'disk-stats.ts'],
  ['native.ts', 'disk-name.ts', 'inspect.ts'],
  ['addon.ts'],
  ['errors.ts', 'version.ts', 'deadline.ts'],
];

/** The files that the simulator may import besides its own. */
const SIMULATOR_IMPORTS = ['disk-name.ts', 'errors.ts', 'options.ts', 'xenstore/backend-kinds.ts'];

const PATHS = readdirSync(LIB, { recursive: true, encoding: 'utf8' });
const FILES = PATHS.filter((path) => /(?<!\.d)\.ts$/.test(path));

/** Returns the files of lib/ that a file imports, type-only imports included. */
function importsOf(file: string): string[] {
  const { importedFiles } = preProcessFile(readFileSync(join(LIB, file), 'utf8'));
  return importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => join(dirname(file), fileName))
    .map((path) => [`${path}.ts`, join(path, 'index.ts')].find((it) => FILES.includes(it)) ?? path);
}

const IMPORTS = new Map(FILES.map((file) => [file, importsOf(file)]));
const ALL = [...IMPORTS].flatMap(([from, files]) => files.map((to) => ({ from, to })));

const partOf = (file: string) => LAYERS.flat().find((part) => `${file}/`.startsWith(part)) ?? '';
const layerOf = (file: string) => LAYERS.findIndex((parts) => parts.includes(partOf(file)));

/** Returns a circle of imports that a path of imports leads to, or undefined. */
function findCircle(path: string[], done: Set<string>): string[] | undefined {
  const last = path.at(-1) ?? '';
  for (const file of done.has(last) ? [] : (IMPORTS.get(last) ?? [])) {
    const circle = path.includes(file) ? [...path, file] : findCircle([...path, file], done);
    if (circle !== undefined) return circle.slice(circle.indexOf(circle.at(-1) ?? ''));
  }
  done.add(last);
  return undefined;
}

/** Expects that no import is wrong, and names those that are. */
function expectNone(isWrong: (it: { from: string; to: string }) => boolean): void {
  expect(ALL.filter(isWrong).map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
}

describe('a file of lib/', () => {
  test('belongs to a layer, and has a name that says what it holds', () => {
    const vague = ['utils', 'helpers', 'common', 'misc'];
    const wrong = (it: string) => layerOf(it) === -1 || vague.includes(basename(it, '.ts'));
    expect(FILES.filter(wrong)).toEqual([]);
  });

  test('imports only files of its own part and of lower layers', () => {
    expectNone(({ from, to }) => partOf(from) !== partOf(to) && layerOf(from) >= layerOf(to));
  });

  test('is in no circle of imports', () => {
    const done = new Set<string>();
    const circles = FILES.map((file) => findCircle([file], done)?.join(' -> '));
    expect(circles.find((circle) => circle !== undefined)).toBeUndefined();
  });

  const isSimulator = (file: string) => partOf(file) === 'simulator/';

  test('imports the simulator only if it is of the simulator, or cli/demo-host.ts', () => {
    expectNone(
      ({ from, to }) => isSimulator(to) && !isSimulator(from) && from !== 'cli/demo-host.ts',
    );
  });

  test('imports commander only if it is of the command line', () => {
    const importers = FILES.filter((file) =>
      preProcessFile(readFileSync(join(LIB, file), 'utf8')).importedFiles.some(
        ({ fileName }) => fileName === 'commander',
      ),
    );
    expect(importers).toContain('cli/main.ts');
    expect(importers.filter((file) => partOf(file) !== 'cli/')).toEqual([]);
  });

  test('of the simulator imports its own part and a few others only', () => {
    const allowed = (file: string) => isSimulator(file) || SIMULATOR_IMPORTS.includes(file);
    expectNone(({ from, to }) => isSimulator(from) && !allowed(to));
  });
});

describe('a file of test/ or bench/', () => {
  const roots = ['bench', 'test'];
  const files = roots
    .flatMap((root) =>
      readdirSync(join(ROOT, root), { recursive: true, encoding: 'utf8' }).map((path) =>
        join(root, path),
      ),
    )
    .filter((path) => /\.ts$/.test(path) && !path.startsWith('test/xen/'));
  /** The directory of tests of one kind, or of the benchmark. */
  const kindOf = (path: string) => /^(bench|test\/[^/]*)\//.exec(path)?.[1];
  const imports = files.flatMap((from) => {
    const { importedFiles } = preProcessFile(readFileSync(join(ROOT, from), 'utf8'));
    return importedFiles.map(({ fileName }) => ({
      from,
      to: fileName.startsWith('.') ? join(dirname(from), fileName) : fileName,
    }));
  });
  const textOf = ({ from, to }: { from: string; to: string }) => `${from} imports ${to}`;

  test('imports its own directory, test/support/, lib/ and packages only', () => {
    const allowed = ['test/support', undefined];
    const wrong = imports.filter(
      ({ from, to }) => ![...allowed, kindOf(from)].includes(kindOf(to)) || to.startsWith('../'),
    );
    expect(wrong.map(textOf)).toEqual([]);
  });

  test('starts child processes with test/support/child-process.ts only', () => {
    const source = (path: string) => readFileSync(join(ROOT, path), 'utf8');
    const imported = /^import (?!type).*'node:child_process'/m;
    expect(files.filter((path) => imported.test(source(path)))).toEqual([
      'test/support/child-process.ts',
    ]);
  });
});
