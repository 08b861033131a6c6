'use strict';

// Builds the addon on this machine, where the package has no binary for it: node script/build.cjs. Needs a C++
// compiler and libxenstore's <xenstore.h>, and npm for the headers of Node-API if they are not installed. The
// options of the compiler are those of CMakeLists.txt.
const { spawnSync } = require('node:child_process');
const { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } = require('node:fs');
const { createRequire } = require('node:module');
const { tmpdir } = require('node:os');
const { dirname, join } = require('node:path');
const { devDependencies } = require('../package.json');

const ROOT = join(__dirname, '..');
const ADDON = join(ROOT, 'build/Release/xen_block_stats.node');
const HEADERS = ['node-api-headers', 'node-addon-api'];
const NEEDS = `The build needs a C++17 compiler and xenstore.h:
  Debian, Ubuntu   apt-get install g++ libxen-dev
  Fedora, CentOS   dnf install gcc-c++ xen-devel
  Alpine           apk add g++ xen-dev, and linux-headers before Alpine 3.20
The variable CXX names another compiler than g++.`;

/** Runs a command. Ends this process if it fails, with a text that says what to do. */
function run(command, args, hint, cwd = ROOT) {
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status === 0) return;
  const reason = error ? error.message : `status ${status}`;
  console.error(`xen-block-stats: ${command} failed: ${reason}\n${hint}`);
  process.exit(1);
}

/** Returns the directories of the headers. Installs them into a directory if they are not found. */
function findHeaders(directory) {
  const find = (from) => HEADERS.map((name) => dirname(from.resolve(`${name}/package.json`)));
  try {
    return find(require);
  } catch {
    const packages = HEADERS.map((name) => `${name}@${devDependencies[name]}`);
    const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    const hint = `Without a registry, install ${packages.join(' and ')} beside xen-block-stats.`;
    run('npm', ['install', '--prefix', directory, ...options, ...packages], hint, directory);
    return find(createRequire(join(directory, 'package.json')));
  }
}

const temporary = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
process.on('exit', () => rmSync(temporary, { recursive: true }));
const [nodeApi, nodeAddonApi] = findHeaders(temporary);
const sources = readdirSync(join(ROOT, 'binding')).filter((file) => file.endsWith('.cc'));
const [compiler, ...compilerOptions] = (process.env.CXX || 'g++').split(' ');
console.log(`xen-block-stats: building ${ADDON}`);
mkdirSync(dirname(ADDON), { recursive: true });
run(
  compiler,
  [
    ...compilerOptions,
    ...['-std=c++17', '-O2', '-shared', '-fPIC', '-pthread'],
    ...['-fvisibility=hidden', '-fvisibility-inlines-hidden', '-DNDEBUG'],
    ...['-DNAPI_VERSION=8', '-DNODE_ADDON_API_DISABLE_DEPRECATED'],
    ...['-DNODE_ADDON_API_CPP_EXCEPTIONS', '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
    ...['-isystem', join(nodeApi, 'include'), '-isystem', nodeAddonApi],
    ...sources.map((file) => join('binding', file)),
    ...['-Wl,-z,nodelete', '-Wl,-z,now', '-Wl,--version-script=binding/exports.map', '-s', '-ldl'],
    ...['-o', `${ADDON}.new`],
  ],
  NEEDS,
);
renameSync(`${ADDON}.new`, ADDON);
require(ADDON); // throws dlopen's error, if there is one
console.log('xen-block-stats: built');
