import { join } from 'node:path';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/**
 * Builds a program of this directory with sanitizers, and returns its path.
 *
 * @param name - the program's name, without `.cc`.
 * @param sources - the files of binding/ that it needs, without `.cc`.
 * @param sanitizers - the value of `-fsanitize`.
 * @param directory - where the program is written.
 */
export function buildDriver(
  name: string,
  sources: readonly string[],
  sanitizers: string,
  directory: string,
): string {
  const program = join(directory, `${name}-${sanitizers}`);
  const flags = ['-std=c++17', '-g', '-O1', '-pthread', `-fsanitize=${sanitizers}`];
  const files = [`test/sanitize/${name}.cc`, ...sources.map((it) => `binding/${it}.cc`)];
  execFileSync('g++', [...flags, '-o', program, ...files, '-ldl'], { cwd: ROOT });
  return program;
}
