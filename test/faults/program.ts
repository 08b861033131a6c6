import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The root of the package: programs that run there can load the package by its name. */
export const ROOT = join(__dirname, '..', '..');

/** How a program is run. */
export interface RunOptions {
  /** The command that runs Node, if any: `['prlimit', '--nofile=64']`. */
  readonly under?: readonly string[];
  /** Options of Node. */
  readonly node?: readonly string[];
  /** Called with each line that the program prints with console.error; `stderr` is empty then. */
  readonly onStep?: (step: string) => Promise<void>;
}

/** The result of a program. */
export interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the body of an async function in a child process. The body has the package as `xbs`, and the values
 * as constants.
 */
export function runProgram(
  program: string,
  values: Record<string, unknown>,
  { under = [], node = [], onStep }: RunOptions = {},
): Promise<Ending> {
  const constants = Object.entries(values).map(
    ([name, value]) => `const ${name} = ${JSON.stringify(value)};`,
  );
  const source = `const xbs = require('xen-block-stats'); ${constants.join(' ')}
    (async () => { ${program} })();`;
  const [command = process.execPath, ...before] = under;
  const executable = under.length === 0 ? [] : [process.execPath];
  const args = [...before, ...executable, ...node, '-e', source];
  return new Promise((resolve, reject) => {
    const steps: Promise<void>[] = [];
    const child = execFile(command, args, { cwd: ROOT }, (_error, stdout, stderr) => {
      const errors = onStep === undefined ? stderr : '';
      const ending = { status: child.exitCode, signal: child.signalCode, stdout, stderr: errors };
      Promise.all(steps).then(() => {
        resolve(ending);
      }, reject);
    });
    if (onStep === undefined || child.stderr === null) return;
    createInterface(child.stderr).on('line', (step) => steps.push(onStep(step)));
  });
}

/** Runs a program that must succeed, and returns the JSON that it prints. */
export async function evaluate(
  program: string,
  values: Record<string, unknown>,
  options?: RunOptions,
): Promise<unknown> {
  const { stdout, ...ending } = await runProgram(program, values, options);
  expect(ending).toEqual({ status: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}
