// The C xenstored, which can be stopped: open disks are read without it.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect, counter, inGuest, sh, thrown } from './rig.mjs';

describe('the C xenstored', () => {
  let xen;
  const pid = () => Number(readFileSync('/run/xenstored.pid', 'utf8'));

  before(() => {
    sh('mkdom --xl c vda=xvda vdb=xvdb');
    xen = connect({ timeoutMs: 500 });
  });
  after(() => {
    xen.close();
    sh('xl destroy c');
  });

  test('lists the disks', () => {
    assert.deepEqual(
      xen
        .domain('c')
        .disks()
        .map(({ name, physicalSectorSize }) => [name, physicalSectorSize]),
      [
        ['xvda', 512],
        ['xvdb', 4096],
      ],
    );
    assert.equal(xen.domain('c').blockStats('xvdb').rdBytes, 8 * 12288);
  });

  test('while it is stopped, open disks are read and requests time out; afterwards requests succeed', async () => {
    const guest = xen.domain('c');
    const disk = guest.disk('xvda');
    guest.blockStats('xvdb');
    process.kill(pid(), 'SIGSTOP');
    try {
      const start = performance.now();
      assert.equal(
        thrown(() => guest.disks()),
        'ERR_XENSTORE_TIMEOUT: xenstored did not respond within 500 ms',
      );
      assert.ok(performance.now() - start < 1500);
      assert.equal(disk.read().rdReq, counter(guest.domid, 51712, 'rd_req'));
      assert.equal(guest.blockStats('xvdb').rdReq, 3);
    } finally {
      process.kill(pid(), 'SIGCONT');
    }
    inGuest('c', 'dd if=/dev/xvda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null');
    assert.equal(disk.read().rdReq, 7);
    assert.equal(xen.domain('c').disks().length, 2);
  });
});
