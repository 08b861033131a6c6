#!/usr/bin/env node
// try-tarball.mjs TARBALL: installs a packed package into an empty project, as users do, and uses it on a simulated
// host. Needs Node.js, npm and libxenstore, and so runs on every platform that has a binary.
import { deepEqual, match } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const PROGRAM = `
  import { connect } from 'xen-block-stats';
  import { SimulatedHost } from 'xen-block-stats/simulator';
  const disks = [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 42 } }];
  const host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
  const xen = connect(host.connectOptions);
  const set = await xen.diskSet();
  console.log(xen.domain('web1').blockStats('xvda').rdReq, set.disks.length);
  xen.close();
  await host.stop();
`;

const project = mkdtempSync(join(tmpdir(), 'xen-tarball-'));
const run = (command, ...args) => execFileSync(command, args, { cwd: project, encoding: 'utf8' });
try {
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent'];
  writeFileSync(join(project, 'package.json'), '{ "private": true }');
  run('npm', 'install', ...options, resolve(process.argv[2]));
  writeFileSync(join(project, 'program.mjs'), PROGRAM);
  deepEqual(run(process.execPath, 'program.mjs'), '42 1\n');
  const command = join(project, 'node_modules/.bin/xen-block-stats');
  match(run(command, 'stat', 'web1', 'xvda', '--demo'), /xvda rd_req 1204\n/);
} finally {
  rmSync(project, { recursive: true });
}
const { version, platform, arch } = process;
console.log(`works on ${platform}-${arch} with Node.js ${version}`);
