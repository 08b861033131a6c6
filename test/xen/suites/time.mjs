// An open disk whose device, frontend or domain changes.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { connect, counter, domblkstat, domid, inGuest, sh, thrown, until, virsh } from './rig.mjs';

describe('time', () => {
  let xen;

  before(() => {
    sh(
      'truncate -s 32M /tmp/hot /tmp/other; losetup /dev/loop0 /tmp/hot; losetup /dev/loop1 /tmp/other',
    );
    sh('mkdom t vda=xvda');
    xen = connect();
  });
  after(() => {
    xen.close();
    sh(
      'xl destroy t 2>/dev/null; xl destroy p 2>/dev/null; losetup -d /dev/loop0 /dev/loop1; true',
    );
  });

  const attach = (device) =>
    virsh(`attach-disk t /dev/${device} xvdc --driver phy --sourcetype block --live`);

  test('a handle fails after its disk was detached, and reads the disk after it was attached again', async () => {
    attach('loop0');
    const guest = xen.domain('t');
    await until('the guest has the disk', () => counter(guest.domid, 51744, 'rd_req') === 3);
    const disk = guest.disk('xvdc');
    inGuest('t', 'dd if=/dev/xvdc of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null');
    assert.equal(disk.read().rdReq, 7);
    virsh('detach-disk t xvdc --live');
    assert.equal(
      thrown(() => disk.read()),
      'ERR_XEN_INVALID_DISK: invalid path: xvdc (domain t has xvda)',
    );
    assert.match(
      thrown(() => guest.blockStats('xvdc')),
      /^ERR_XEN_INVALID_DISK/,
    );
    attach('loop0');
    await until('the guest has the disk again', () => disk.read().rdReq === 3);
    assert.deepEqual(guest.blockStats('xvdc'), domblkstat('t', 'xvdc'));
    virsh('detach-disk t xvdc --live');
  });

  test('a handle does not read another disk of the same name', async () => {
    attach('loop0');
    const guest = xen.domain('t');
    const disk = guest.disk('xvdc');
    disk.read();
    virsh('detach-disk t xvdc --live');
    attach('loop1');
    assert.match(
      thrown(() => disk.read()),
      /^ERR_XEN_INVALID_DISK: invalid path: xvdc \(it is another disk/,
    );
    await until('the guest has read the disk', () => guest.blockStats('xvdc').rdReq === 3);
    assert.equal(guest.disk('xvdc').info.source, '/dev/loop1');
    virsh('detach-disk t xvdc --live');
  });

  test('the counters start from 0 after the frontend was unbound', async () => {
    const disk = xen.domain('t').disk('xvda');
    assert.ok(disk.read().rdReq >= 3);
    inGuest('t', 'echo vbd-51712 >/sys/bus/xen/drivers/vbd/unbind');
    await until('the counters are 0', () => disk.read().rdReq === 0);
    inGuest('t', 'echo vbd-51712 >/sys/bus/xen/drivers/vbd/bind');
    assert.equal(disk.read().rdReq, counter(disk.domid, 51712, 'rd_req'));
    assert.deepEqual(xen.domain('t').blockStats('xvda'), domblkstat('t', 'xvda'));
  });

  test('a restarted domain is another domain', async () => {
    const guest = xen.domain('t');
    const disk = guest.disk('xvda');
    virsh('reboot t');
    await until(
      'the old domain has ended',
      () => sh('xl domid t 2>/dev/null || true').trim() !== String(guest.domid),
    );
    await until(
      'the new domain has started',
      () => sh('xl domid t 2>/dev/null || true').trim() !== '',
    );
    assert.match(
      thrown(() => disk.read()),
      /^ERR_XEN_DOMAIN_NOT_RUNNING: domain is not running/,
    );
    sh('domu t');
    const restarted = xen.domain('t');
    assert.equal(restarted.domid, domid('t'));
    assert.notEqual(restarted.domid, guest.domid);
    assert.deepEqual(restarted.blockStats('xvda'), domblkstat('t', 'xvda'));
  });

  test('a destroyed domain is reported as not running', () => {
    const guest = xen.domain('t');
    const disk = guest.disk('xvda');
    disk.read();
    virsh('destroy t');
    const notRunning = /^ERR_XEN_DOMAIN_NOT_RUNNING: domain is not running/;
    assert.match(
      thrown(() => disk.read()),
      notRunning,
    );
    assert.match(
      thrown(() => guest.blockStats('xvda')),
      notRunning,
    );
    assert.match(
      thrown(() => guest.blockStats('')),
      notRunning,
    );
    assert.match(
      thrown(() => xen.domain('t')),
      /^ERR_XEN_NO_DOMAIN/,
    );
  });

  test('a domain that is paused before its frontend connects has no sector size', async () => {
    sh('mkdom --paused p vdb=xvda');
    const guest = xen.domain('p');
    const disk = guest.disk('xvda');
    assert.equal(guest.disks()[0].physicalSectorSize, undefined);
    assert.equal(guest.disks()[0].state, 2);
    assert.deepEqual(guest.blockStats('xvda'), domblkstat('p', 'xvda'));
    assert.equal(disk.read().rdReq, 0);
    virsh('resume p');
    sh('domu p');
    assert.equal(disk.read().rdBytes, 12288);
    assert.equal(guest.blockStats('xvda').rdBytes, 8 * 12288);
    assert.deepEqual(guest.blockStats('xvda'), domblkstat('p', 'xvda'));
  });
});
