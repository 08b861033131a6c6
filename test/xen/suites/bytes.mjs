// Compares the numbers of the package with known amounts of I/O, with virsh and with xentop, for every
// kind of sector.
import { strict as assert } from 'node:assert';
import { after, before, describe, test } from 'node:test';
import { BIN, connect, domblkstat, domid, inGuest, sh, virsh } from './rig.mjs';

const DISKS = [
  { device: 'vda', name: 'xvda', inside: 'xvda', physical: 512 },
  { device: 'vdb', name: 'xvdb1', inside: 'xvdb1', physical: 4096 },
  { device: 'vdc', name: 'sdc', inside: 'xvdc', physical: 4096 },
  { device: 'loop0', name: 'hdd', inside: 'xvdd', physical: 512 },
  { device: 'loop1', name: 'xvdaa', inside: 'xvdaa', physical: 4096 },
];
const MIB = 2 ** 20;

describe('bytes', () => {
  let xen;
  let guest;

  before(() => {
    sh('truncate -s 64M /tmp/loop0 /tmp/loop1; losetup /dev/loop0 /tmp/loop0');
    sh('losetup -b 4096 /dev/loop1 /tmp/loop1');
    sh(`mkdom a ${DISKS.map(({ device, name }) => `${device}=${name}`).join(' ')}`);
    xen = connect();
    guest = xen.domain('a');
  });
  after(() => {
    xen.close();
    virsh('destroy a');
    sh('losetup -d /dev/loop0 /dev/loop1');
  });

  for (const { name, inside, physical } of DISKS) {
    test(`${name}, with physical sectors of ${physical}: the counters grow by the I/O`, () => {
      const disk = guest.disk(name);
      assert.equal(disk.info.physicalSectorSize, physical);
      const first = disk.read();
      inGuest(
        'a',
        `set -e; exec 2>/dev/null
         dd if=/dev/zero of=/dev/${inside} bs=64k count=128 oflag=direct
         dd if=/dev/${inside} of=/dev/null bs=64k count=64 iflag=direct
         dd if=/dev/zero of=/dev/${inside} bs=4k count=1 conv=fsync,notrunc
         blkdiscard -o 0 -l ${MIB} /dev/${inside}`,
      );
      const last = disk.read();
      const growth = Object.fromEntries(
        Object.entries(last).map(([key, value]) => [key, value - first[key]]),
      );
      assert.deepEqual(growth, {
        rdReq: 64,
        rdSectors: (4 * MIB) / 512,
        rdBytes: 4 * MIB,
        wrReq: 129,
        wrSectors: (8 * MIB + 4096) / 512,
        wrBytes: 8 * MIB + 4096,
        flushReq: 1,
        discardReq: 1,
        ooReq: 0,
        rdTimeNs: 0,
        wrTimeNs: 0,
        ioErrors: 0,
      });
      assert.deepEqual([last.rdTimeNs, last.wrTimeNs, last.ioErrors], [-1, -1, -1]);
      assert.equal(guest.blockStats(name, { sectorSize: 512 }).wrBytes, last.wrBytes);
    });

    test(`${name}: blockStats equals virsh domblkstat`, () => {
      assert.deepEqual(guest.blockStats(name), domblkstat('a', name));
      assert.equal(guest.blockStats(name).wrBytes, guest.disk(name).read().wrSectors * physical);
    });

    test(`${name}: stat prints the lines of virsh domblkstat`, () => {
      assert.equal(sh(`${BIN} stat a ${name} 2>/dev/null`), trimmed(`domblkstat a ${name}`));
      assert.equal(
        sh(`${BIN} stat a ${name} --human 2>/dev/null`),
        trimmed(`domblkstat --human a ${name}`),
      );
    });
  }

  test('the sum over all disks equals that of virsh, and the sum of the disks', () => {
    assert.deepEqual(guest.blockStats(''), domblkstat('a'));
    const disks = DISKS.map(({ name }) => guest.blockStats(name));
    assert.equal(
      guest.blockStats('').wrBytes,
      disks.reduce((sum, { wrBytes }) => sum + wrBytes, 0),
    );
    assert.equal(sh(`${BIN} stat a 2>/dev/null`), trimmed('domblkstat a'));
  });

  test('xentop shows the same requests and sectors', () => {
    const lines = sh('xentop -b -i1 -x').matchAll(
      /VBD BlkBack\s+(\d+) .*?RD:\s*(\d+)\s+WR:\s*(\d+)\s+RSECT:\s*(\d+)\s+WSECT:\s*(\d+)/g,
    );
    const xentop = new Map([...lines].map(([, devid, ...values]) => [+devid, values.map(Number)]));
    for (const { name } of DISKS) {
      const { devid } = guest.disk(name);
      const { rdReq, wrReq, rdSectors, wrSectors } = guest.disk(name).read();
      assert.deepEqual(xentop.get(devid), [rdReq, wrReq, rdSectors, wrSectors], name);
    }
    assert.equal(xentop.size, DISKS.length);
  });

  test('list describes the disks', () => {
    const [{ domid: number, disks }] = JSON.parse(sh(`${BIN} list a --json`));
    assert.equal(number, domid('a'));
    assert.deepEqual(
      disks.map(({ disk, source, state }) => `${disk} ${source} ${state}`).sort(),
      DISKS.map(({ name, device }) => `${name} /dev/${device} 4`).sort(),
    );
  });
});

/** Returns the output of virsh without its last, empty line. */
function trimmed(args) {
  return virsh(args).replace(/\n+$/, '\n');
}
