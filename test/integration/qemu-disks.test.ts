import { setTimeout as delay } from 'node:timers/promises';
import { XenError, connect, type Connection, type DiskSet } from 'xen-block-stats';
import { needing } from '../support/needs';
import { Qemu } from '../support/qemu';
import { RealHost } from '../support/real-host';

/*
 * Disks and sets of disks that QEMU serves: a real QEMU and a real xenstored. qemu.test.ts has the monitor.
 */

const MIB = 2 ** 20;
const DOMID = 1;

const { describe: describeQemu } = needing('qemu-system-x86_64', 'qemu-img');

describeQemu('with a guest of QEMU', () => {
  let host: RealHost;
  let qemu: Qemu;
  let xen: Connection;

  beforeEach(async () => {
    qemu = await Qemu.start(DOMID, [
      { name: 'xvda', format: 'qcow2' },
      { name: 'xvdb', format: 'raw' },
    ]);
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      domid: DOMID,
      disks: [
        { name: 'xvda', source: '/srv/a.qcow2', kind: 'qdisk', format: 'qcow2' },
        { name: 'xvdb', source: '/srv/b.img', kind: 'qdisk', format: 'raw' },
        { name: 'xvdc', source: '/dev/c', counters: { rd_req: 3 } },
        { name: 'xvdd', source: '/srv/refused.img', kind: 'qdisk', format: 'raw' },
      ],
    });
    xen = connect({ ...host.connectOptions, run: qemu.directory, timeoutMs: 10_000 });
  });
  afterEach(async () => {
    xen.close();
    await qemu.stop();
    await host.stop();
  });

  async function errorOf(call: () => unknown): Promise<XenError> {
    try {
      await call();
    } catch (error) {
      if (error instanceof XenError) return error;
      throw error;
    }
    throw new Error('it did not throw');
  }

  const NOT_COUNTED = { flushReq: -1, discardReq: -1, ooReq: -1 };

  describe('disk.readAsync()', () => {
    test('reads a disk of QEMU to the byte, as numbers and as bigints', async () => {
      const disk = xen.domain('web1').disk('xvda');
      expect(disk.info).toMatchObject({ kind: 'qdisk', driver: 'qemu', format: 'qcow2' });
      const before = await disk.readAsync();
      await qemu.io('xvda', 'aio_write 0 1M');
      await qemu.io('xvda', 'aio_read 0 64k');
      const stats = await disk.readAsync();
      expect(stats).toMatchObject(NOT_COUNTED);
      expect([stats.wrBytes - before.wrBytes, stats.wrReq - before.wrReq]).toEqual([MIB, 1]);
      expect([stats.rdBytes - before.rdBytes, stats.rdReq - before.rdReq]).toEqual([65536, 1]);
      expect(stats.rdSectors).toBe(stats.rdBytes / 512);
      expect(stats.wrTimeNs).toBeGreaterThan(0);
      expect(stats.ioErrors).toBe(0);
      const exact = await disk.readAsync({ bigint: true });
      expect(exact.wrBytes).toBe(BigInt(stats.wrBytes));
      expect((await xen.domain(DOMID).disk('/srv/b.img').readAsync()).wrReq).toBe(0);
    });

    test('reads a disk of blkback as read() does', async () => {
      const disk = xen.domain('web1').disk('xvdc');
      await expect(disk.readAsync()).resolves.toEqual(disk.read());
      expect(disk.read().rdReq).toBe(3);
    });

    test('is what the errors of the synchronous calls name', async () => {
      const web = xen.domain('web1');
      const disk = web.disk('xvda');
      const expected = {
        code: 'ERR_XEN_UNSUPPORTED_DRIVER',
        message:
          'unsupported disk driver qemu (disk xvda of domain web1 is served by qdisk, not by blkback: disk.readAsync() reads it)',
      };
      expect(await errorOf(() => disk.read())).toMatchObject(expected);
      expect(await errorOf(() => web.blockStats('xvda'))).toMatchObject(expected);
      expect(await errorOf(() => web.blockStatsFlags('xvda'))).toMatchObject(expected);
      expect(web.disk('xvda')).toBe(disk);
      expect(disk.backing()).toBeUndefined();
    });

    test('fails for a disk that QEMU does not have', async () => {
      expect(await errorOf(() => xen.domain('web1').disk('xvdd').readAsync())).toMatchObject({
        code: 'ERR_XEN_STATS_UNAVAILABLE',
        message: expect.stringContaining('QEMU of domain 1 does not have disk xvdd'),
      });
    });

    test('fails when the disk is detached or replaced, the domain ends, or the disk is closed', async () => {
      const web = xen.domain('web1');
      const [xvda, xvdb] = [web.disk('xvda'), web.disk('xvdb')];
      await xvda.readAsync();
      await host.detachDisk(DOMID, 'xvda');
      const code = async () => (await errorOf(() => xvda.readAsync())).code;
      // until the watch event has come, QEMU still answers
      while ((await code().catch(() => '')) !== 'ERR_XEN_INVALID_DISK') await delay(1);
      await host.attachDisk(DOMID, { name: 'xvda', source: '/srv/other.img', kind: 'qdisk' });
      expect((await errorOf(() => xvda.readAsync())).message).toContain('it is another disk');
      xvdb.close();
      expect(await errorOf(() => xvdb.readAsync())).toMatchObject({ code: 'ERR_XEN_CLOSED' });
      const again = web.disk('xvdb');
      await again.readAsync();
      await host.removeGuest(DOMID);
      const ended = async () => (await errorOf(() => again.readAsync())).code;
      while ((await ended().catch(() => '')) !== 'ERR_XEN_DOMAIN_NOT_RUNNING') await delay(1);
    });

    test('is rejected by close()', async () => {
      const disk = xen.domain('web1').disk('xvda');
      await disk.readAsync();
      qemu.signal('SIGSTOP');
      const pending = errorOf(() => disk.readAsync());
      xen.close();
      expect(await pending).toMatchObject({ code: 'ERR_XEN_CLOSED' });
      expect(await errorOf(() => disk.readAsync())).toMatchObject({ code: 'ERR_XEN_CLOSED' });
    });
  });

  describe('a set', () => {
    const KINDS = ['vbd', 'vbd3', 'qdisk'] as const;
    const wrBytes = (set: DiskSet) =>
      set.disks.map((_, i) => set.values[i * set.columns.length + set.columns.indexOf('wrBytes')]);

    test('has no rows of QEMU by default, and lists the disks as unsupported', async () => {
      const set = await xen.diskSet();
      expect(set.disks.map(({ name }) => name)).toEqual(['xvdc']);
      expect(set.unsupported.map(({ name }) => name)).toEqual(['xvda', 'xvdb', 'xvdd']);
    });

    test('asks QEMU with sampleAsync(), and has the last answer with sample()', async () => {
      const set = await xen.diskSet({ kinds: KINDS });
      expect(set.disks.map(({ name }) => name)).toEqual(['xvda', 'xvdb', 'xvdc', 'xvdd']);
      set.sample();
      expect([...set.errors.values()].map(({ message }) => message)).toEqual(
        ['xvda', 'xvdb', 'xvdd'].map(
          (name) => `QEMU of domain 1 was not asked: call sampleAsync() (disk ${name})`,
        ),
      );
      expect(await set.sampleAsync()).toBe(set);
      expect([...set.errors.keys()].map(({ name }) => name)).toEqual(['xvdd']);
      const first = set.timestamps;
      await qemu.io('xvda', 'aio_write 0 1M');
      set.sample();
      expect([wrBytes(set), set.timestamps[0]]).toEqual([[0, 0, 0, -1], first[0]]);
      // of the row that has no new answer there are no rates
      expect(set.rates().map((rates) => rates !== undefined)).toEqual([false, false, true, false]);
      await set.sampleAsync();
      expect(wrBytes(set)).toEqual([MIB, 0, 0, -1]);
      const [xvda, xvdb, xvdc] = set.timestamps;
      expect(xvda).toBeGreaterThan(first[0] ?? 0n);
      expect([xvdb, xvdc]).toEqual([xvda, set.timestamp]);
      await qemu.io('xvdb', 'aio_write 0 2M');
      await set.sampleAsync();
      const rates = set.rates()[1];
      const seconds = Number((set.timestamps[1] ?? 0n) - (xvdb ?? 0n)) / 1e9;
      expect(rates?.wkBPerSec).toBeCloseTo(2048 / seconds);
      expect(rates?.wAwait).toBeGreaterThan(0);
      expect([...set].map(({ stats }) => stats?.wrBytes)).toEqual([MIB, 2 * MIB, 0, undefined]);
    });

    test('keeps the last answer of a QEMU that hangs until it is too old, and samples the others', async () => {
      const set = await xen.diskSet({ kinds: KINDS, maxAgeMs: 1500, bigint: true });
      await set.sampleAsync();
      expect(set.values.at(0)).toBe(0n);
      qemu.signal('SIGSTOP');
      await host.setCounters(DOMID, 'xvdc', { rd_req: 4 });
      await set.sampleAsync({ timeoutMs: 20 });
      expect([set.values.at(0), set.values.at(2 * set.columns.length)]).toEqual([0n, 4n]);
      expect(set.rates()[0]).toBeUndefined();
      const isError = () => [...set.errors.keys()].some(({ name }) => name === 'xvda');
      while (!isError()) {
        await delay(10);
        set.sample();
      }
      expect([...set.errors.values()][0]?.message).toBe('QEMU of domain 1 has not answered yet');
      expect([set.values.at(0), set.timestamps[0]]).toEqual([-1n, 0n]);
      qemu.signal('SIGCONT');
      while (isError()) await set.sampleAsync();
      expect(set.values.at(0)).toBe(0n);
      while (!isError()) {
        await delay(10);
        set.sample();
      }
      expect([...set.errors.values()][0]?.message).toMatch(
        /^QEMU of domain 1 was asked \d+\.\d s ago: call sampleAsync\(\) \(disk xvda\)$/,
      );
    });

    test('has no numbers of a disk from answers before it was attached', async () => {
      const set = await xen.diskSet({ kinds: KINDS });
      await set.sampleAsync();
      const added: string[] = [];
      set.on('add', ({ name, source = '' }) => added.push(`${name} ${source}`));
      await host.detachDisk(DOMID, 'xvdb');
      await host.attachDisk(DOMID, { name: 'xvdb', source: '/srv/other.img', kind: 'qdisk' });
      await host.attachDisk(DOMID, { name: 'xvde', source: '/srv/e.img', kind: 'qdisk' });
      while (added.length < 2) await delay(1);
      expect(added.sort()).toEqual(['xvdb /srv/other.img', 'xvde /srv/e.img']);
      set.sample();
      const messages = new Map([...set.errors].map(([{ name }, it]) => [name, it.message]));
      expect([...messages.keys()]).toEqual(['xvdb', 'xvdd', 'xvde']);
      for (const name of ['xvdb', 'xvde']) {
        expect(messages.get(name)).toBe(
          `QEMU of domain 1 was not asked: call sampleAsync() (disk ${name})`,
        );
      }
      // QEMU names a disk's node after its name only
      await set.sampleAsync();
      expect([...set.errors.keys()].map(({ name }) => name)).toEqual(['xvdd', 'xvde']);
      expect(set.rates()[1]).toBeUndefined();
    });

    test('keeps the errors of the last sample when a description changes', async () => {
      const set = await xen.diskSet({ kinds: KINDS });
      await set.sampleAsync();
      await host.write('/local/domain/1/name', 'web2');
      while (set.disks[0]?.domain !== 'web2') await delay(1);
      expect([...set.errors.keys()].map(({ name, domain }) => `${domain} ${name}`)).toEqual([
        'web2 xvdd',
      ]);
      expect([...set].map(({ error }) => error?.code)).toEqual([
        ...[undefined, undefined, undefined],
        'ERR_XEN_STATS_UNAVAILABLE',
      ]);
    });

    test('waits by default until the connection’s timeout, and says so', async () => {
      const patient = connect({ ...host.connectOptions, run: qemu.directory, timeoutMs: 2000 });
      const set = await patient.diskSet({ kinds: KINDS, filter: ({ name }) => name === 'xvda' });
      qemu.signal('SIGSTOP');
      const [error] = (await set.sampleAsync()).errors.values();
      expect(error?.message).toContain('QEMU did not answer within 2000 ms: it hangs');
      qemu.signal('SIGCONT');
      patient.close();
    });

    test('says why QEMU did not answer', async () => {
      const set = await xen.diskSet({ kinds: KINDS, filter: ({ name }) => name !== 'xvdd' });
      await qemu.kill();
      await set.sampleAsync();
      expect([...set.errors].map(([{ name }, { message }]) => [name, message])).toEqual([
        ['xvda', expect.stringContaining(`${qemu.socket}: ECONNREFUSED`)],
        ['xvdb', expect.stringContaining(`${qemu.socket}: ECONNREFUSED`)],
      ]);
      expect(set.sample().errors.size).toBe(2);
    });

    test('has -1 in a recorder for disks of QEMU', async () => {
      const set = await xen.diskSet({ kinds: KINDS });
      const recorder = set.record({ intervalMs: 1, capacity: 100 });
      let [samples] = recorder.take();
      while (samples === undefined) {
        await delay(1);
        [samples] = recorder.take();
      }
      expect([...samples.values.subarray(0, 12)]).toEqual(Array(12).fill(-1));
      expect(samples.values[24]).toBe(3);
      recorder.stop();
    });

    test('reads only the chosen counters', async () => {
      const counters = ['wrBytes', 'ioErrors'] as const;
      const set = await xen.diskSet({ kinds: KINDS, counters });
      await set.sampleAsync();
      const none = Object.fromEntries(set.columns.map((name) => [name, -1]));
      expect([...set][0]?.stats).toEqual({ ...none, wrBytes: 0, ioErrors: 0 });
    });

    test('refuses a wrong timeout, and a sample after it is closed', async () => {
      const set = await xen.diskSet({ kinds: KINDS });
      for (const timeoutMs of [0, -1, NaN, Infinity, 2 ** 31]) {
        await expect(set.sampleAsync({ timeoutMs })).rejects.toThrow(RangeError);
      }
      set.close();
      await expect(set.sampleAsync()).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    });

    test.each([
      [{ kinds: ['nbd'] }, TypeError],
      [{ kinds: [] }, TypeError],
      [{ maxAgeMs: 0 }, RangeError],
    ])('refuses %j', async (options, type) => {
      await expect(xen.diskSet(options as object)).rejects.toThrow(type);
    });
  });
});
