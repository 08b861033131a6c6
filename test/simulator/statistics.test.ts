import { rmSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DISK_COLUMNS, connect, type Connection, type Domain } from 'xen-block-stats';
import { describeOnHosts } from '../support/hosts';
import type { TestHost } from '../support/real-host';
import { overwriteCounter } from '../support/counter-file';

const COUNTERS = {
  rd_req: 67,
  rd_sect: 8216,
  wr_req: 129,
  wr_sect: 16392,
  f_req: 1,
  ds_req: 2,
  oo_req: 3,
};

/** The result of `read()` for these counters. */
const STATS = {
  rdReq: 67,
  rdSectors: 8216,
  rdBytes: 8216 * 512,
  wrReq: 129,
  wrSectors: 16392,
  wrBytes: 16392 * 512,
  flushReq: 1,
  discardReq: 2,
  ooReq: 3,
  rdTimeNs: -1,
  wrTimeNs: -1,
  ioErrors: -1,
};

const error = (code: string, more: object = {}) => expect.objectContaining({ code, ...more });

describeOnHosts('on', (start) => {
  let host: TestHost;
  let xen: Connection;
  let domid: number;
  let web: Domain;

  beforeAll(async () => {
    host = await start();
  });
  afterAll(async () => {
    await host.stop();
  });

  beforeEach(async () => {
    xen = connect(host.connectOptions);
    ({ domid } = await host.addGuest({
      name: 'web1',
      disks: [
        { name: 'xvda', source: '/dev/vg/web1-root', counters: COUNTERS },
        { name: 'xvdb', source: '/dev/vg/web1-data', physicalSectorSize: 4096, counters: COUNTERS },
      ],
    }));
    web = xen.domain('web1');
  });
  afterEach(async () => {
    xen.close();
    await host.removeGuest(domid);
  });

  const statisticsFile = (name: string) =>
    join(host.connectOptions.sysfs, `bus/xen-backend/devices/vbd-${domid}-51712/statistics`, name);

  describe('blockStats', () => {
    test('returns libvirt’s five fields', () => {
      expect(web.blockStats('xvda')).toEqual({
        rdReq: 67,
        rdBytes: 8216 * 512,
        wrReq: 129,
        wrBytes: 16392 * 512,
        errs: 3,
      });
    });

    test('returns bigints with { bigint: true }', () => {
      expect(web.blockStats('xvda', { bigint: true })).toEqual({
        rdReq: 67n,
        rdBytes: 8216n * 512n,
        wrReq: 129n,
        wrBytes: 16392n * 512n,
        errs: 3n,
      });
    });

    test.each(['xvda', 'd0p0', '51712', '0xca00', '0145000', '/dev/vg/web1-root'])(
      'finds the disk as %s',
      (path) => {
        expect(web.blockStats(path).rdReq).toBe(67);
      },
    );

    test('multiplies by the physical sector size, as libvirt does, or by 512 if that is requested', () => {
      expect(web.blockStats('xvdb').wrBytes).toBe(16392 * 4096);
      expect(web.blockStats('xvdb', { sectorSize: 512 }).wrBytes).toBe(16392 * 512);
      const trueBytes = connect({ ...host.connectOptions, sectorSize: 512 });
      expect(trueBytes.domain('web1').blockStats('xvdb').wrBytes).toBe(16392 * 512);
      expect(trueBytes.domain('web1').blockStats('xvdb', { sectorSize: 'physical' }).wrBytes).toBe(
        16392 * 4096,
      );
      trueBytes.close();
    });

    test('reads the current counters in each call', async () => {
      expect(web.blockStats('xvda').rdReq).toBe(67);
      await host.setCounters(domid, 'xvda', { rd_req: 68 });
      expect(web.blockStats('xvda').rdReq).toBe(68);
    });

    test('is exact in 63 bits', async () => {
      await host.setCounters(domid, 'xvda', { rd_req: 2n ** 63n - 1n, wr_sect: 2n ** 53n + 1n });
      const stats = web.blockStats('xvda', { bigint: true });
      expect(stats.rdReq).toBe(2n ** 63n - 1n);
      expect(stats.wrBytes).toBe((2n ** 53n + 1n) * 512n);
    });

    test.each(['rd_sect', 'wr_sect'] as const)(
      'libvirt’s bytes are numbers of 63 bits: %s',
      async (counter) => {
        await host.setCounters(domid, 'xvdb', { [counter]: 2n ** 51n - 1n });
        const { rdBytes, wrBytes } = web.blockStats('xvdb', { bigint: true });
        expect([rdBytes, wrBytes]).toContain(2n ** 63n - 4096n);
        await host.setCounters(domid, 'xvdb', { [counter]: 2n ** 51n });
        expect(() => web.blockStats('xvdb')).toThrow(error('ERR_XEN_STATS_UNAVAILABLE'));
      },
    );

    test.each(['xvdb', ''])(
      'bytes of libvirt’s that do not fit in 64 bits are an error: "%s"',
      async (path) => {
        await host.setCounters(domid, 'xvdb', { wr_sect: 2n ** 53n });
        const what = path === '' ? 'all disks' : 'disk xvdb';
        const refused = error('ERR_XEN_STATS_UNAVAILABLE', {
          domid,
          disk: path,
          message: expect.stringContaining(`bytes of ${what} of domain web1 do not fit`),
        });
        expect(() => web.blockStats(path)).toThrow(refused);
        expect(() => web.blockStatsFlags(path, { bigint: true })).toThrow(refused);
        const sectorSize = 512;
        expect(web.blockStats(path, { sectorSize, bigint: true }).wrBytes).toBeLessThan(2n ** 63n);
      },
    );
  });

  describe('blockStats of all disks', () => {
    test('is the sum, with each disk’s own sector size', () => {
      expect(web.blockStats('')).toEqual({
        rdReq: 134,
        rdBytes: 8216 * (512 + 4096),
        wrReq: 258,
        wrBytes: 16392 * (512 + 4096),
        errs: 6,
      });
    });

    test('includes a disk that was attached just before', async () => {
      web.blockStats('');
      await host.attachDisk(domid, { name: 'xvdc', source: '/dev/vg/c', counters: { rd_req: 1 } });
      expect(web.blockStats('').rdReq).toBe(135);
      await host.detachDisk(domid, 'xvdc');
      expect(web.blockStats('').rdReq).toBe(134);
    });

    test('fails if one disk cannot be read, and names it', async () => {
      await host.attachDisk(domid, { name: 'xvdc', source: '/srv/c', kind: 'qdisk' });
      expect(() => web.blockStats('')).toThrow(
        error('ERR_XEN_UNSUPPORTED_DRIVER', { disk: 'xvdc', domid }),
      );
    });

    test('skips and lists disks that cannot be read, with { partial: true }', async () => {
      await host.attachDisk(domid, { name: 'xvdc', source: '/srv/c', kind: 'qdisk' });
      await host.attachDisk(domid, { name: 'xvdd', deviceType: 'cdrom', mode: 'r' });
      const { rdReq, skipped } = web.blockStats('', { partial: true });
      expect(rdReq).toBe(134);
      expect(skipped).toEqual([
        { disk: 'xvdc', error: error('ERR_XEN_UNSUPPORTED_DRIVER') },
        { disk: 'xvdd', error: error('ERR_XEN_STATS_UNAVAILABLE') },
      ]);
      expect(web.blockStats('xvda', { partial: true })).not.toHaveProperty('skipped');
      expect(web.blockStatsFlags('', { partial: true }).skipped).toEqual(skipped);
      expect(web.blockStatsFlags('xvda')).not.toHaveProperty('skipped');
    });

    test('skips and lists a disk of which a counter cannot be read, with { partial: true }', () => {
      overwriteCounter(statisticsFile('rd_req'), 'rubbish');
      const unavailable = error('ERR_XEN_STATS_UNAVAILABLE', { path: statisticsFile('rd_req') });
      expect(() => web.blockStats('')).toThrow(unavailable);
      const { rdReq, skipped } = web.blockStats('', { partial: true });
      expect(rdReq).toBe(67);
      expect(skipped).toEqual([{ disk: 'xvda', error: unavailable }]);
    });

    test('of a domain without disks is 0, with errs of -1', async () => {
      const { domid: empty } = await host.addGuest({ name: 'empty' });
      expect(xen.domain('empty').blockStats('')).toEqual({
        rdReq: 0,
        rdBytes: 0,
        wrReq: 0,
        wrBytes: 0,
        errs: -1,
      });
      await host.removeGuest(empty);
    });
  });

  describe('blockStatsFlags', () => {
    test('returns libvirt’s six typed parameters in its order', () => {
      expect(web.blockStatsFlags('xvda')).toEqual({
        nparams: 6,
        params: [
          { field: 'wr_bytes', type: 3, value: 16392 * 512 },
          { field: 'wr_operations', type: 3, value: 129 },
          { field: 'rd_bytes', type: 3, value: 8216 * 512 },
          { field: 'rd_operations', type: 3, value: 67 },
          { field: 'flush_operations', type: 3, value: 1 },
          { field: 'errs', type: 3, value: 3 },
        ],
      });
    });

    test('returns the number of parameters for nparams 0 and reads nothing, even for an unknown disk', () => {
      expect(web.blockStatsFlags('xvdz', { nparams: 0 })).toEqual({ nparams: 6, params: [] });
    });

    test('returns the first parameters if fewer are requested, and six if more are', () => {
      const { nparams, params } = web.blockStatsFlags('xvda', { nparams: 2, bigint: true });
      expect(nparams).toBe(2);
      expect(params).toEqual([
        { field: 'wr_bytes', type: 3, value: 16392n * 512n },
        { field: 'wr_operations', type: 3, value: 129n },
      ]);
      expect(web.blockStatsFlags('xvda', { nparams: 100 }).nparams).toBe(6);
    });

    test('reads only the counters of the requested parameters', () => {
      overwriteCounter(statisticsFile('rd_req'), 'rubbish');
      expect(web.blockStatsFlags('xvda', { nparams: 3 }).params.at(-1)?.field).toBe('rd_bytes');
      expect(() => web.blockStatsFlags('xvda', { nparams: 4 })).toThrow(
        error('ERR_XEN_STATS_UNAVAILABLE', { path: statisticsFile('rd_req') }),
      );
    });

    test('omits a counter that the kernel does not have', () => {
      rmSync(statisticsFile('f_req'));
      expect(web.blockStatsFlags('xvda').params.map(({ field }) => field)).toEqual([
        'wr_bytes',
        'wr_operations',
        'rd_bytes',
        'rd_operations',
        'errs',
      ]);
      expect(web.blockStatsFlags('xvda', { nparams: 5 }).params.at(-1)?.field).toBe('errs');
    });

    test.each([
      ['xvda', 3],
      ['', 3 + 9],
    ])('has no counter of an earlier read of another disk: errs of "%s"', async (path, errs) => {
      await host.setCounters(domid, 'xvdb', { oo_req: 9 });
      // without the fifth of six parameters, the sixth is the last of five
      rmSync(statisticsFile('f_req'));
      rmSync(statisticsFile('f_req').replace('51712', '51728'));
      for (const bigint of [false, true]) web.disk('xvdb').read({ bigint });
      const { params } = web.blockStatsFlags(path, { nparams: 5 });
      expect(params.at(-1)).toEqual({ field: 'errs', type: 3, value: errs });
    });

    test('is not refused for a counter of an earlier read of another disk', async () => {
      await host.setCounters(domid, 'xvda', { rd_sect: 2n ** 53n });
      web.disk('xvda').read();
      expect(web.blockStatsFlags('xvdb', { nparams: 1 }).params).toEqual([
        { field: 'wr_bytes', type: 3, value: 16392 * 4096 },
      ]);
    });

    test('sums over all disks', () => {
      const { params } = web.blockStatsFlags('', { sectorSize: 512 });
      expect(params.find(({ field }) => field === 'wr_bytes')?.value).toBe(2 * 16392 * 512);
    });

    test('accepts one flag', () => {
      expect(web.blockStatsFlags('xvda', { flags: 4 }).nparams).toBe(6);
      expect(() => web.blockStatsFlags('xvda', { flags: 8 })).toThrow(
        error('ERR_XEN_UNSUPPORTED_FLAGS', {
          message: 'unsupported flags (0x8) in function blockStatsFlags',
        }),
      );
    });
  });

  describe('a disk handle', () => {
    test('reads every counter, in true bytes', () => {
      expect(web.disk('xvda').read()).toEqual(STATS);
      expect(web.disk('xvdb').read()).toEqual(STATS);
    });

    test('reads bigints', () => {
      const stats = web.disk('xvda').read({ bigint: true });
      expect(Object.values(stats)).toEqual(Object.values(STATS).map(BigInt));
      for (const options of [{}, { bigint: false }]) {
        expect(web.disk('xvda').read(options)).toEqual(STATS);
      }
    });

    test('reads into an array of the caller, at an offset', () => {
      const numbers = new Float64Array(14).fill(7);
      web.disk('xvda').readInto(numbers, 1);
      expect([...numbers]).toEqual([7, ...DISK_COLUMNS.map((column) => STATS[column]), 7]);
      const bigints = new BigInt64Array(12);
      web.disk('xvda').readInto(bigints);
      expect([...bigints]).toEqual(Object.values(STATS).map(BigInt));
    });

    test('closes its files with close(), and by `using`; domain.disk() then opens the disk again', () => {
      const files = () => readdirSync('/proc/self/fd').length;
      const before = files();
      const disk = web.disk('xvda');
      expect(files() - before).toBe(7);
      disk.close();
      disk.close();
      expect(files() - before).toBe(0);
      expect(() => disk.read()).toThrow(
        error('ERR_XEN_CLOSED', { message: 'disk xvda is closed' }),
      );
      expect(web.blockStats('xvda').rdReq).toBe(STATS.rdReq);
      const again = web.disk('xvda');
      expect(again).not.toBe(disk);
      expect(again.read()).toEqual(STATS);
      again[Symbol.dispose]();
      expect(files() - before).toBe(0);
    });

    test('writes nothing into an array that does not fit', () => {
      const disk = web.disk('xvda');
      const numbers = new Float64Array(12);
      const short = new Float64Array(11);
      const range = (text: string) =>
        error('ERR_OUT_OF_RANGE', {
          name: 'RangeError',
          message: expect.stringContaining(text),
        });
      const type = error('ERR_INVALID_ARG_TYPE', { name: 'TypeError' });
      for (const offset of [1, -1, 0.5, NaN]) {
        expect(() => {
          disk.readInto(numbers, offset);
        }).toThrow(range(`"offset" is out of range. It must be an integer from 0 to 0`));
      }
      expect(() => {
        disk.readInto(short);
      }).toThrow(range(`"array.length" is out of range. It must be at least 12. Received 11`));
      for (const wrong of [[], new Float32Array(12), new Uint8Array(99), undefined, null]) {
        expect(() => {
          disk.readInto(wrong as unknown as Float64Array);
        }).toThrow(type);
      }
      expect(() => {
        disk.readInto(numbers, '0' as unknown as number);
      }).toThrow(type);
      expect([...numbers, ...short].every((value) => value === 0)).toBe(true);
    });

    test('describes its disk', () => {
      const disk = web.disk('xvdb');
      expect(disk).toMatchObject({ domid, devid: 51728, name: 'xvdb' });
      expect(disk.info).toMatchObject({ source: '/dev/vg/web1-data', physicalSectorSize: 4096 });
    });

    test('reads the disk again after it was detached and attached', async () => {
      const disk = web.disk('xvda');
      disk.read();
      await host.detachDisk(domid, 'xvda');
      expect(() => disk.read()).toThrow(
        error('ERR_XEN_INVALID_DISK', { message: 'invalid path: xvda (domain web1 has xvdb)' }),
      );
      await host.attachDisk(domid, {
        name: 'xvda',
        source: '/dev/vg/web1-root',
        mode: 'r',
        counters: { rd_req: 1 },
      });
      expect(disk.read().rdReq).toBe(1);
      expect(disk.info.mode).toBe('r');
    });

    test('does not read another disk of the same name, which blockStats reads', async () => {
      const disk = web.disk('xvda');
      expect(web.blockStats('xvda').rdReq).toBe(67);
      await host.detachDisk(domid, 'xvda');
      await host.attachDisk(domid, { name: 'xvda', source: '/dev/vg/b', counters: { rd_req: 5 } });
      expect(() => disk.read()).toThrow(error('ERR_XEN_INVALID_DISK', { disk: 'xvda' }));
      expect(web.blockStats('xvda').rdReq).toBe(5);
      expect(web.disk('xvda').read().rdReq).toBe(5);
    });

    test('reads its disk again after another disk had its name, and closes with the connection', async () => {
      const disk = web.disk('xvda');
      await host.detachDisk(domid, 'xvda');
      await host.attachDisk(domid, { name: 'xvda', source: '/dev/vg/b' });
      web.blockStats('xvda');
      await host.detachDisk(domid, 'xvda');
      const root = { name: 'xvda', source: '/dev/vg/web1-root', counters: { rd_req: 9 } };
      await host.attachDisk(domid, root);
      expect(web.blockStats('xvda').rdReq).toBe(9);
      expect(disk.read().rdReq).toBe(9);
      xen.close();
      expect(() => disk.read()).toThrow(error('ERR_XEN_CLOSED'));
    });

    test('fails after its domain has ended, also if a new domain has the same domid', async () => {
      const disk = web.disk('xvda');
      await host.removeGuest(domid);
      const notRunning = error('ERR_XEN_DOMAIN_NOT_RUNNING', {
        message: expect.stringMatching(/^domain is not running/),
      });
      expect(() => disk.read()).toThrow(notRunning);
      await host.addGuest({
        name: 'web2',
        uuid: '11111111-2222-4333-8444-555555555555',
        domid,
        disks: [{ name: 'xvda', source: '/dev/vg/web1-root' }],
      });
      expect(() => disk.read()).toThrow(notRunning);
      expect(() => web.blockStats('xvda')).toThrow(notRunning);
      expect(xen.domain(domid).blockStats('xvda').rdReq).toBe(0);
    });
  });

  describe('a counter file', () => {
    test.each([
      ['ds_req', ['discardReq']],
      ['f_req', ['flushReq']],
      ['rd_sect', ['rdSectors', 'rdBytes']],
    ])('that does not exist (%s) gives -1, also for its bytes', (file, columns) => {
      rmSync(statisticsFile(file));
      const stats = web.disk('xvda').read();
      const missing = Object.entries(stats).filter(([, value]) => value === -1);
      const ofOthers = ['rdTimeNs', 'wrTimeNs', 'ioErrors'];
      expect(missing.map(([name]) => name)).toEqual([...columns, ...ofOthers]);
    });

    test.each(['oo_req', 'wr_sect'])(
      'that does not exist (%s), the first or the last that a kernel creates, is an error',
      (file) => {
        rmSync(statisticsFile(file));
        expect(() => web.disk('xvda').read()).toThrow(
          error('ERR_XEN_STATS_UNAVAILABLE', { errno: 2, path: statisticsFile(file) }),
        );
      },
    );

    test.each([
      ['is empty', ''],
      ['has no digits', 'none\n'],
      ['has more than digits', '12a\n'],
      ['has a sign', '-1\n'],
      ['has more than 64 bits', '18446744073709551616\n'],
      ['does not fit in a signed 64-bit number', '9223372036854775808\n'],
      ['never ends', '1'.repeat(5000)],
    ])('that %s is an error with its path', (_what, content) => {
      const path = statisticsFile('rd_req');
      overwriteCounter(path, content);
      expect(() => web.disk('xvda').read()).toThrow(
        error('ERR_XEN_STATS_UNAVAILABLE', { path, domid, disk: 'xvda' }),
      );
    });

    test('whose directory does not exist is an error', async () => {
      await host.attachDisk(domid, { name: 'xvdc', source: '/dev/vg/c' });
      const device = join(host.connectOptions.sysfs, `bus/xen-backend/devices/vbd-${domid}-51744`);
      rmSync(join(device, 'statistics'), { recursive: true });
      expect(() => web.disk('xvdc')).toThrow(
        error('ERR_XEN_STATS_UNAVAILABLE', {
          errno: 2,
          syscall: 'open',
          message: expect.stringMatching(/^cannot open bus path/),
        }),
      );
    });

    test('that does not exist, like all others, is an error', () => {
      for (const name of Object.keys(COUNTERS)) rmSync(statisticsFile(name));
      expect(() => web.disk('xvda')).toThrow(error('ERR_XEN_STATS_UNAVAILABLE'));
    });
  });

  describe('before the guest’s frontend has connected', () => {
    beforeEach(async () => {
      await host.attachDisk(domid, {
        name: 'xvdc',
        source: '/dev/vg/c',
        physicalSectorSize: 4096,
        connected: false,
        counters: { rd_sect: 8 },
      });
    });

    test('the sector size is unknown, and counts as 512', async () => {
      expect(web.disks().find(({ name }) => name === 'xvdc')).toMatchObject({
        state: 2,
        sectors: undefined,
        physicalSectorSize: undefined,
      });
      expect(web.blockStats('xvdc').rdBytes).toBe(8 * 512);
      const disk = web.disk('xvdc');
      expect(disk.info.physicalSectorSize).toBeUndefined();
      await host.connectFrontend(domid, 'xvdc');
      expect(web.blockStats('xvdc').rdBytes).toBe(8 * 4096);
      expect(disk.info.physicalSectorSize).toBe(4096);
    });

    test.each(['0', '513', '1000', '131072', '', 'many', '-512', '512 ', '00512\u0000'])(
      'an invalid sector size of %j counts as 512',
      async (size) => {
        const node = `/local/domain/0/backend/vbd/${domid}/51744/physical-sector-size`;
        if (!size.includes('\0')) await host.write(node, size);
        expect(web.blockStats('xvdc').rdBytes).toBe(8 * 512);
      },
    );
  });

  describe('an argument is refused:', () => {
    test.each([undefined, null, 51712, {}])('the path %p', (path) => {
      const argument = path as string;
      const type = error('ERR_INVALID_ARG_TYPE', {
        message: expect.stringContaining('"path"'),
      });
      expect(() => web.blockStats(argument)).toThrow(type);
      expect(() => web.blockStatsFlags(argument)).toThrow(type);
      expect(() => web.disk(argument)).toThrow(type);
    });

    test.each([null, 5, 'xvda'])('the options %p', (options) => {
      expect(() => web.blockStats('xvda', options as unknown as object)).toThrow(
        error('ERR_INVALID_ARG_TYPE'),
      );
    });

    test.each([0, 4096, '512', null])('the sector size %p', (sectorSize) => {
      const options = { sectorSize: sectorSize as unknown as 512 };
      expect(() => web.blockStats('xvda', options)).toThrow(error('ERR_INVALID_ARG_TYPE'));
    });

    test.each(['vda', 'xvdz', 'no disk', '/dev/vg/none', '../../etc', 'xvda\n'])(
      'the disk %j',
      (path) => {
        expect(() => web.blockStats(path)).toThrow(
          error('ERR_XEN_INVALID_DISK', {
            message: `invalid path: ${path} (domain web1 has xvda, xvdb)`,
            disk: path,
          }),
        );
      },
    );

    test('the empty disk name of disk()', () => {
      expect(() => web.disk('')).toThrow(error('ERR_XEN_INVALID_DISK'));
    });
  });

  describe('after close()', () => {
    test('every method fails with ERR_XEN_CLOSED', () => {
      const disk = web.disk('xvda');
      xen.close();
      xen.close();
      const closed = error('ERR_XEN_CLOSED');
      expect(() => disk.read()).toThrow(closed);
      expect(() => {
        disk.readInto(new Float64Array(12));
      }).toThrow(closed);
      expect(() => web.blockStats('xvda')).toThrow(closed);
      expect(() => web.blockStats('')).toThrow(closed);
      expect(() => web.blockStatsFlags('xvda', { nparams: 0 })).toThrow(closed);
      expect(() => web.disks()).toThrow(closed);
      expect(() => xen.domains()).toThrow(closed);
      expect(() => xen.domain('web1')).toThrow(closed);
    });
  });
});
