import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execFileSync, spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Runs script/release in a repository with a release that it accepts, and with one thing wrong in each test.
 */

const COPIED = ['.gitignore', 'CHANGELOG.md', 'package.json', 'package-lock.json', 'script'];
const ELF_MACHINES = { x64: 62, arm64: 183 };

const directory = mkdtempSync(join(tmpdir(), 'xen-release-'));
const repository = join(directory, 'repository');

const at = (path: string) => join(repository, path);
const git = (...args: string[]) =>
  execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
    cwd: repository,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
}

function editJson(path: string, change: (content: Record<string, unknown>) => object): void {
  const content = JSON.parse(readFileSync(at(path), 'utf8')) as Record<string, unknown>;
  write(path, JSON.stringify(change(content), null, 2));
}

/** Replaces text in a file of the repository, and commits it. */
function edit(path: string, from: string | RegExp, to: string): void {
  const text = readFileSync(at(path), 'utf8');
  const edited = text.replace(from, to);
  expect(edited).not.toBe(text);
  write(path, edited);
  git('commit', '--all', '--quiet', '--message', 'Edit');
}

function writeBinary(arch: keyof typeof ELF_MACHINES, libc: string, machine = ELF_MACHINES[arch]) {
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  write(`prebuilds/linux-${arch}/xen-block-stats.${libc}.node`, header);
}

/** Runs script/release. A tag needs a name and an address of its author. */
function release(...args: string[]) {
  const names = ['AUTHOR', 'COMMITTER'].flatMap((who) => [
    [`GIT_${who}_NAME`, 'test'],
    [`GIT_${who}_EMAIL`, 'test@localhost'],
  ]);
  const { status, stdout, stderr } = spawnSync('script/release', args, {
    cwd: repository,
    encoding: 'utf8',
    env: { ...process.env, ...(Object.fromEntries(names) as Record<string, string>) },
  });
  return { status, stdout, stderr };
}

