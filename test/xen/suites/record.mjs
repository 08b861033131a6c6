// Records a guest's burst of known size, in the kernel's own counters.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { BIN, connect, inGuest, peaks, sh, virsh } from './rig.mjs';

const MIB = 2 ** 20;

describe('record', () => {
  let xen;
  let set;

  before(async () => {
    sh('mkdom a vda=xvda vdb=xvdb');
    xen = connect();
    set = await xen.diskSet();
  });
  after(() => {
    xen.close();
    virsh('destroy a');
  });

  test('a burst of known size is found to the byte', () => {
    const recorder = set.record({ intervalMs: 1, capacity: 120_000 });
    // blocks the event loop until the guest is done
    inGuest('a', 'dd if=/dev/zero of=/dev/xvda bs=64k count=128 oflag=direct 2>/dev/null');
    sh('sleep 0.1');
    recorder.stop();
    const [samples, ...more] = recorder.take();
    assert.deepEqual(more, []);
    const { disks, columns, timestamps, values } = samples;
    const row = disks.findIndex(({ name }) => name === 'xvda');
    const at = (sample, name) =>
      values[(sample * disks.length + row) * columns.length + columns.indexOf(name)];
    const last = timestamps.length - 1;
    assert.equal(at(last, 'wrBytes') - at(0, 'wrBytes'), 8 * MIB);
    assert.equal(at(last, 'wrReq') - at(0, 'wrReq'), 128);
    assert.equal(recorder.overwritten, 0);
    for (let i = 1; i <= last; i++) {
      assert.ok(timestamps[i] > timestamps[i - 1]);
      assert.ok(at(i, 'wrBytes') >= at(i - 1, 'wrBytes'));
    }
    // the burst takes a part of the recorded time: its peak is above the mean
    const burst = peaks(samples, { windowMs: 10 })[row].peaks.wrBytes;
    const seconds = Number(timestamps[last] - timestamps[0]) / 1e9;
    assert.ok(burst.perSecond > (8 * MIB) / seconds);
    console.log(
      `${timestamps.length} samples in ${seconds.toFixed(2)} s, ${recorder.missed} missed; peak ${(burst.perSecond / MIB).toFixed(1)} MiB/s, mean ${(8 / seconds).toFixed(1)} MiB/s`,
    );
  });

  test('the other disk stands still meanwhile', () => {
    const recorder = set.record({ intervalMs: 1, capacity: 120_000 });
    inGuest('a', 'dd if=/dev/zero of=/dev/xvda bs=64k count=16 oflag=direct 2>/dev/null');
    recorder.stop();
    for (const { disks, columns, values } of recorder.take()) {
      const row = disks.findIndex(({ name }) => name === 'xvdb');
      const all = values.filter(
        (_, i) => i % (disks.length * columns.length) === row * columns.length + 3,
      );
      assert.equal(new Set(all).size, 1);
    }
  });

  test('the command records both disks', () => {
    const lines = sh(`${BIN} record a --duration 200ms --csv 2>/dev/null`).trim().split('\n');
    assert.match(lines[0], /^timestamp,domid,domain,disk,rdReq,/);
    assert.match(lines[1], /,a,xvda,/);
    assert.match(lines[2], /,a,xvdb,/);
  });
});
