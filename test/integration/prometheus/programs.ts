import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The root of the repository. */
export const ROOT = join(__dirname, '..', '..', '..');

/** Returns the path of a program, from Debian's package prometheus. */
export function program(name: 'prometheus' | 'promtool'): string {
  const path = join(ROOT, '.cache/prometheus', name);
  if (!existsSync(path)) {
    throw new Error(`${name} is not installed: run script/bootstrap test, which downloads it`);
  }
  return path;
}

/** Runs promtool, and returns its output. Throws if promtool reports an error. */
export function promtool(args: readonly string[], input?: string): string {
  return execFileSync(program('promtool'), args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input !== undefined && { input }),
  });
}
