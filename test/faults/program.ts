import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** The root of the package: programs that are run there find it by its name. */
export const ROOT = join(__dirname, '..', '..');

/** How a program is run. */
export interface RunOptions {
  /** What runs Node: `['prlimit', '--nofile=64']`. */
  readonly under?: readonly string[];
  /** What Node is told before the program. */
  readonly node?: readonly string[];
  /** Is told what the program says with console.error: each line is a step, and no error. */
  readonly onStep?: (step: string) => Promise<void>;
}

/** How a program ended. */
export interface Ending {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the body of an async function in a process of its own. It has the package as `xbs`, and the values
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
  const itself = under.length === 0 ? [] : [process.execPath];
  const args = [...before, ...itself, ...node, '-e', source];
  return new Promise((resolve, reject) => {
    const steps: Promise<void>[] = [];
    const child = execFile(command, args, { cwd: ROOT }, (_error, stdout, stderr) => {
      const said = onStep === undefined ? stderr : '';
      const ending = { status: child.exitCode, signal: child.signalCode, stdout, stderr: said };
      Promise.all(steps).then(() => {
        resolve(ending);
      }, reject);
    });
    if (onStep === undefined || child.stderr === null) return;
    createInterface(child.stderr).on('line', (step) => steps.push(onStep(step)));
  });
}

/** The same for a program that ends well, and what it printed as JSON. */
export async function evaluate(
  program: string,
  values: Record<string, unknown>,
  options?: RunOptions,
): Promise<unknown> {
  const { stdout, ...ending } = await runProgram(program, values, options);
  expect(ending).toEqual({ status: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}
