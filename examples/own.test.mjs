// Tests a small program on a simulated host, without Xen.
//
//     node --test own.test.mjs

import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';

/** The program under test: finds the disks that are written to faster than a limit. */
class WriteAlarm {
  #set;
  #limit;

  constructor(set, kilobytesPerSecond) {
    this.#set = set.sample();
    this.#limit = kilobytesPerSecond;
  }

  /** Returns the disks that exceeded the limit since the last check. */
  check() {
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

test('finds the disks that are written to too fast', async () => {
  const alarm = new WriteAlarm(await xen.diskSet(), 1024);
  await host.io(2, 'xvda', { writeBytes: 2 ** 40 });
  await host.io(1, 'xvda', { readBytes: 2 ** 40 });
  assert.deepEqual(alarm.check(), ['db xvda']);
  assert.deepEqual(alarm.check(), []);
});

test('finds nothing when a guest’s driver reconnects', async () => {
  await host.io(2, 'xvda', { writeBytes: 2 ** 40 });
  const alarm = new WriteAlarm(await xen.diskSet(), 1024);
  await host.disconnectFrontend(2, 'xvda');
  await host.connectFrontend(2, 'xvda');
  assert.deepEqual(alarm.check(), []);
});
