// Errors have the messages of libvirt.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { BIN, connect, domblkstat, rejected, sh, thrown, virsh, virshFailure } from './rig.mjs';

describe('errors', () => {
  let xen;
  let guest;

  before(() => {
    sh('truncate -s 32M /tmp/q /tmp/q2');
    sh('mkdom w vda=xvda /tmp/q=xvdb,qdisk =hdc,cdrom vdb=xvde,ro vdb=xvdf,ro');
    sh('mkdom --define off vdb=xvda');
    xen = connect();
    guest = xen.domain('w');
  });
  after(() => {
    xen.close();
    virsh('destroy w');
    virsh('undefine off');
  });

  /** Returns the message of libvirt, such as `invalid path: xvdz`, without its prefix. */
  const libvirtMessage = (args) =>
    virshFailure(args)
      .split('\n')
      .at(-1)
      .replace(/^error: ([A-Z][^:]*: )?/, '');

  test('an unknown disk', () => {
    const message = libvirtMessage('domblkstat w xvdz');
    assert.equal(message, 'invalid path: xvdz');
    assert.equal(
      thrown(() => guest.blockStats('xvdz')),
      `ERR_XEN_INVALID_DISK: ${message} (domain w has hdc, xvda, xvdb, xvde, xvdf)`,
    );
  });

  test('an unknown source', () => {
    const message = libvirtMessage('domblkstat w /dev/nosuch');
    assert.ok(thrown(() => guest.blockStats('/dev/nosuch')).includes(message));
  });

  test('a source that two disks share', () => {
    const message = libvirtMessage('domblkstat w /dev/vdb');
    assert.equal(message, 'invalid path: /dev/vdb');
    assert.equal(
      thrown(() => guest.blockStats('/dev/vdb')),
      `ERR_XEN_INVALID_DISK: ${message} (it is the source of xvde, xvdf of domain w)`,
    );
  });

  test('a domain that is shut off, which only libvirt lists', () => {
    assert.equal(libvirtMessage('domblkstat off xvda'), 'domain is not running');
    assert.match(
      thrown(() => xen.domain('off')),
      /^ERR_XEN_NO_DOMAIN: .*'off'/,
    );
  });

  test('an unknown domain', () => {
    assert.match(virshFailure('domblkstat nosuch xvda'), /failed to get domain 'nosuch'/);
    assert.match(
      thrown(() => xen.domain('nosuch')),
      /^ERR_XEN_NO_DOMAIN: no domain with matching name 'nosuch'/,
    );
  });

  test('Domain-0, which has no disks', () => {
    assert.equal(
      thrown(() => xen.domain('Domain-0').blockStats('xvda')),
      `ERR_XEN_INVALID_DISK: ${libvirtMessage('domblkstat Domain-0 xvda')} (domain Domain-0 has no disks)`,
    );
  });

  test('the sum over the disks of Domain-0, which has none, equals that of virsh', () => {
    const printed = sh(`${BIN} stat Domain-0`);
    assert.equal(printed, virsh('domblkstat Domain-0').replace(/\n+$/, '\n'));
    assert.equal(xen.domain(0).blockStats('').errs, -1);
  });

  test('a disk that QEMU serves', async () => {
    const message = libvirtMessage('domblkstat w xvdb');
    assert.equal(message, 'unsupported disk driver qemu');
    assert.ok(
      thrown(() => guest.blockStats('xvdb')).startsWith(`ERR_XEN_UNSUPPORTED_DRIVER: ${message}`),
    );
    assert.equal((await guest.disk('xvdb').readAsync()).rdBytes, 12288);
  });

  /** Returns whether virsh refuses a disk. An empty drive is a qdisk on Xen 4.17, and a loop device on 4.20. */
  const isRefused = (disk) => {
    try {
      domblkstat('w', disk);
      return false;
    } catch {
      return true;
    }
  };

  test('an empty CD-ROM drive is listed, and fails if it fails in virsh', async () => {
    const drive = guest.disks().find(({ name }) => name === 'hdc');
    assert.equal(drive.deviceType, 'cdrom');
    if (isRefused('hdc')) {
      assert.equal(drive.source, undefined);
      assert.match(
        thrown(() => guest.blockStats('hdc')),
        /^ERR_XEN_(UNSUPPORTED_DRIVER|STATS_UNAVAILABLE): /,
      );
      assert.match(
        await rejected(guest.disk('hdc').readAsync()),
        /^ERR_XEN_STATS_UNAVAILABLE: QEMU of domain \d+ does not have disk hdc: .*the drive is empty/,
      );
    } else {
      assert.deepEqual(guest.blockStats('hdc'), domblkstat('w', 'hdc'));
    }
  });

  test('the sum over such disks fails, and skips them with { partial: true }', () => {
    assert.ok(virshFailure('domblkstat w').length > 0);
    assert.throws(() => guest.blockStats(''));
    const { skipped, ...stats } = guest.blockStats('', { partial: true });
    const names = ['hdc', 'xvda', 'xvdb', 'xvde', 'xvdf'];
    assert.deepEqual(skipped.map(({ disk }) => disk).sort(), names.filter(isRefused));
    const disks = names.filter((name) => !isRefused(name)).map((name) => domblkstat('w', name));
    assert.deepEqual(
      stats,
      disks.reduce((sum, disk) =>
        Object.fromEntries(Object.entries(sum).map(([key, value]) => [key, value + disk[key]])),
      ),
    );
  });
});
