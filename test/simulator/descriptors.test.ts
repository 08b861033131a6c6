import { join } from 'node:path';
import { connect, type Connection, type Domain } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { countOpenStatistics } from '../support/open-statistics';
import { evaluate } from '../support/program';
import { overwriteCounter } from '../support/counter-file';

/* A disk holds seven descriptors, for as long as it can be read. */

const error = (code: string) => expect.objectContaining({ code });
const ROOT_DISK = { name: 'xvda', source: '/dev/vg/root' };

describe('the descriptors of disks', () => {
  let host: SimulatedHost;
  let xen: Connection;
  let web: Domain;

  beforeEach(async () => {
    host = await SimulatedHost.start();
    await host.addGuest({ name: 'web1', domid: 1, disks: [ROOT_DISK] });
    xen = connect(host.connectOptions);
    web = xen.domain('web1');
    web.disk('xvda');
    expect(countOpen()).toBe(7);
  });
  afterEach(async () => {
    xen.close();
    expect(countOpen()).toBe(0);
    await host.stop();
  });

  const countOpen = () => countOpenStatistics(host.connectOptions.sysfs);

  /** Replaces the domain by another one with the same domid. */
  async function replaceDomain(): Promise<void> {
    await host.removeGuest(1);
    const uuid = '11111111-2222-4333-8444-555555555555';
    await host.addGuest({ name: 'web2', domid: 1, uuid, disks: [ROOT_DISK] });
  }

  test('are closed when a counter cannot be read, and opened again when it can', () => {
    const disk = web.disk('xvda');
    const device = join(host.connectOptions.sysfs, 'bus/xen-backend/devices/vbd-1-51712');
    const file = join(device, 'statistics/rd_req');
    overwriteCounter(file, 'rubbish\n');
    expect(() => disk.read()).toThrow(error('ERR_XEN_STATS_UNAVAILABLE'));
    expect(countOpen()).toBe(0);
    overwriteCounter(file, '5\n');
    expect(disk.read().rdReq).toBe(5);
    expect(countOpen()).toBe(7);
  });

  test('are closed when the disk has been detached', async () => {
    const disk = web.disk('xvda');
    await host.detachDisk(1, 'xvda');
    expect(() => disk.read()).toThrow(error('ERR_XEN_INVALID_DISK'));
    expect(countOpen()).toBe(0);
  });

  test('are closed when another disk has the name', async () => {
    const disk = web.disk('xvda');
    await host.detachDisk(1, 'xvda');
    await host.attachDisk(1, { name: 'xvda', source: '/dev/vg/b' });
    // another spelling, by which the former disk was not opened
    web.disk('51712');
    expect(countOpen()).toBe(7);
    await host.detachDisk(1, 'xvda');
    await host.attachDisk(1, ROOT_DISK);
    disk.read();
    expect(web.disk('51712')).toBe(disk);
    expect(countOpen()).toBe(7);
  });

  test.each(['vhd', 'qcow2'] as const)(
    'are closed at once if the disk cannot be read: its format is %s',
    async (format) => {
      await host.attachDisk(1, { name: 'xvdb', source: '/srv/b', format });
      const unsupported = error('ERR_XEN_UNSUPPORTED_FORMAT');
      expect(() => web.disk('xvdb')).toThrow(unsupported);
      expect(web.blockStats('', { partial: true }).skipped).toEqual([
        { disk: 'xvdb', error: unsupported },
      ]);
      expect(countOpen()).toBe(7);
    },
  );

  test.each<[string, () => unknown]>([
    ['disks()', () => web.disks()],
    ['a read', () => web.blockStats('')],
    ['domains()', () => xen.domains()],
    ['domain(name)', () => xen.domain('web1')],
  ])('are closed by %s when the domain has ended', async (_call, call) => {
    await host.removeGuest(1);
    try {
      call();
    } catch {
      // most of them say that the domain has ended
    }
    expect(countOpen()).toBe(0);
  });

  test.each<[string, () => unknown]>([
    ['disks()', () => web.disks()],
    ['domains()', () => xen.domains()],
    ['domain(domid)', () => xen.domain(1)],
  ])('are closed by %s when another domain has the domid', async (_call, call) => {
    await replaceDomain();
    try {
      call();
    } catch {
      // the disks are asked of the former domain
    }
    expect(countOpen()).toBe(0);
  });

  test('are closed when the start of a set fails', async () => {
    const filter = () => {
      throw new Error('filter');
    };
    await expect(xen.diskSet({ filter })).rejects.toThrow('filter');
    expect(countOpen()).toBe(7);
  });
});

test('a domain remembers 1,024 paths of disks: only others need xenstored', async () => {
  const host = await SimulatedHost.start();
  await host.addGuest({ name: 'web1', domid: 1, disks: [ROOT_DISK] });
  const xen = connect({ ...host.connectOptions, timeoutMs: 5000 });
  const web = xen.domain(1);
  const spell = (zeros: number) => `0x${'0'.repeat(zeros)}ca00`;
  const disk = web.disk(spell(0));
  for (let zeros = 1; zeros < 1024; zeros++) web.disk(spell(zeros));
  const unreachable = error('ERR_XENSTORE_CONNECT');
  await host.faults.down();
  for (const zeros of [0, 1023]) expect(web.disk(spell(zeros))).toBe(disk);
  expect(() => web.disk(spell(1024))).toThrow(unreachable);
  await host.faults.clear();
  // one more, and they are forgotten
  expect(web.disk(spell(1024))).toBe(disk);
  await host.faults.down();
  expect(web.disk(spell(1024))).toBe(disk);
  for (const zeros of [0, 1023]) expect(() => web.disk(spell(zeros))).toThrow(unreachable);
  xen.close();
  await host.stop();
});

test('a connect() that fails leaves no descriptor open', async () => {
  const host = await SimulatedHost.start();
  await host.faults.refuse();
  // in a process of its own, without the descriptors of the host
  const program = `
    const { readdirSync } = require('node:fs');
    const fail = () => { try { xbs.connect(options) } catch ({ code }) { return code } };
    const codes = [fail()];
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 3; i++) codes.push(fail());
    console.log(JSON.stringify({ codes, left: readdirSync('/proc/self/fd').length - before }));`;
  expect(await evaluate(program, { options: host.connectOptions })).toEqual({
    codes: Array(4).fill('ERR_XENSTORE_CONNECT'),
    left: 0,
  });
  await host.stop();
});
