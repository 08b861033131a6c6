import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Tests the package on machines that its binaries do not fit: the tarball is installed without scripts, and
 * its binaries are removed or damaged.
 */

const project = mkdtempSync(join(tmpdir(), 'xen-build-'));
const installed = join(project, 'node_modules/xen-block-stats');
const binary = join(installed, `prebuilds/linux-${process.arch}/xen-block-stats.glibc.node`);
const build = join(installed, 'script/build.cjs');

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync(command, args, {
    cwd: project,
    env: { ...process.env, PREBUILDS_ONLY: undefined, ...env },
    encoding: 'utf8',
  });
}

function npm(...args: string[]): string {
  const { stdout, stderr, status } = run('npm', [...args, '--no-audit', '--no-fund', '--silent']);
  if (status !== 0) throw new Error(stderr + stdout);
  return stdout.trim();
}

/** Prints the counter of a disk of a simulated host, or the error of `connect()` in one line. */
const PROGRAM = `
  const { connect, parseDiskName } = require('xen-block-stats');
  const { SimulatedHost } = require('xen-block-stats/simulator');
  (async () => {
    const guests = [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 42 } }] }];
    const host = process.platform === 'linux' ? await SimulatedHost.start({ guests }) : undefined;
    try {
      const xen = connect(host?.connectOptions);
      console.log(xen.domain('web1').blockStats('xvda').rdReq);
      xen.close();
    } catch (error) {
      console.log(error.code, parseDiskName('xvda'), error.message);
    }
    await host?.stop();
  })();`;

/** Runs PROGRAM after some other code, and returns its output. */
function runProgram(before = '', env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr } = run(process.execPath, ['-e', before + PROGRAM], env);
  expect(stderr).toBe('');
  return stdout;
}

const machine = `linux-${process.arch}`;
const glibc = /glibc [\d.]+/;
/** Matches the one line of an error, with the binaries and the command that follow the reason. */
const failure = (reason: RegExp) =>
  new RegExp(
    `^ERR_XEN_UNSUPPORTED_PLATFORM 51712 platform unsupported: ${reason.source}; ` +
      `the package has (no binary|binaries for linux-.*); to build one: node ${build}\n$`,
  );

beforeAll(() => {
  const tarball = npm('pack', ROOT, '--pack-destination', project);
  renameSync(join(project, tarball), join(project, 'package.tgz'));
  writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true }');
  npm('install', '--ignore-scripts', './package.tgz');
}, 60_000);
afterAll(() => {
  rmSync(project, { recursive: true });
});

test.each(['darwin', 'win32', 'linux'])('is installed on %s, and on every architecture', (os) => {
  const target = mkdtempSync(join(project, 'machine-'));
  const options = [
    '--ignore-scripts',
    '--prefix',
    target,
    `--os=${os}`,
    '--cpu=riscv64',
    '--libc=musl',
  ];
  npm('install', ...options, join(project, 'package.tgz'));
  expect(existsSync(join(target, 'node_modules/xen-block-stats/dist'))).toBe(true);
});

test.each(['darwin', 'win32'])('connect() says that %s is not Linux', (platform) => {
  const before = `Object.defineProperty(process, 'platform', { value: '${platform}' });`;
  expect(runProgram(before)).toMatch(
    new RegExp(
      `^ERR_XEN_UNSUPPORTED_PLATFORM 51712 platform unsupported: ${platform}-${process.arch} is not Linux, ` +
        `whose kernel has the statistics; the package has binaries for .*${machine} \\(.*glibc.*\\)\n$`,
    ),
  );
});

test('connect() says that there is no binary for an architecture', () => {
  const before = `Object.defineProperty(process, 'arch', { value: 'riscv64' });`;
  expect(runProgram(before, { npm_config_arch: 'riscv64' })).toMatch(
    failure(new RegExp(`linux-riscv64 \\(${glibc.source}\\) has no binary`)),
  );
});

