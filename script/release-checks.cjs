'use strict';

// release-checks.cjs [VERSION]: prints what keeps a version from being released, a line each, and what to do.
// Changes nothing. The default is the version in package.json.
const { Buffer } = require('node:buffer');
const { execFileSync } = require('node:child_process');
const { existsSync, openSync, readFileSync, readSync, closeSync } = require('node:fs');
const { join } = require('node:path');
const { lockProblems } = require('./lock-problems.cjs');

/** The largest size of the packed package, in bytes: half of it is the four binaries. */
const MAX_SIZE = 2_000_000;

/** The field e_machine of the ELF header of each architecture (elf(5)). */
const ELF_MACHINES = { x64: 62, arm64: 183 };

const LIBCS = ['glibc', 'musl'];

const root = join(__dirname, '..');
const read = (path) => readFileSync(join(root, path), 'utf8');
const git = (...args) =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

function findProblems(version, manifest) {
  if (!/^\d+\.\d+\.\d+(-[\w.-]+)?$/.test(version))
    return [`${version} is not a version: give one such as 1.2.3`];
  const problems = [
    ...checkVersion(version, manifest),
    ...checkTree(version),
    ...checkChangelog(version),
    ...checkPlaceholders(manifest),
    ...checkLock(manifest),
    ...checkBinaries(),
  ];
  // the size of an incomplete package says nothing
  return problems.length > 0 ? problems : checkSize();
}

function checkVersion(version, manifest) {
  if (version === manifest.version) return [];
  const command = `npm version --no-git-tag-version ${version}`;
  return [`package.json has the version ${manifest.version}: run ${command}, and commit`];
}

function checkTree(version) {
  const problems = [];
  if (git('status', '--porcelain') !== '')
    problems.push('the work tree has changes: commit or remove what git status shows');
  const commit = (ref) => git('rev-list', '-n', '1', ref);
  if (git('tag', '--list', `v${version}`) !== '' && commit(`v${version}`) !== commit('HEAD'))
    problems.push(`the tag v${version} is on another commit: release a new version`);
  return problems;
}

function checkChangelog(version) {
  const sections = read('CHANGELOG.md').split(/^## /m);
  const section = sections.find((it) => it.split(/[\s\n]/, 1)[0] === version);
  if (section === undefined)
    return [`CHANGELOG.md has no section ${version}: rename its section Unreleased`];
  const [heading, ...lines] = section.split('\n');
  const date = /^\S+ - (\d{4}-\d\d-\d\d)$/.exec(heading)?.[1];
  if (date === undefined || Number.isNaN(Date.parse(date)))
    return [
      `the section ${version} of CHANGELOG.md has no date: write "## ${version} - YYYY-MM-DD"`,
    ];
  if (lines.every((line) => line.trim() === ''))
    return [`the section ${version} of CHANGELOG.md is empty: write what has changed`];
  return [];
}

function checkPlaceholders(manifest) {
  return ['author', 'bugs', 'homepage', 'repository']
    .filter((field) => /\bOWNER\b|^undefined$/.test(String(JSON.stringify(manifest[field]))))
    .map((field) => `"${field}" in package.json is a placeholder: write the real one`);
}

function checkLock(manifest) {
  return lockProblems(manifest, JSON.parse(read('package-lock.json'))).map(
    (problem) => `${problem}: run npm install --package-lock-only, and commit`,
  );
}

function checkBinaries() {
  return Object.entries(ELF_MACHINES).flatMap(([arch, machine]) =>
    LIBCS.flatMap((libc) => {
      const path = `prebuilds/linux-${arch}/xen-block-stats.${libc}.node`;
      const problem = checkBinary(path, machine);
      return problem === ''
        ? []
        : [`${path} ${problem}: run script/prebuilds linux-${arch}-${libc}`];
    }),
  );
}

function checkBinary(path, machine) {
  if (!existsSync(join(root, path))) return 'is missing';
  const header = Buffer.alloc(20);
  const fd = openSync(join(root, path));
  readSync(fd, header);
  closeSync(fd);
  const isElf = header.toString('latin1', 0, 4) === '\x7fELF';
  return isElf && header.readUInt16LE(18) === machine ? '' : 'is for another machine';
}

function checkSize() {
  if (!existsSync(join(root, 'dist/index.js'))) return ['dist/ is not built: run script/bootstrap'];
  const options = ['--dry-run', '--ignore-scripts', '--json', '--silent'];
  const output = execFileSync('npm', ['pack', ...options], { cwd: root, encoding: 'utf8' });
  const [{ size }] = JSON.parse(output);
  if (size <= MAX_SIZE) return [];
  return [
    `the packed package has ${size} bytes, more than ${MAX_SIZE}: see npm pack --dry-run for the files`,
  ];
}

const manifest = JSON.parse(read('package.json'));
const problems = findProblems(process.argv[2] ?? manifest.version, manifest);
for (const problem of problems) console.error(`script/release: ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;
