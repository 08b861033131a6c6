'use strict';

// Bundles the command line with its libraries into dist/xen-block-stats.js: a process that loads one file
// starts in two thirds of the time. The simulator stays as it is: it starts a worker from a file of its own.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { buildSync } = require('esbuild');

const root = join(__dirname, '..');
const license = readFileSync(join(root, 'node_modules/commander/LICENSE'), 'utf8');

buildSync({
  absWorkingDir: root,
  entryPoints: ['dist/cli/main.js'],
  outfile: 'dist/xen-block-stats.js',
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['node-gyp-build', './dist/simulator/*'],
  banner: { js: `/*! Contains commander, under this license:\n\n${license}*/` },
  logLevel: 'warning',
});
