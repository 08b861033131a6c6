import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './paths';

/** Returns the path of a program, or undefined if it is not installed. */
export function findProgram(name: string): string | undefined {
  const xen = existsSync('/usr/lib')
    ? readdirSync('/usr/lib').filter((it) => /^xen-/.test(it))
    : [];
  const directories = [
    join(ROOT, '.cache/prometheus'),
    ...xen.map((directory) => join('/usr/lib', directory, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/**
 * Returns the path of a program.
 *
 * @throws Error if it is not installed.
 */
export function programPath(name: string): string {
  const path = findProgram(name);
  if (path !== undefined) return path;
  throw new Error(`${name} is not installed: run script/bootstrap test, which installs it`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
