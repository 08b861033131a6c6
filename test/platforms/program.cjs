'use strict';

// Reads a disk of a simulated host by itself, in a set and by a recorder, and prints what each of them read.
const { connect } = require('xen-block-stats');
const { SimulatedHost } = require('xen-block-stats/simulator');

async function main() {
  const guests = [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] }];
  const host = await SimulatedHost.start({ guests });
  const xen = connect(host.connectOptions);
  const set = await xen.diskSet();
  await host.io(1, 'xvda', { readBytes: 8192 });
  const recorder = set.record({ intervalMs: 5, capacity: 10_000 });
  const disk = xen.domain('web1').disk('xvda').read().rdBytes;
  const column = set.columns.indexOf('rdBytes');
  const sampled = set.sample().values[column];
  await new Promise((resolve) => setTimeout(resolve, 500));
  const runs = recorder.take();
  const recorded = runs.at(-1)?.values[column];
  console.log(JSON.stringify({ disk, sampled, recorded }));
  xen.close();
  await host.stop();
}

main();
