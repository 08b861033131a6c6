import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { spawn } from './child-process';
import { ROOT } from './paths';

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
export async function runProgram(
  program: string,
  values: Record<string, unknown>,
  { under = [], node = [], onStep }: RunOptions = {},
): Promise<Ending> {
  const constants = Object.entries(values).map(
    ([name, value]) => `const ${name} = ${JSON.stringify(value)};`,
  );
  const source = `const xbs = require('xen-block-stats'); ${constants.join(' ')}
    (async () => { ${program} })();`;
  const [command, ...args] = [...under, process.execPath, ...node, '-e', source];
  // a program that runs in ROOT can load the package by its name
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const steps: Promise<void>[] = [];
  if (onStep !== undefined) {
    createInterface(child.stderr).on('line', (step) => steps.push(onStep(step)));
  }
  const [[status, signal], stdout, stderr] = await Promise.all([
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
    text(child.stdout),
    onStep === undefined ? text(child.stderr) : '',
  ]);
  await Promise.all(steps);
  return { status, signal, stdout, stderr };
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
