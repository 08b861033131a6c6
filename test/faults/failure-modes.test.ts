import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

interface Listing {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string }[];
  }[];
}

/** Returns the names of all tests of the campaign, without this file's. */
function listTests(): string[] {
  // runs no test, since no name matches
  const listing = execFileSync(
    process.execPath,
    [
      join(ROOT, 'node_modules/jest/bin/jest.js'),
      ...['--selectProjects', 'faults', '--testNamePattern', '^$', '--json', '--silent'],
    ],
    { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const json = listing.slice(listing.indexOf('{'));
  return (JSON.parse(json) as Listing).testResults
    .filter(({ name }) => name !== __filename)
    .flatMap(({ assertionResults }) => assertionResults)
    .map(({ fullName }) => fullName.replace(/ \(needs [^)]*\)/, ''));
}

/** Returns the last column of docs/failure-modes.md's rows; of a row without a test, the row. */
function listRows(): string[] {
  const lines = readFileSync(join(ROOT, 'docs/failure-modes.md'), 'utf8').split('\n');
  return lines
    .filter((line) => line.startsWith('|') && !/^\| (fault|---)/.test(line))
    .map((line) => /\| `([^`]+)` +\|$/.exec(line)?.[1] ?? line);
}

function matches(row: string, test: string): boolean {
  const parts = row.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.+')}$`).test(test);
}

test('docs/failure-modes.md has a row for each test of the campaign, and a test for each row', () => {
  const tests = listTests();
  const rows = listRows();
  expect(tests.length).toBeGreaterThan(0);
  expect(tests.filter((name) => !rows.some((row) => matches(row, name)))).toEqual([]);
  expect(rows.filter((row) => !tests.some((name) => matches(row, name)))).toEqual([]);
}, 60_000);
