// Disks of QEMU and blkback's backing devices, with known I/O of a guest; calls that make no requests while
// nothing changes.
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, domid, inGuest, rejected, sh, start, thrown, until } from './rig.mjs';

const MIB = 2 ** 20;
const KINDS = ['vbd', 'vbd3', 'qdisk'];

describe('backends', () => {
  /** The guest's disks of QEMU. `inside` is the guest's name. The image of hdd has no space beyond 1 MiB. */
  const QDISKS = [
    { name: 'xvda', inside: 'xvda', format: 'qcow2', source: '/tmp/q.qcow2' },
    { name: 'd1p2', inside: 'xvdb2', format: 'raw', source: '/tmp/q.raw' },
    { name: 'hdd', inside: 'xvdd', format: 'raw', source: '/tmp/full/q.raw' },
  ];
  /** The disks that have statistics, in the order of their devids. */
  const NAMES = ['hdd', 'xvda', 'd1p2', 'xvdc'];
  let xen;
  let guest;
  let qemuPid;

  before(() => {
    sh('cp /share/empty.qcow2 /tmp/q.qcow2; truncate -s 64M /tmp/q.raw /tmp/hot.raw');
    sh('mkdir /tmp/full; mount -t tmpfs -o size=1m none /tmp/full; truncate -s 4M /tmp/full/q.raw');
    const qdisks = QDISKS.map(({ name, format, source }) => `${source}=${name},qdisk,${format}`);
    sh(`mkdom --xl q ${qdisks.join(' ')} vda=xvdc`);
    xen = connect();
    guest = xen.domain('q');
    qemuPid = Number(sh(`xenstore-read /local/domain/${guest.domid}/image/device-model-pid`));
  });
  after(() => {
    xen.close();
    sh('xl destroy q 2>/dev/null; umount /tmp/full; true');
  });

  /** Returns the growth of a disk's counters during commands in the guest. */
  async function growth(disk, commands) {
    const first = await disk.readAsync();
    inGuest('q', `exec 2>/dev/null; ${commands}`);
    const last = await disk.readAsync();
    return {
      last,
      ...Object.fromEntries(Object.keys(last).map((key) => [key, last[key] - first[key]])),
    };
  }

  /** The commands of the table, and the requests and bytes of each. blkback's requests are twice as large. */
  const TABLE = [
    {
      what: '8 MiB written',
      command: (device) => `dd if=/dev/zero of=${device} bs=64k count=128 oflag=direct`,
      qdisk: { wrReq: 256, wrBytes: 8 * MIB },
      vbd: { wrReq: 128, wrBytes: 8 * MIB },
    },
    {
      what: '37 x 4 KiB written',
      command: (device) => `dd if=/dev/zero of=${device} bs=4k count=37 oflag=direct`,
      qdisk: { wrReq: 37, wrBytes: 37 * 4096 },
      vbd: { wrReq: 37, wrBytes: 37 * 4096 },
    },
    {
      what: '4 KiB written, and a flush',
      command: (device) => `dd if=/dev/zero of=${device} bs=4k count=1 conv=fsync,notrunc`,
      qdisk: { wrReq: 1, wrBytes: 4096 },
      vbd: { wrReq: 1, wrBytes: 4096, flushReq: 1 },
    },
    {
      what: '4 MiB read',
      command: (device) => `dd if=${device} of=/dev/null bs=64k count=64 iflag=direct`,
      qdisk: { rdReq: 128, rdBytes: 4 * MIB },
      vbd: { rdReq: 64, rdBytes: 4 * MIB },
    },
    {
      what: '1 MiB discarded',
      command: (device) => `blkdiscard -o 0 -l ${MIB} ${device}`,
      qdisk: {},
      vbd: { discardReq: 1 },
    },
  ];
  const NO_GROWTH = {
    ...{ rdReq: 0, rdBytes: 0, wrReq: 0, wrBytes: 0 },
    ...{ flushReq: 0, discardReq: 0, ooReq: 0, ioErrors: 0 },
  };

  /** Checks the growth of the counters of a disk for each line of the table. */
  async function checkTable(name, inside, kind) {
    const disk = guest.disk(name);
    assert.equal(disk.info.kind, kind);
    for (const { what, command, [kind]: expected } of TABLE) {
      const { last, rdSectors, wrSectors, rdTimeNs, wrTimeNs, ...rest } = await growth(
        disk,
        command(`/dev/${inside}`),
      );
      assert.deepEqual(rest, { ...NO_GROWTH, ...expected }, what);
      assert.deepEqual([rdSectors * 512, wrSectors * 512], [rest.rdBytes, rest.wrBytes], what);
      if (kind === 'qdisk') {
        assert.deepEqual([rdTimeNs > 0, wrTimeNs > 0], [rest.rdReq > 0, rest.wrReq > 0], what);
        assert.deepEqual([last.flushReq, last.discardReq, last.ooReq], [-1, -1, -1]);
      } else {
        assert.deepEqual([last.rdTimeNs, last.wrTimeNs, last.ioErrors], [-1, -1, -1]);
      }
    }
  }

  for (const { name, inside, format } of QDISKS.slice(0, 2)) {
    test(`${name}, ${format}: QEMU’s counters grow by the I/O`, async () => {
      assert.equal(guest.disk(name).info.format, format);
      await checkTable(name, inside, 'qdisk');
    });
  }

  test('xvdc: blkback’s counters grow by the I/O', async () => {
    await checkTable('xvdc', 'xvdc', 'vbd');
    const disk = guest.disk('xvdc');
    assert.deepEqual(await disk.readAsync(), disk.read());
  });

  test('hdd: a write that QEMU cannot store is an I/O error', async () => {
    const { ioErrors, wrBytes, wrReq } = await growth(
      guest.disk('hdd'),
      '! dd if=/dev/zero of=/dev/xvdd bs=64k count=32 oflag=direct',
    );
    // the 17th request of 64 KiB, in two parts
    assert.deepEqual({ ioErrors, wrBytes, wrReq }, { ioErrors: 2, wrBytes: MIB, wrReq: 34 });
  });

  test('bigints are the numbers; the source is a path', async () => {
    const disk = guest.disk('xvda');
    const numbers = await disk.readAsync();
    const exact = await disk.readAsync({ bigint: true });
    for (const [name, value] of Object.entries(numbers)) assert.equal(exact[name], BigInt(value));
    assert.equal(guest.disk('/tmp/q.qcow2'), disk);
  });

  test('the synchronous calls refuse the disks of QEMU, and the sum leaves them out', () => {
    const code =
      /^ERR_XEN_UNSUPPORTED_DRIVER: unsupported disk driver qemu .*disk\.readAsync\(\) reads it\)$/;
    assert.match(
      thrown(() => guest.disk('xvda').read()),
      code,
    );
    assert.match(
      thrown(() => guest.blockStats('d1p2')),
      code,
    );
    assert.match(
      thrown(() => guest.blockStats('')),
      code,
    );
    const { skipped, ...sum } = guest.blockStats('', { partial: true });
    assert.deepEqual(
      skipped.map(({ disk }) => disk),
      ['hdd', 'xvda', 'd1p2'],
    );
    assert.deepEqual(sum, guest.blockStats('xvdc'));
  });

  /** Returns the guest's line of xentop: the disks, and the sums of requests and sectors. */
  async function xentop(options = '-i 1') {
    const startMs = performance.now();
    const lines = (await start('timeout', ['60', ...`xentop -b ${options}`.split(' ')])).split(
      '\n',
    );
    const cells = lines
      .findLast((line) => /^ +q /.test(line))
      .trim()
      .split(/ +/);
    const [disks, , rdReq, wrReq, rdSectors, wrSectors] = cells.slice(12).map(Number);
    const seconds = (performance.now() - startMs) / 1000;
    return { seconds, disks, stats: { rdReq, wrReq, rdSectors, wrSectors } };
  }

  test('a set samples every kind 10 times a second while the guest writes, and xentop does not hang', async (t) => {
    const set = await xen.diskSet({
      kinds: KINDS,
      backing: true,
      filter: ({ domain }) => domain === 'q',
    });
    assert.deepEqual(
      set.disks.map(({ name }) => name),
      NAMES,
    );
    let isDone = false;
    const writing = start('domu', [
      'q',
      `exec 2>/dev/null; uptime() { cut -d. -f1 /proc/uptime; }; end=$(($(uptime) + 12))
       while [ $(uptime) -lt $end ]; do for disk in xvda xvdb2 xvdc; do
       dd if=/dev/zero of=/dev/$disk bs=64k count=16 oflag=direct; done; done`,
    ]);
    const watching = (async () => {
      const runs = [];
      do runs.push(await xentop('-i 2 -d 1'));
      while (!isDone);
      return runs;
    })();
    const written = writing.finally(() => (isDone = true));

    const sampleMs = [];
    const waits = Object.fromEntries(NAMES.map((name) => [name, []]));
    let before = (await set.sampleAsync()).values.slice();
    while (!isDone) {
      const startMs = performance.now();
      await set.sampleAsync();
      sampleMs.push(performance.now() - startMs);
      assert.deepEqual([...set.errors.values()], []);
      set.values.forEach((value, i) => {
        const column = set.columns[i % set.columns.length];
        assert.ok(value >= before[i], `${column}: ${before[i]}, then ${value}`);
      });
      before = set.values.slice();
      set.rates().forEach((rates, i) => {
        // xentop may use QEMU's monitor for longer than the set waits
        if (rates === undefined && set.disks[i].kind === 'qdisk') return;
        assert.equal(rates?.reset, false);
        const wait = set.disks[i].kind === 'vbd' ? rates.backing.wAwait : rates.wAwait;
        if (rates.wPerSec > 0) waits[NAMES[i]].push(wait);
      });
      await delay(Math.max(0, 100 - sampleMs.at(-1)));
    }
    await written;
    const runs = await watching;
    set.close();

    sampleMs.sort((a, b) => a - b);
    const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]?.toFixed(2);
    t.diagnostic(
      `${sampleMs.length} samples, median ${median(sampleMs)} ms, longest ${sampleMs.at(-1).toFixed(0)} ms; ` +
        `median wAwait: ${NAMES.map((name) => `${name} ${median(waits[name])}`).join(', ')} ms; ` +
        `xentop: ${runs.map(({ seconds, disks }) => `${seconds.toFixed(1)} s ${disks} disks`).join(', ')}`,
    );
    assert.ok(sampleMs.length > 5);
    assert.equal(waits.hdd.length, 0);
    for (const name of ['xvda', 'd1p2']) {
      assert.ok(waits[name].length > 0 && waits[name].every((wait) => wait > 0), name);
    }
    assert.ok(waits.xvdc.some((wait) => wait > 0));
    assert.ok(runs.every(({ seconds }) => seconds < 15));
  });

  test('afterwards xentop shows the same requests and sectors', async () => {
    let stats;
    // xentop waits 10 ms for QEMU, which is too short for the emulation now and then
    await untilAsync('xentop shows every disk', async () => {
      const shown = await xentop();
      stats = shown.stats;
      return shown.disks === NAMES.length;
    });
    const all = await Promise.all(NAMES.map((name) => guest.disk(name).readAsync()));
    const sum = (column) => all.reduce((total, it) => total + it[column], 0);
    assert.deepEqual(stats, {
      rdReq: sum('rdReq'),
      wrReq: sum('wrReq') - 2, // xentop does not count requests that failed
      rdSectors: sum('rdSectors'),
      wrSectors: sum('wrSectors'),
    });
  });

  test('backing() reads the device of physical_device', async () => {
    const disk = guest.disk('xvdc');
    const [major, minor] = readFileSync(
      `/sys/bus/xen-backend/devices/vbd-${guest.domid}-51744/physical_device`,
      'utf8',
    )
      .trim()
      .split(':');
    const first = disk.backing();
    assert.equal(first.device, `${parseInt(major, 16)}:${parseInt(minor, 16)}`);
    assert.equal(first.shared, false);
    const counted = await growth(disk, TABLE.map(({ command }) => command('/dev/xvdc')).join('; '));
    const last = disk.backing();
    assert.equal(last.rdIos - first.rdIos, counted.rdReq);
    assert.equal(last.wrIos - first.wrIos, counted.wrReq + counted.flushReq);
    assert.equal(last.flIos - first.flIos, counted.flushReq);
    assert.equal(last.inFlight, 0);
    for (const time of ['rdTimeMs', 'wrTimeMs', 'ioTimeMs', 'queueTimeMs']) {
      assert.ok(last[time] > first[time], time);
    }
    assert.equal(guest.disk('xvda').backing(), undefined);
  });

  test('backing() returns whether a second vbd has the device', () => {
    sh('xl block-attach q phy:/dev/vda xvdf w');
    assert.equal(guest.disk('xvdf').backing().shared, true);
    assert.equal(guest.disk('xvdf').backing().device, guest.disk('xvdc').backing().device);
    guest.disk('xvdc').close();
    assert.equal(guest.disk('xvdc').backing().shared, true);
    sh('xl block-detach q xvdf');
    guest.disk('xvdc').close();
    assert.equal(guest.disk('xvdc').backing().shared, false);
  });

  const attachQdisk = (vdev, source, access = 'rw') =>
    sh(
      `timeout 60 xl block-attach q 'format=raw,vdev=${vdev},access=${access},backendtype=qdisk,target=${source}'`,
    );

  test('a disk of QEMU is attached and detached', async () => {
    attachQdisk('xvdg', '/tmp/hot.raw');
    const disk = guest.disk('xvdg');
    await untilAsync('the guest has read it', async () => (await disk.readAsync()).rdReq === 3);
    assert.equal((await disk.readAsync()).rdBytes, 12288);
    sh('timeout 60 xl block-detach q xvdg');
    await untilAsync('it is detached', async () =>
      (await rejected(disk.readAsync())).startsWith('ERR_XEN_INVALID_DISK: invalid path: xvdg'),
    );
  });

  test('disks that QEMU has refused fail with the reason', async () => {
    // QEMU refuses the name 51840-raw, and tries again with every change
    attachQdisk('51840', '/tmp/hot.raw');
    assert.equal(
      await rejected(guest.disk('51840').readAsync()),
      `ERR_XEN_STATS_UNAVAILABLE: QEMU of domain ${guest.domid} does not have disk 51840: it has refused it, or the drive is empty`,
    );
    const set = await xen.diskSet({ kinds: KINDS, filter: ({ domain }) => domain === 'q' });
    await set.sampleAsync();
    const errors = [...set.errors].map(([{ name }, { code }]) => `${name} ${code}`);
    assert.deepEqual(errors, ['51840 ERR_XEN_STATS_UNAVAILABLE']);
    assert.deepEqual(
      set.disks.map(({ name }) => name),
      [...NAMES, '51840'],
    );
    set.close();
    // QEMU refuses a read-only disk, and removes its backend directory
    attachQdisk('xvdh', '/tmp/hot.raw', 'ro');
    await until('it is removed', () => !guest.disks().some(({ name }) => name === 'xvdh'));
    assert.match(
      thrown(() => guest.disk('xvdh')),
      /^ERR_XEN_INVALID_DISK: invalid path: xvdh /,
    );
    assert.ok((await guest.disk('xvda').readAsync()).wrReq > 0);
  });

  test('while QEMU is stopped, reads fail in time, and blkback’s disks are sampled; afterwards reads succeed', async (t) => {
    const timeoutMs = 3000;
    const hasty = connect({ timeoutMs });
    try {
      const disk = hasty.domain('q').disk('xvda');
      const set = await hasty.diskSet({
        kinds: KINDS,
        filter: ({ name }) => ['xvda', 'xvdc'].includes(name),
      });
      await set.sampleAsync();
      const cell = (row, name) => set.values[row * set.columns.length + set.columns.indexOf(name)];
      const [written, answered] = [cell(1, 'wrBytes'), set.timestamps[0]];
      const stats = await disk.readAsync();
      process.kill(qemuPid, 'SIGSTOP');
      let startMs = performance.now();
      assert.match(
        await rejected(disk.readAsync()),
        /^ERR_XEN_STATS_UNAVAILABLE: .*QEMU did not answer within 3000 ms/,
      );
      const timeout = performance.now() - startMs;
      startMs = performance.now();
      assert.match(
        await rejected(disk.readAsync()),
        /^ERR_XEN_STATS_UNAVAILABLE: .*QEMU did not answer in time, and is asked again in \d\.\d s/,
      );
      const refusal = performance.now() - startMs;
      t.diagnostic(`timeout ${timeout.toFixed(0)} ms, refusal ${refusal.toFixed(1)} ms`);
      assert.ok(timeout >= timeoutMs - 100 && timeout < 2 * timeoutMs);
      assert.ok(refusal < 500);

      await start('domu', [
        'q',
        'dd if=/dev/zero of=/dev/xvdc bs=64k count=4 oflag=direct 2>/dev/null',
      ]);
      startMs = performance.now();
      await set.sampleAsync({ timeoutMs: 200 });
      assert.ok(performance.now() - startMs < 2000);
      assert.equal(cell(1, 'wrBytes') - written, 4 * 65536);
      assert.ok(set.timestamps[0] === answered || set.errors.has(set.disks[0]));
      assert.deepEqual(
        set.rates().map((rates) => rates !== undefined),
        [false, true],
      );

      process.kill(qemuPid, 'SIGCONT');
      startMs = performance.now();
      await untilAsync('QEMU answers again', async () => {
        const read = await disk.readAsync().catch(() => undefined);
        if (read !== undefined) assert.deepEqual(read, stats);
        return read !== undefined;
      });
      t.diagnostic(`answers ${(performance.now() - startMs).toFixed(0)} ms after SIGCONT`);
      await set.sampleAsync();
      assert.equal(set.errors.size, 0);
      const { wrBytes } = await growth(
        disk,
        'dd if=/dev/zero of=/dev/xvda bs=64k count=4 oflag=direct',
      );
      assert.equal(wrBytes, 4 * 65536);
    } finally {
      process.kill(qemuPid, 'SIGCONT');
      hasty.close();
    }
  });

  test('after the guest is destroyed, reads fail with the reason', async (t) => {
    const disk = guest.disk('xvda');
    await disk.readAsync();
    sh('xl destroy q');
    const startMs = performance.now();
    await untilAsync('the domain has ended', async () =>
      (await rejected(disk.readAsync())).startsWith('ERR_XEN_DOMAIN_NOT_RUNNING: '),
    );
    t.diagnostic(`${(performance.now() - startMs).toFixed(0)} ms after xl destroy`);
    assert.match(
      thrown(() => xen.domain('q')),
      /^ERR_XEN_NO_DOMAIN/,
    );
  });
});

