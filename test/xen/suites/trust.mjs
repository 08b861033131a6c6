// A guest that rewrites its own nodes of its disks: no numbers change.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { connect, inGuest, sh, virsh } from './rig.mjs';

describe('trust', () => {
  let xen;
  let initial;
  const readAll = () =>
    ['evil', 'good'].map((name) => {
      const guest = xen.domain(name);
      return { disks: guest.disks(), stats: guest.blockStats('xvda'), sum: guest.blockStats('') };
    });

  before(() => {
    sh('mkdom evil vdb=xvda');
    sh('mkdom good vdc=xvda');
    xen = connect();
    initial = readAll();
  });
  after(() => {
    xen.close();
    virsh('destroy evil');
    virsh('destroy good');
  });

  const BACKEND_NODE = 'device/vbd/51712/backend';
  const attempts = {
    'writes another guest’s backend': () => {
      const { domid } = xen.domain('good');
      return `xenstore-write ${BACKEND_NODE} /local/domain/0/backend/vbd/${domid}/51712`;
    },
    'writes a directory of its own, with a sector size of its own': () => {
      const own = `/local/domain/${xen.domain('evil').domid}/data/x`;
      return `xenstore-write ${own}/physical-sector-size 1048576 ${BACKEND_NODE} ${own}`;
    },
    'writes a path with ..': () =>
      `xenstore-write ${BACKEND_NODE} /local/domain/0/backend/vbd/1/../2/51712`,
    'writes another number into virtual-device': () =>
      `xenstore-write device/vbd/51712/virtual-device 51728`,
    'removes the path of the backend': () => `xenstore-rm ${BACKEND_NODE}`,
    'removes virtual-device': () => `xenstore-rm device/vbd/51712/virtual-device`,
  };
  for (const [what, command] of Object.entries(attempts)) {
    test(`no numbers change when a guest ${what}`, () => {
      inGuest('evil', command());
      assert.deepEqual(readAll(), initial);
      const fresh = connect();
      assert.deepEqual(fresh.domain('evil').blockStats('xvda'), initial[0].stats);
      fresh.close();
    });
  }
});
