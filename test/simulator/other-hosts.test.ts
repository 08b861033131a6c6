import { connect, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';

const GUEST = {
  name: 'web1',
  domid: 9,
  disks: [
    { name: 'xvda', source: '/dev/vg/root', counters: { rd_req: 42 } },
    { name: 'xvdb', source: '/dev/vg/data', backendDomid: 0 },
  ],
};

async function onHost(
  options: Parameters<typeof SimulatedHost.start>[0],
  test: (xen: Connection, host: SimulatedHost) => Promise<void> | void,
): Promise<void> {
  const host = await SimulatedHost.start(options);
  const xen = connect(host.connectOptions);
  try {
    await test(xen, host);
  } finally {
    xen.close();
    await host.stop();
  }
}

describe('in a driver domain, which may read little besides its own xenstore directory,', () => {
  const storage = { domid: 5, guests: [GUEST] };

  test('lists the domains that it serves', async () => {
    await onHost(storage, (xen) => {
      expect(xen.domains().map(({ domid, name, uuid }) => ({ domid, name, uuid }))).toEqual([
        { domid: 9, name: undefined, uuid: undefined },
      ]);
    });
  });

  test('lists and reads the disks that it serves', async () => {
    await onHost(storage, (xen) => {
      const web = xen.domain(9);
      expect(web.disks().map(({ name, backend }) => [name, backend])).toEqual([
        ['xvda', '/local/domain/5/backend/vbd/9/51712'],
      ]);
      expect(web.blockStats('/dev/vg/root').rdReq).toBe(42);
      expect(web.blockStats('').rdReq).toBe(42);
    });
  });

  test('names a disk that cannot be read, and its domain by the domid', async () => {
    await onHost(storage, async (xen, host) => {
      await host.attachDisk(9, { name: 'xvdc', source: '/dev/c', format: 'vhd' });
      expect(() => xen.domain(9).disk('xvdc')).toThrow(
        expect.objectContaining({
          code: 'ERR_XEN_UNSUPPORTED_FORMAT',
          message: 'unsupported format vhd (disk xvdc of domain 9 is not raw)',
        }),
      );
    });
  });

  test('reports a domain that it no longer serves as not running', async () => {
    await onHost(storage, async (xen, host) => {
      const disk = xen.domain(9).disk('xvda');
      await host.removeGuest(9);
      expect(() => disk.read()).toThrow(
        expect.objectContaining({
          code: 'ERR_XEN_DOMAIN_NOT_RUNNING',
          message: 'domain is not running (9, which had the domid 9)',
        }),
      );
      expect(() => xen.domain(9)).toThrow(expect.objectContaining({ code: 'ERR_XEN_NO_DOMAIN' }));
    });
  });
});

describe('on a XAPI host, which has no nodes below /libxl,', () => {
  test('finds disks by name and by source', async () => {
    const source = '/dev/sm/backend/0f5a-sr/11111111-2222-4333-8444-555555555555';
    const disks = [
      { name: 'xvda', source, counters: { wr_req: 7 } },
      { name: 'xvdb', source: '/dev/sm/backend/b', kind: 'vbd3' as const },
      { name: 'xvdd', deviceType: 'cdrom' as const },
    ];
    await onHost({ toolstack: 'xapi', guests: [{ name: 'web1', disks }] }, (xen) => {
      const web = xen.domain('web1');
      expect(web.disks().map(({ name, driver }) => `${name} ${driver}`)).toEqual([
        'xvda phy',
        'xvdb tap',
        'xvdd phy',
      ]);
      expect(web.blockStats('xvda').wrReq).toBe(7);
      expect(web.blockStats(source).wrReq).toBe(7);
      const { wrReq, skipped } = web.blockStats('', { partial: true });
      expect(wrReq).toBe(7);
      expect(skipped?.map(({ disk }) => disk)).toEqual(['xvdb', 'xvdd']);
    });
  });
});

describe('the first disk of another kind of backend is in the next disks()', () => {
  const disks = [{ name: 'xvda', source: '/dev/a' }];
  test.each([
    ['of libxl', { toolstack: 'xl' }, disks],
    ['of libxl, as the only disk', { toolstack: 'xl' }, []],
    ['of XAPI', { toolstack: 'xapi' }, disks],
    ['of XAPI, as the only disk', { toolstack: 'xapi' }, []],
    ['that is a driver domain', { domid: 5 }, disks],
  ] as const)('on a host %s', async (_what, options, before) => {
    const guests = [{ name: 'web1', domid: 9, disks: before }];
    await onHost({ ...options, guests }, async (xen, host) => {
      const web = xen.domain(9);
      const kinds = () => web.disks().map(({ kind }) => kind);
      for (let i = 0; i < 3; i++) expect(kinds()).toEqual(before.map(() => 'vbd'));
      for (const [name, kind] of [['xvdb', 'qdisk'] as const, ['xvdc', 'vbd3'] as const]) {
        await host.attachDisk(9, { name, kind, source: `/srv/${name}` });
        expect(kinds().at(-1)).toBe(kind);
        expect(web.blockStats('', { partial: true }).skipped?.at(-1)?.disk).toBe(name);
      }
    });
  });
});