describe('repeated calls', () => {
  let xen;

  before(() => {
    sh('mkdom --xl r vdb=xvda');
    xen = connect({ timeoutMs: 5000 });
  });
  after(() => {
    xen.close();
    sh('xl destroy r 2>/dev/null || xl destroy s');
  });

  /** Waits for a change that a command has made, and prints how long it took. */
  async function seen(t, what, condition) {
    const startMs = performance.now();
    await until(what, condition, 10);
    t.diagnostic(`${what}: ${(performance.now() - startMs).toFixed(0)} ms`);
  }

  const sum = () => xen.domain('r').blockStats('', { sectorSize: 512 });

  test('make no request while nothing changes: xenstored is stopped meanwhile', (t) => {
    for (let i = 0; i < 3; i++) assert.equal(sum().rdReq, 3);
    const pid = Number(readFileSync('/run/xenstored.pid', 'utf8'));
    inGuest('r', 'dd if=/dev/xvda of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null');
    const calls = 1000;
    let elapsed;
    process.kill(pid, 'SIGSTOP');
    try {
      const startMs = performance.now();
      for (let i = 0; i < calls; i++) assert.equal(sum().rdReq, 7);
      elapsed = performance.now() - startMs;
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    t.diagnostic(`${((1000 * elapsed) / calls).toFixed(0)} µs each`);
    assert.equal(xen.domain('r'), xen.domain(domid('r')));
  });

  test('see a disk that is attached, and one that is detached', async (t) => {
    sh('xl block-attach r phy:/dev/vda xvdb w');
    await seen(t, 'the attached disk', () => sum().rdReq === 10);
    const disk = xen.domain('r').disk('xvdb');
    assert.equal(disk.read().rdReq, 3);
    for (let i = 0; i < 3; i++) assert.equal(sum().rdReq, 10);
    sh('xl block-detach r xvdb');
    await seen(t, 'the detached disk', () => sum().rdReq === 7);
    for (let i = 0; i < 3; i++) assert.equal(sum().rdReq, 7);
  });

  test('see that the guest is renamed', async (t) => {
    const guest = xen.domain('r');
    for (let i = 0; i < 3; i++) assert.equal(xen.domain('r'), guest);
    sh('xl rename r s');
    await seen(t, 'the former name is unknown', () => {
      try {
        return xen.domain('r').name === undefined;
      } catch ({ code }) {
        return code === 'ERR_XEN_NO_DOMAIN';
      }
    });
    for (let i = 0; i < 3; i++) assert.equal(xen.domain('s'), guest);
    assert.equal(guest.name, 's');
    assert.equal(guest.blockStats('').rdReq, 7);
  });
});

/** Waits until an asynchronous condition holds. Throws after a minute. */
async function untilAsync(what, condition) {
  const end = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within 60 s: ${what}`);
    await delay(20);
  }
}
