// Sets of disks, `top` and the exporter, while a guest starts, does I/O and stops.
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { BIN, connect, counter, domid, inGuest, sh, until, virsh } from './rig.mjs';

const XVDC = 51744;

describe('live', () => {
  let xen;
  let set;
  const events = [];

  before(async () => {
    sh('truncate -s 32M /tmp/live; losetup /dev/loop0 /tmp/live');
    xen = connect();
    set = await xen.diskSet();
    set.on('add', ({ domain, name }) => events.push(`+${domain}/${name}`));
    set.on('remove', ({ domain, name }) => events.push(`-${domain}/${name}`));
  });
  after(() => {
    xen.close();
    sh('xl destroy l 2>/dev/null; losetup -d /dev/loop0; true');
  });

  /** Returns the row of a disk of the guest in a set. */
  const row = (name, from = set) =>
    [...from].find(({ disk }) => disk.domain === 'l' && disk.name === name);
  /** Makes read requests of 64 KiB: a small buffer of dd is not suitable for direct reads. */
  const read = (device, count) =>
    inGuest(
      'l',
      `dd if=/dev/${device} of=/dev/null bs=64k count=${count} iflag=direct 2>/dev/null`,
    );

  test('a set adds the disks of a guest that starts', async () => {
    sh('mkdom l vda=xvda vdb=xvdb,ro');
    await until('the set has its disks', () => events.length === 2);
    assert.deepEqual(events.splice(0), ['+l/xvda', '+l/xvdb']);
    assert.equal(set.disks.filter(({ domain }) => domain === 'l').length, 2);
    assert.equal(set.disks[0].domid, domid('l'));
  });

  test('its rows have the kernel’s counters, in true bytes', () => {
    set.sample();
    const before = row('xvdb').stats;
    read('xvdb', 4);
    set.sample();
    const { stats } = row('xvdb');
    assert.equal(stats.rdReq, counter(domid('l'), 51728, 'rd_req'));
    assert.equal(stats.rdBytes - before.rdBytes, 256 * 1024);
  });

  test('rates are the I/O divided by the time', () => {
    const index = set.disks.findIndex(({ domain, name }) => domain === 'l' && name === 'xvda');
    const start = set.sample().timestamp;
    read('xvda', 20);
    const rates = set.sample().rates()[index];
    const seconds = Number(set.timestamp - start) / 1e9;
    assert.equal(Math.round(rates.rPerSec * seconds), 20);
    assert.equal(Math.round(rates.rkBPerSec * seconds), 20 * 64);
    assert.equal(rates.rareqSz, 64);
    assert.equal(rates.reset, false);
  });

  test('a connection through the kernel’s xenbus device gives the same as one through xenstored’s socket', async () => {
    const other = connect({ xenstore: '/dev/xen/xenbus' });
    try {
      assert.deepEqual(other.domain('l').disks(), xen.domain('l').disks());
      const otherSet = await other.diskSet();
      const hasDisk = () => otherSet.disks.some(({ devid }) => devid === XVDC);
      virsh('attach-disk l /dev/loop0 xvdc --driver phy --sourcetype block --live');
      await until('both have the disk', () => hasDisk() && row('xvdc') !== undefined);
      // the guest's kernel reads the disk
      await until('both have the same counters', () => {
        const [stats, others] = [set, otherSet].map((it) => row('xvdc', it.sample())?.stats);
        return stats?.rdReq > 0 && isDeepStrictEqual(stats, others);
      });
      virsh('detach-disk l xvdc --live');
      await until('neither has the disk', () => !hasDisk() && row('xvdc') === undefined);
    } finally {
      other.close();
    }
    assert.deepEqual(events.splice(0), ['+l/xvdc', '-l/xvdc']);
  });

  test('top prints the rates of a guest', async () => {
    const top = spawn(BIN, ['top', '--batch', '--count', '1', '--interval', '15']);
    const ended = once(top, 'close');
    let printed = '';
    top.stdout.on('data', (data) => (printed += data));
    // the rates count from the first sample
    await until('top has opened the counters', () => openFiles(top.pid).includes('/rd_req'));
    read('xvda', 90);
    assert.deepEqual(await ended, [0, null]);
    const cells = printed
      .split('\n')
      .find((line) => /^l +xvda /.test(line))
      .split(/ +/);
    const [, , reads, , kilobytes] = cells;
    assert.ok(Math.abs(Number(reads) * 15 - 90) < 9, printed);
    assert.ok(Math.abs(Number(kilobytes) * 15 - 90 * 64) < 9 * 64, printed);
  });

  test('the exporter serves the kernel’s counters until the guest stops', async () => {
    const exporter = spawn(BIN, ['serve', '--listen', '127.0.0.1:0']);
    try {
      const [line] = await once(exporter.stdout, 'data');
      const [, url] = /^listening on (\S+)/.exec(String(line));
      const scrape = async () => (await fetch(`${url}/metrics`)).text();
      const text = await scrape();
      const value = /^xen_block_read_requests_total\{domain="l",.*disk="xvda".*\} (\d+)$/m.exec(
        text,
      );
      assert.equal(Number(value?.[1]), counter(domid('l'), 51712, 'rd_req'));
      virsh('destroy l');
      await until('the set has no disk of the guest', () => row('xvda') === undefined);
      const end = performance.now() + 60_000;
      while ((await scrape()).includes('domain="l"')) assert.ok(performance.now() < end);
      assert.match(await scrape(), /^xen_block_watching 1$/m);
    } finally {
      exporter.kill();
      await once(exporter, 'close');
    }
    assert.deepEqual(events.splice(0).sort(), ['-l/xvda', '-l/xvdb']);
  });
});

/** Lists the open files of a process. */
const openFiles = (pid) => sh(`ls -l /proc/${pid}/fd 2>/dev/null || true`);
