'use strict';

// Bundles the command line with its libraries into dist/xen-block-stats.js: a process that loads one file
// starts in two thirds of the time. The simulator stays as it is: it starts a worker from a file of its own.
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { build } = require('esbuild');

const root = join(__dirname, '..');
const license = readFileSync(join(root, 'node_modules/commander/LICENSE'), 'utf8');

/**
 * Replaces node:child_process in commander, which needs it for commands that are programs of their own. There
 * are none, and loading it takes 2.5 ms.
 */
const withoutChildProcess = {
  name: 'without child_process',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:child_process$/ }, ({ importer }) =>
      importer.includes('/commander/') ? { path: 'none', namespace: 'none' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: '' }));
  },
};

build({
  absWorkingDir: root,
  entryPoints: ['dist/cli/main.js'],
  outfile: 'dist/xen-block-stats.js',
  bundle: true,
  platform: 'node',
  target: 'node20',
  external: ['node-gyp-build', './dist/simulator/*'],
  plugins: [withoutChildProcess],
  banner: { js: `/*! Contains commander, under this license:\n\n${license}*/` },
  logLevel: 'warning',
});
