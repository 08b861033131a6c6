import { execFileSync } from './child-process';
import { programPath } from './programs';
import { ROOT } from './paths';

/** Runs promtool, and returns its output. Throws if promtool reports an error. */
export function promtool(args: readonly string[], input?: string): string {
  return execFileSync(programPath('promtool'), args, {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input !== undefined && { input }),
  });
}