beforeAll(() => {
  mkdirSync(repository);
  for (const path of COPIED) cpSync(join(ROOT, path), at(path), { recursive: true });
  write('dist/index.js', '');
  for (const arch of ['x64', 'arm64'] as const) {
    for (const libc of ['glibc', 'musl']) writeBinary(arch, libc);
  }
  write('CHANGELOG.md', '# Changelog\n\n## 1.2.3 - 2026-01-31\n\n- A change.\n\n## 1.2.2\n');
  const address = 'https://github.com/someone/xen-block-stats';
  editJson('package.json', (manifest) => ({
    ...manifest,
    version: '1.2.3',
    author: 'someone',
    bugs: `${address}/issues`,
    homepage: address,
    repository: { type: 'git', url: `git+${address}.git` },
  }));
  editJson('package-lock.json', ({ packages, ...lock }) => {
    const { '': root, ...others } = packages as Record<string, object>;
    const packagesOf = { '': { ...root, version: '1.2.3' }, ...others };
    return { ...lock, version: '1.2.3', packages: packagesOf };
  });
  git('init', '--quiet', '--initial-branch', 'main');
  git('add', '.');
  git('commit', '--quiet', '--message', 'Make a release');
  git('tag', 'ready');
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

/** Undoes what a test has changed in files that are in git. */
afterEach(() => {
  git('reset', '--quiet', '--hard', 'ready');
});

describe('script/release --check', () => {
  test('accepts a release that is complete', () => {
    const accepted = { status: 0, stdout: '1.2.3 can be released\n', stderr: '' };
    expect(release('--check')).toEqual(accepted);
    expect(release('1.2.3', '--check')).toEqual(accepted);
  });

  /** Expects a refusal with one line. */
  function expectRefusal(line: string, ...args: string[]): void {
    expect(release('--check', ...args)).toEqual({
      status: 1,
      stdout: '',
      stderr: `script/release: ${line}\n`,
    });
  }

  test('refuses what is not a version', () => {
    expectRefusal('v1 is not a version: give one such as 1.2.3', 'v1');
  });

  test('refuses another version than that of package.json', () => {
    edit('CHANGELOG.md', '## 1.2.3', '## 1.3.0');
    expectRefusal(
      'package.json has the version 1.2.3: run npm version --no-git-tag-version 1.3.0, and commit',
      '1.3.0',
    );
  });

  test('refuses a work tree with changes', () => {
    write('CHANGELOG.md', `${readFileSync(at('CHANGELOG.md'), 'utf8')}\n`);
    expectRefusal('the work tree has changes: commit or remove what git status shows');
  });

  test('refuses a version that was tagged on another commit, not one of this commit', () => {
    git('tag', 'v1.2.3');
    expect(release('--check').status).toBe(0);
    git('commit', '--quiet', '--allow-empty', '--message', 'Continue');
    expectRefusal('the tag v1.2.3 is on another commit: release a new version');
    git('tag', '--delete', 'v1.2.3');
  });

  test.each([
    ['no section', '## 1.2.3 - 2026-01-31', '## Unreleased', 'rename its section Unreleased'],
    ['no date', ' - 2026-01-31', '', 'write "## 1.2.3 - YYYY-MM-DD"'],
    ['no real date', '2026-01-31', '2026-13-01', 'write "## 1.2.3 - YYYY-MM-DD"'],
    ['no change', '- A change.', '', 'write what has changed'],
  ])('refuses a change log with %s', (_, from, to, advice) => {
    edit('CHANGELOG.md', from, to);
    const { status, stderr } = release('--check');
    expect({ status, lines: stderr.split('\n').length }).toEqual({ status: 1, lines: 2 });
    expect(stderr).toContain('CHANGELOG.md');
    expect(stderr.endsWith(`: ${advice}\n`)).toBe(true);
  });

  test.each([
    ['author', /"author": ".*"/, '"author": "OWNER"'],
    ['author', /"author": ".*",\n/, ''],
    ['repository', 'git+https://github.com/someone/', 'git+https://github.com/OWNER/'],
    ['bugs', /"bugs": ".*"/, '"bugs": "https://github.com/OWNER/xen-block-stats/issues"'],
    ['homepage', /"homepage": ".*"/, '"homepage": "https://github.com/OWNER/xen-block-stats"'],
  ])('refuses a placeholder, or nothing, as %s', (field, from, to) => {
    edit('package.json', from, to);
    expectRefusal(`"${field}" in package.json is a placeholder: write the real one`);
  });

  test.each([
    ['a package without a hash', /"integrity": "sha512-[^"]+",/, '', / has no SHA-512 in /],
    [
      'an address of a package',
      /("integrity": "sha512-[^"]+",)/,
      '$1 "resolved": "https://example.com/a.tgz",',
      / has an address in /,
    ],
    ['another version', '"version": "1.2.3"', '"version": "1.2.2"', / has another version than /],
    ['other dependencies', '"node-gyp-build": "^4', '"node-gyp-build": "^3', / has other depend/],
  ])('refuses a lock file with %s', (_, from, to, message) => {
    edit('package-lock.json', from, to);
    const { status, stderr } = release('--check');
    expect({ status, lines: stderr.split('\n').length }).toEqual({ status: 1, lines: 2 });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/: run npm install --package-lock-only, and commit\n$/);
  });

  test('refuses a release without one of the four binaries, or with one for another machine', () => {
    rmSync(at('prebuilds/linux-arm64/xen-block-stats.musl.node'));
    expectRefusal(
      'prebuilds/linux-arm64/xen-block-stats.musl.node is missing: run script/prebuilds linux-arm64-musl',
    );
    writeBinary('arm64', 'musl', ELF_MACHINES.x64);
    expectRefusal(
      'prebuilds/linux-arm64/xen-block-stats.musl.node is for another machine: run script/prebuilds linux-arm64-musl',
    );
    writeBinary('arm64', 'musl');
  });

  test('refuses a package that is too large, or not built', () => {
    write('dist/large.js', randomBytes(2_000_000));
    expect(release('--check').stderr).toMatch(
      /^script\/release: the packed package has \d+ bytes, more than 2000000: see npm pack --dry-run for the files\n$/,
    );
    rmSync(at('dist'), { recursive: true });
    expectRefusal('dist/ is not built: run script/bootstrap');
    write('dist/index.js', '');
  });
});

describe('script/release', () => {
  /** Replaces the tests and the bill of materials, which have tests of their own, by programs that do nothing. */
  function replaceTests(test: string): void {
    write('script/test', test);
    write('script/reproduce', '#!/bin/sh\n');
    write('script/sbom.cjs', 'console.log("{}");');
    editJson('package.json', (manifest) => ({
      ...manifest,
      scripts: { 'test:platforms': 'true' },
    }));
    git('commit', '--all', '--quiet', '--message', 'Replace the tests');
    git('tag', '--force', 'replaced');
  }

  test('makes the files, and prints how to publish them', () => {
    replaceTests('#!/bin/sh\n');
    const { status, stdout, stderr } = release();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('xen-block-stats-1.2.3.tgz');
    expect(stdout).toContain('xen-block-stats-1.2.3.cdx.json');
    expect(stdout).toMatch(
      /script\/release 1\.2\.3 --tag:\n {2}git tag -a v1\.2\.3 -m 'xen-block-stats 1\.2\.3'\n {2}git push origin v1\.2\.3\n$/,
    );
    expect(git('tag', '--list', 'v*')).toBe('');
  });

  test('tags and pushes with --tag only', () => {
    replaceTests('#!/bin/sh\n');
    git('init', '--quiet', '--bare', join(directory, 'origin'));
    git('remote', 'add', 'origin', join(directory, 'origin'));
    expect(release('1.2.3', '--tag').status).toBe(0);
    expect(git('ls-remote', '--tags', 'origin')).toContain(git('rev-parse', 'replaced').trim());
    expect(git('cat-file', '-t', 'v1.2.3')).toBe('tag\n');
    git('tag', '--delete', 'v1.2.3');
  });

  test('makes nothing if a test fails', () => {
    replaceTests('#!/bin/sh\nexit 1\n');
    rmSync(at('build'), { recursive: true, force: true });
    expect(release('--tag').status).toBe(1);
    expect(git('tag', '--list', 'v*')).toBe('');
  });

  test('refuses an unknown option', () => {
    expect(release('--publish')).toEqual({
      status: 2,
      stdout: '',
      stderr: 'script/release: unknown option --publish: use --check or --tag\n',
    });
  });
});
