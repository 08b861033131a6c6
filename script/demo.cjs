'use strict';

// Samples the disks of a simulated host while its guests do I/O.
const { connect } = require('..');
const { SimulatedHost } = require('../dist/simulator');

const SAMPLES = 5;
const INTERVAL_MS = 300;

async function main() {
  const host = await SimulatedHost.start({
    guests: [
      { name: 'web1', disks: [{ name: 'xvda', source: '/dev/vg/web1-root' }] },
      { name: 'db', disks: [{ name: 'xvda', source: '/dev/vg/db-root' }] },
    ],
  });
  const xen = connect(host.connectOptions);
  const disks = xen
    .domains()
    .flatMap((domain) =>
      domain.disks().map(({ name }) => ({ domain: domain.name, disk: domain.disk(name) })),
    );
  await host.startWorkload({ intervalMs: 50 });
  for (let sample = 0; sample < SAMPLES; sample++) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    for (const { domain, disk } of disks) {
      const { rdReq, rdBytes, wrReq, wrBytes } = disk.read();
      console.log(
        `${domain.padEnd(5)} ${disk.name}  ${rdReq} reads, ${rdBytes} bytes; ${wrReq} writes, ${wrBytes} bytes`,
      );
    }
  }
  xen.close();
  await host.stop();
}

main();
