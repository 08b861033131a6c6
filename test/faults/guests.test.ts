import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Connection, type Disk } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import type { RealGuest } from '../support/real-guest';
import { RealHost } from '../support/real-host';
import { XenstoredProxy } from '../support/xenstored-proxy';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * A guest can write any value to the frontend's nodes of its disks (XSA-175). What the package returns about
 * this guest and about other guests does not change.
 */

const GUESTS = [
  {
    name: 'hostile',
    domid: 1,
    disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 11 } }],
  },
  {
    name: 'db',
    domid: 2,
    disks: [
      { name: 'xvda', source: '/dev/b', counters: { rd_req: 22 } },
      { name: 'xvdb', source: '/dev/c', counters: { rd_req: 33 } },
    ],
  },
];

const FRONTEND = '/local/domain/1/device/vbd/51712';

/** Values that a guest can write to its frontend, and that could mislead a reader. */
const WRITES: [what: string, node: string, value: string][] = [
  ['a backend that is another guest’s disk', 'backend', '/local/domain/0/backend/vbd/2/51712'],
  ['a backend that is itself', 'backend', FRONTEND],
  ['a backend path with ..', 'backend', '/local/domain/0/backend/vbd/1/../2/51712'],
  // xenstored accepts 2 KiB from a guest, including the node's permissions
  ['a backend path of the maximum length', 'backend', '/local/domain/0'.padEnd(2000, '/x')],
  ['an empty backend path', 'backend', ''],
  ['the domid of another backend', 'backend-id', '2'],
  ['the devid of another disk', 'virtual-device', '51728'],
  ['an invalid state', 'state', '99'],
  ['another sector size', 'physical-sector-size', '4096'],
];

/** The only paths of requests, whatever guests write. */
const ALLOWED = [
  /^domid$/,
  /^\/local\/domain$/,
  /^\/local\/domain\/\d+(\/name|\/vm)?$/,
  /^\/local\/domain\/0\/backend(\/[a-z0-9_]+(\/\d+(\/\d+\/[a-z-]+)?)?)?$/,
  // libxl's own nodes, which no guest can write
  /^\/libxl\/\d+\/device\/(vbd|virtio_disk)(\/\d+\/backend)?$/,
];
const expectAllowed = (paths: readonly string[]) => {
  expect(paths.filter((path) => !ALLOWED.some((pattern) => pattern.test(path)))).toEqual([]);
};

/** Returns all that the package returns about both guests. */
function everything(xen: Connection) {
  return xen.domains().map((domain) => ({
    domid: domain.domid,
    name: domain.name,
    uuid: domain.uuid,
    disks: domain.disks(),
    reads: domain.disks().map(({ name }) => domain.disk(name).read().rdReq),
    stats: domain.blockStats(''),
  }));
}

describe('a guest of the real xenstored', () => {
  let host: RealHost;
  let guest: RealGuest;
  let xen: Connection;
  let disk: Disk;
  let before: ReturnType<typeof everything>;

  beforeEach(async () => {
    host = await RealHost.start();
    for (const options of GUESTS) await host.addGuest(options);
    guest = await host.introduce(1);
    xen = connect(host.connectOptions);
    disk = xen.domain(1).disk('xvda');
    before = everything(xen);
  });
  afterEach(async () => {
    await host.stop();
    xen.close();
    guest.close();
  });

  function expectNothingChanged(): void {
    expect(disk.read().rdReq).toBe(11);
    expect(everything(xen)).toEqual(before);
    // nor for a new connection
    const other = connect(host.connectOptions);
    expect(everything(other)).toEqual(before);
    other.close();
  }

  test.each(WRITES)('that writes %s changes nothing', async (_what, node, value) => {
    expect(await guest.write(`${FRONTEND}/${node}`, value)).toBe('OK');
    expect(await guest.read(`${FRONTEND}/${node}`)).toBe(value);
    expectNothingChanged();
  });

  test('that removes its frontend nodes changes nothing', async () => {
    for (const node of ['backend', 'virtual-device', 'state']) {
      expect(await guest.remove(`${FRONTEND}/${node}`)).toBe('OK');
    }
    expectNothingChanged();
  });

  test('that fills its directory up to its quota changes nothing', async () => {
    let response = 'OK';
    for (let i = 0; response === 'OK'; i++) {
      response = await guest.write(`${FRONTEND}/${i}`, 'x'.repeat(1900));
    }
    expect(response).toBe('ENOSPC');
    expectNothingChanged();
  }, 30_000);

  test('cannot write trusted nodes', async () => {
    const uuid = String(before.find(({ domid }) => domid === 1)?.uuid);
    for (const path of [
      '/local/domain/1',
      '/local/domain/1/name',
      '/local/domain/1/vm',
      `/vm/${uuid}/name`,
      '/local/domain/0/backend/vbd/1/51712/params',
      '/local/domain/0/backend/vbd/1/51728/dev',
      '/local/domain/0/backend/vbd/1/51712/physical-sector-size',
      '/libxl/1/device/vbd/51712/backend',
      '/local/domain/3/name',
    ]) {
      expect([path, await guest.write(path, 'x')]).toEqual([path, 'EACCES']);
    }
  });

  test('causes no requests about other nodes', async () => {
    for (const [, node, value] of WRITES) await guest.write(`${FRONTEND}/${node}`, value);
    const directory = mkdtempSync(join(tmpdir(), 'requests-'));
    const trace = join(directory, 'trace');
    const program = `
      const xen = require('xen-block-stats').connect(${JSON.stringify(host.connectOptions)});
      for (const domain of xen.domains()) {
        for (const { name } of domain.disks()) domain.disk(name).read();
        domain.blockStats('');
      }`;
    const calls = 'trace=write,writev,sendto,sendmsg';
    const { status } = spawnSync(
      'strace',
      ['-f', '-qq', '-s', '5000', '-e', calls, '-o', trace, process.execPath, '-e', program],
      { cwd: ROOT },
    );
    expect(status).toBe(0);
    const paths = readFileSync(trace, 'latin1').match(/\/(local|libxl|vm|tool)[^"\\]*/g) ?? [];
    rmSync(directory, { recursive: true });
    expect(paths).toContain('/local/domain/0/backend/vbd/1/51712/params');
    expectAllowed(paths);
  });
});

test('a guest of the simulated host causes no requests about other nodes', async () => {
  const host = await SimulatedHost.start({ guests: GUESTS });
  for (const [, node, value] of WRITES) await host.write(`${FRONTEND}/${node}`, value);
  await host.write(`${FRONTEND}/backend`, '/local/domain/0'.padEnd(4096, '/x'));
  const proxy = await XenstoredProxy.start(host);
  const xen = connect(proxy.connectOptions);
  await proxy.requests();
  expect(everything(xen).map(({ reads }) => reads)).toEqual([[], [11], [22, 33]]);
  expect((await xen.diskSet()).sample().values).toHaveLength(3 * 12);
  const requests = await proxy.requests();
  expect(new Set(requests.map(({ type }) => type))).toEqual(
    new Set(['read', 'directory', 'watch']),
  );
  const paths = requests.map(({ path }) => path);
  expect(paths).toContain('/local/domain/0/backend/vbd/1/51712/params');
  expectAllowed(paths);
  xen.close();
  await proxy.stop();
  await host.stop();
});
