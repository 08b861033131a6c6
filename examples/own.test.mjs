// A test of a program of one's own, where there is no Xen.
//
//     node --test own.test.mjs

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';

/** The program: the disks that were written to more than so much since the last look. */
class WriteAlarm {
  #set;
  #limit;

  constructor(xen, kilobytesPerSecond) {
    this.#set = xen.diskSet().sample();
    this.#limit = kilobytesPerSecond;
  }

  look() {
    const rates = this.#set.sample().rates();
    return this.#set.disks
      .filter((_, i) => rates[i]?.wkBPerSec > this.#limit)
      .map(({ domain, name }) => `${domain} ${name}`);
  }
}

let host;
let xen;

beforeEach(async () => {
  host = await SimulatedHost.start({
    guests: [
      { name: 'web1', disks: [{ name: 'xvda', source: '/dev/vg/web1-root' }] },
      { name: 'db', disks: [{ name: 'xvda', source: '/dev/vg/db-root' }] },
    ],
  });
  xen = connect(host.connectOptions);
});

afterEach(async () => {
  xen.close();
  await host.stop();
});

test('names the disks that are written to too much', async () => {
  const alarm = new WriteAlarm(xen, 1024);
  await host.io(2, 'xvda', { writeBytes: 2 ** 40 });
  await host.io(1, 'xvda', { readBytes: 2 ** 40 });
  assert.deepEqual(alarm.look(), ['db xvda']);
  assert.deepEqual(alarm.look(), []);
});

test('is not alarmed when a guest’s driver starts again', async () => {
  await host.io(2, 'xvda', { writeBytes: 2 ** 40 });
  const alarm = new WriteAlarm(xen, 1024);
  await host.disconnectFrontend(2, 'xvda');
  await host.connectFrontend(2, 'xvda');
  assert.deepEqual(alarm.look(), []);
});
