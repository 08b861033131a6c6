import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endChild, spawn } from '../support/child-process';

/** The time in which a test must end, in milliseconds. */
const HANG_MS = 90_000;

/** The titles of tests that take long, because they repeat what others test. */
const REPEATING = 'a hundred times|at random moments';

/** What tests say of a mutant. */
export type Result = 'killed' | 'timeout' | 'lived';

/** A copy of the package, in which compiled files are changed. */
export class Copy {
  readonly #directory: string;
  /** Has a line for each part of the code that the tests have reached. */
  readonly #reached: string;

  constructor(root: string, name: string) {
    this.#directory = join(tmpdir(), name);
    this.#reached = join(this.#directory, 'reached');
    const left = ['node_modules', '.git', '.cache', 'build'].map((it) => join(root, it));
    cpSync(root, this.#directory, { recursive: true, filter: (path) => !left.includes(path) });
    symlinkSync(join(root, 'node_modules'), join(this.#directory, 'node_modules'));
    writeFileSync(this.#reached, '');
    chmodSync(this.#reached, 0o666); // some tests change their user
  }

  /** Writes a file of dist/. */
  write(file: string, text: string): void {
    writeFileSync(join(this.#directory, 'dist', file), text);
  }

  /** Returns the function that records, once in a process, that a part of the code has been reached. */
  recorder(name: string, prefix: string): string {
    return `function ${name}(part) {
      const known = (${name}.known ??= new Set());
      if (known.has(part)) return;
      known.add(part);
      const lines = (${name}.lines ??= []);
      lines.push('${prefix}' + part + '\\n');
      try {
        require('node:fs').appendFileSync(${JSON.stringify(this.#reached)}, lines.join(''));
        lines.length = 0;
      } catch {} // the process may have no free descriptor: the next call repeats it
    }`;
  }

  /** Returns the parts of the code that have been reached since the last call. */
  takeReached(): Set<string> {
    const lines = readFileSync(this.#reached, 'utf8').split('\n');
    writeFileSync(this.#reached, '');
    return new Set(lines);
  }

  /** Runs suites in this order, until a test fails. Returns the title of that test, too. */
  async test(suites: readonly string[]): Promise<{ result: Result; failed: string }> {
    const temporary = join(this.#directory, 'tmp');
    mkdirSync(temporary);
    const options = [
      '--config',
      'test/mutation/jest.config.cjs',
      '--runInBand',
      '--bail',
      '--forceExit',
    ];
    const child = spawn(
      process.execPath,
      [
        'node_modules/jest/bin/jest.js',
        ...[...options, '--silent', `--testNamePattern=^(?!.*(${REPEATING}))`],
        ...['--runTestsByPath', ...suites],
      ],
      {
        cwd: this.#directory,
        env: { ...process.env, TMPDIR: temporary, MUTATION_SUITES: suites.join(' ') },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    let output = '';
    const timer = setTimeout(() => void endChild(child), HANG_MS);
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString();
      timer.refresh();
    });
    const [status] = (await once(child, 'close')) as [number | null];
    clearTimeout(timer);
    // the test's own children end at the same time, and may still write
    rmSync(temporary, { recursive: true, force: true, maxRetries: 5 });
    const failed = /^failed: (.*)$/m.exec(output)?.[1] ?? suites.join(' ');
    return {
      result: child.signalCode === 'SIGKILL' ? 'timeout' : status === 0 ? 'lived' : 'killed',
      failed,
    };
  }
}
