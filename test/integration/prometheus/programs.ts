import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The root of the repository. */
export const ROOT = join(__dirname, '..', '..', '..');

/** The path of one of Debian's programs. */
export function program(name: 'prometheus' | 'promtool'): string {
  const path = join(ROOT, '.cache/prometheus', name);
  if (!existsSync(path)) {
    throw new Error(`there is no ${name}: run script/bootstrap test, which fetches it`);
  }
  return path;
}

/** What promtool says; it throws if that is a complaint. */
export function promtool(args: readonly string[], input?: string): string {
  return execFileSync(program('promtool'), args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input !== undefined && { input }),
  });
}
