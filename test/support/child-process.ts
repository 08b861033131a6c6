import * as childProcess from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { promisify } from 'node:util';

/*
 * The functions of node:child_process that tests and benchmarks use. A child is killed when its parent
 * dies, however that happens; end-children.ts ends those that a test leaves running.
 */

/** The children that run. */
export const children = new Set<ChildProcess>();

const tied = (command: string, args: readonly string[] = []) => [
  ...['--pdeathsig', 'KILL', '--', command],
  ...args,
];

function register<Child extends ChildProcess>(child: Child): Child {
  children.add(child);
  return child.once('exit', () => children.delete(child));
}

export const spawn = ((command: string, args: readonly string[], options: object) =>
  register(
    childProcess.spawn('setpriv', tied(command, args), options),
  )) as typeof childProcess.spawn;

/** The function that `promisify(execFile)` returns. */
export const execFile = ((command: string, args: readonly string[], options: object) => {
  const result = promisify(childProcess.execFile)('setpriv', tied(command, args), options);
  register(result.child);
  return result;
}) as typeof childProcess.execFile.__promisify__;

export const spawnSync = ((command: string, args: readonly string[], options: object) =>
  childProcess.spawnSync('setpriv', tied(command, args), options)) as typeof childProcess.spawnSync;

export const execFileSync = ((command: string, args: readonly string[], options: object) =>
  childProcess.execFileSync(
    'setpriv',
    tied(command, args),
    options,
  )) as typeof childProcess.execFileSync;

/** Kills a child, and closes its pipes, which its own children may hold open. Resolves when it has ended. */
export async function endChild(child: ChildProcess): Promise<void> {
  for (const stream of child.stdio) stream?.destroy();
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
