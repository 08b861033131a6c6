#!/usr/bin/env node
'use strict';

// prebuildify runs this in place of node-gyp, with the arguments
// `rebuild --target=... --devdir=... --arch=...`. cmake-js uses only the architecture.
const { spawnSync } = require('node:child_process');

const kept = process.argv.slice(3).filter((argument) => argument.startsWith('--arch='));
const { status } = spawnSync(
  process.execPath,
  [require.resolve('cmake-js/bin/cmake-js'), 'rebuild', ...kept],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