test('connect() has the reason why the binary cannot be loaded', () => {
  const kept = `${binary}.kept`;
  renameSync(binary, kept);
  writeFileSync(binary, 'damaged');
  expect(runProgram()).toMatch(
    failure(
      new RegExp(`${machine} \\(${glibc.source}\\) cannot load the binary: ${binary}: .*too short`),
    ),
  );
  renameSync(kept, binary);
});

test('tries the binary for musl where the process has no glibc', () => {
  const before = `process.report.getReport = () => ({ header: {} });`;
  const musl = binary.replace('glibc', 'musl');
  const kept = `${binary}.kept`;
  renameSync(binary, kept);
  writeFileSync(binary, 'for glibc');
  // any file that this process can load shows that it was tried
  cpSync(kept, musl);
  expect(runProgram(before)).toBe('42\n');
  rmSync(musl);
  expect(runProgram(before)).toMatch(
    failure(new RegExp(`${machine} \\(musl\\) cannot load the binary: .*too short`)),
  );
  renameSync(kept, binary);
});

test('a command in the package builds the binary', () => {
  rmSync(join(installed, 'prebuilds'), { recursive: true });
  expect(runProgram()).toMatch(
    failure(new RegExp(`${machine} \\(${glibc.source}\\) has no binary`)),
  );
  const { stdout, stderr, status } = run(process.execPath, [build], {
    npm_config_prefer_offline: 'true',
  });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  expect(stdout).toContain('build/Release/xen_block_stats.node');
  expect(runProgram()).toBe('42\n');
}, 300_000);

test('the command says what it needs, if the compiler is not installed', () => {
  const { stderr, status } = run(process.execPath, [build], { CXX: '/nonexistent/c++' });
  expect(stderr).toContain('/nonexistent/c++ failed');
  expect(stderr).toContain('apt-get install g++ libxen-dev');
  expect(status).toBe(1);
});

test('script/bootstrap installs and builds for each machine that uses the clone, once', () => {
  const clone = mkdtempSync(join(project, 'clone-'));
  const sources = ['CMakeLists.txt', 'package-lock.json', 'tsconfig.json', 'docs/command-line.md'];
  for (const path of ['binding', 'lib', 'script', ...sources]) {
    cpSync(join(ROOT, path), join(clone, path), { recursive: true });
  }
  const tools = join(clone, 'tools');
  mkdirSync(tools);
  const writeProgram = (path: string, ...lines: string[]) => {
    writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 });
  };
  const asMachine = '[ "$2" != process.arch ] || exec echo $ARCH';
  writeProgram(join(tools, 'node'), asMachine, `exec ${process.execPath} "$@"`);
  const reinstall = '[ $1 != ci ] || { rm -rf node_modules; mkdir node_modules; }';
  writeProgram(join(tools, 'npm'), 'echo npm $1', reinstall, 'mkdir -p dist');
  const build = 'install -D /dev/null prebuilds/linux-$ARCH/xen-block-stats.glibc.node';
  writeProgram(join(clone, 'script/prebuilds'), 'echo prebuilds', build);

  const bootstrap = (ARCH: string) => {
    const env = { ARCH, PATH: `${tools}:${process.env['PATH']}` };
    const { stdout } = run(join(clone, 'script/bootstrap'), [], env);
    return stdout.match(/^(npm ci|prebuilds)$/gm);
  };
  expect(bootstrap('x64')).toEqual(['npm ci', 'prebuilds']);
  expect(bootstrap('x64')).toBeNull();
  expect(bootstrap('arm64')).toEqual(['npm ci', 'prebuilds']);
  expect(bootstrap('x64')).toEqual(['npm ci']);
});

test('the command compiles and links with the options of CMakeLists.txt', () => {
  const options = (file: string) =>
    readFileSync(join(ROOT, file), 'utf8')
      .replaceAll('${CMAKE_SOURCE_DIR}/', '')
      .match(/NODE_A\w+|NAPI_VERSION=\d+|-Wl,[^\s')]+/g)
      ?.sort();
  expect(options('script/build.cjs')).toEqual(options('CMakeLists.txt'));
});
