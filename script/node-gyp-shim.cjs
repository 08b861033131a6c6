#!/usr/bin/env node
'use strict';

// prebuildify builds with node-gyp; this is what it calls in its place. It asks for
// `rebuild --target=... --devdir=... --arch=...`, of which only the architecture means anything here.
const { spawnSync } = require('node:child_process');

const kept = process.argv.slice(3).filter((argument) => argument.startsWith('--arch='));
const { status } = spawnSync(
  process.execPath,
  [require.resolve('cmake-js/bin/cmake-js'), 'rebuild', ...kept],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
