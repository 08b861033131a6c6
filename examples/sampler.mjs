// Writes a line of JSON for every disk and sample: its counters and its rates since the last sample.
//
//     node sampler.mjs [seconds between samples] [how many samples]

import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';

const [seconds = '1', count = 'Infinity'] = process.argv.slice(2);

const xen = connect();
const set = await xen.diskSet();

// logs disks that are added and removed between samples on stderr
set.on('add', (disk) => console.error(`${disk.domain} has ${disk.name}`));
set.on('remove', (disk) => console.error(`${disk.domain} has ${disk.name} no more`));

set.sample();
for (let samples = 0; samples < Number(count); samples++) {
  await delay(Number(seconds) * 1000);
  const time = new Date().toISOString();
  const rates = set.sample().rates();
  for (const [i, { disk, stats, error }] of [...set].entries()) {
    const { domid, domain, uuid, name } = disk;
    const line = { time, domid, domain, uuid, disk: name, error: error?.code, ...stats };
    // undefined: the disk was not in the previous sample
    process.stdout.write(`${JSON.stringify({ ...line, rates: rates[i] })}\n`);
  }
}
xen.close();
