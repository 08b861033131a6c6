// An unprivileged user in dom0, and several versions of Node.js.
import { strict as assert } from 'node:assert';
import { readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { PROJECT, domid, sh, virsh } from './rig.mjs';

describe('rights and versions', () => {
  before(() => sh('mkdom r vda=xvda'));
  after(() => virsh('destroy r'));

  test('the user nobody can read the kernel’s counters, and cannot connect to xenstored', () => {
    const asNobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
    const directory = `/sys/bus/xen-backend/devices/vbd-${domid('r')}-51712/statistics`;
    assert.equal(sh(`${asNobody} cat ${directory}/rd_req`), '3\n');
    const program = `try { require('xen-block-stats').connect() } catch ({ code, message }) { console.log(code, message) }`;
    assert.equal(
      sh(`cd ${PROJECT} && ${asNobody} node -e "${program}"`),
      'ERR_XENSTORE_CONNECT cannot connect to xenstored at /var/run/xenstored/socket: EACCES (only root may connect)\n',
    );
  });

  for (const version of readdirSync('/share/nodes')) {
    test(`one binary works on Node.js ${version}`, () => {
      const program = `
        const xen = require('xen-block-stats').connect();
        const disk = xen.domain('r').disk('xvda');
        console.log(process.versions.node.split('.')[0], disk.read().rdReq, disk.read({ bigint: true }).rdBytes, xen.domain('r').blockStats('xvda').rdBytes);
        xen.close();`;
      assert.equal(
        sh(`cd ${PROJECT} && /share/nodes/${version}/bin/node -e "${program}"`),
        `${version} 3 12288n 12288\n`,
      );
    });
  }
});
