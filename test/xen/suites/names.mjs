// Compares the devids of disk names with those that Xen assigns, for every spelling that xl accepts.
// bytes.mjs has those that libvirt accepts.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { connect, domid, failure, parseDiskName, sh } from './rig.mjs';

const NAMES = [
  'xvda',
  'xvdp15',
  'xvdq',
  'xvdaa',
  'sda',
  'sdc2',
  'hda',
  'hdd',
  'd5p1',
  'd16p3',
  '51728',
  '0xca30',
];
const REFUSED = ['hde', 'sdq', 'sda16', 'vda', 'xvdA', 'xvda0', 'd1048576p0'];

describe('names', () => {
  let xen;
  let guest;

  before(() => {
    NAMES.forEach((name, i) => {
      sh(`truncate -s 4M /tmp/name${i}; losetup /dev/loop${i} /tmp/name${i}`);
      // one after the other, because all hotplug scripts at once would exceed the timeout of xl
      if (i === 0) sh(`mkdom --xl --paused n loop0=${name}`);
      else sh(`xl block-attach n vdev=${name},format=raw,target=/dev/loop${i}`);
    });
    xen = connect();
    guest = xen.domain('n');
  });
  after(() => {
    xen.close();
    sh('xl destroy n');
    NAMES.forEach((_, i) => sh(`losetup -d /dev/loop${i}`));
  });

  test('the devids are those that Xen assigned', () => {
    const assigned = sh('xl block-list n')
      .split('\n')
      .slice(1)
      .map((line) => Number.parseInt(line, 10))
      .filter((devid) => !Number.isNaN(devid));
    assert.deepEqual(
      NAMES.map(parseDiskName).sort((a, b) => a - b),
      assigned.sort((a, b) => a - b),
    );
    assert.deepEqual(
      guest.disks().map(({ devid }) => devid),
      assigned,
    );
  });

  NAMES.forEach((name, i) => {
    test(`${name} is found by its name, its number and its source`, () => {
      const devid = parseDiskName(name);
      for (const path of [name, String(devid), `0x${devid.toString(16)}`, `/dev/loop${i}`]) {
        assert.equal(guest.disk(path).devid, devid, path);
        assert.equal(guest.blockStats(path).rdReq, 0, path);
      }
      assert.equal(guest.disk(name).info.source, `/dev/loop${i}`);
      assert.equal(
        guest.disk(name).info.backend,
        `/local/domain/0/backend/vbd/${domid('n')}/${devid}`,
      );
    });
  });

  for (const name of REFUSED) {
    test(`${name} is refused by xl and by parseDiskName`, () => {
      assert.match(
        failure(`xl block-attach n format=raw,vdev=${name},target=/dev/vda`),
        /Invalid parameter|Unable to|failed|bad|unable/i,
      );
      assert.throws(() => parseDiskName(name), { code: 'ERR_XEN_INVALID_DISK' });
    });
  }
});
