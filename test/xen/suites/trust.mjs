// A guest that writes what it likes about its disks: nobody's numbers change.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { connect, inGuest, sh, virsh } from './rig.mjs';

describe('trust', () => {
  let xen;
  let before_;
  const everything = () =>
    ['evil', 'good'].map((name) => {
      const guest = xen.domain(name);
      return { disks: guest.disks(), stats: guest.blockStats('xvda'), sum: guest.blockStats('') };
    });

  before(() => {
    sh('mkdom evil vdb=xvda');
    sh('mkdom good vdc=xvda');
    xen = connect();
    before_ = everything();
  });
  after(() => {
    xen.close();
    virsh('destroy evil');
    virsh('destroy good');
  });

  const LINK = 'device/vbd/51712/backend';
  const attempts = {
    'another guest’s backend': () => {
      const { domid } = xen.domain('good');
      return `xenstore-write ${LINK} /local/domain/0/backend/vbd/${domid}/51712`;
    },
    'a folder of its own, with a sector size of its own': () => {
      const own = `/local/domain/${xen.domain('evil').domid}/data/x`;
      return `xenstore-write ${own}/physical-sector-size 1048576 ${LINK} ${own}`;
    },
    'a path with ..': () => `xenstore-write ${LINK} /local/domain/0/backend/vbd/1/../2/51712`,
    'a virtual device of another number': () =>
      `xenstore-write device/vbd/51712/virtual-device 51728`,
    nothing: () => `xenstore-rm ${LINK}`,
    'no frontend at all': () => `xenstore-rm device/vbd/51712/virtual-device`,
  };
  for (const [what, command] of Object.entries(attempts)) {
    test(`its link to the backend is ${what}`, () => {
      inGuest('evil', command());
      assert.deepEqual(everything(), before_);
      const fresh = connect();
      assert.deepEqual(fresh.domain('evil').blockStats('xvda'), before_[0].stats);
      fresh.close();
    });
  }
});
