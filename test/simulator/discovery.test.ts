import { connect, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { describeOnHosts } from '../support/hosts';
import type { TestHost } from '../support/real-host';
import { XenstoredProxy } from '../support/xenstored-proxy';

const error = (code: string, more: object = {}) => expect.objectContaining({ code, ...more });
const UUID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';

describeOnHosts('on', (start) => {
  let host: TestHost;
  let xen: Connection;

  beforeAll(async () => {
    host = await start();
    await host.addGuest({
      name: 'web1',
      domid: 1,
      uuid: UUID,
      disks: [
        { name: 'xvda', source: '/dev/vg/root', sectors: 4096 },
        { name: 'sda1', source: '/dev/vg/shared', mode: 'r' },
        { name: 'xvdc', source: '/srv/c.qcow2', kind: 'qdisk', format: 'qcow2' },
        { name: 'xvdd', kind: 'qdisk', deviceType: 'cdrom', mode: 'r' },
        { name: 'xvde', source: '/dev/vg/shared', kind: 'vbd3', format: 'vhd' },
        { name: 'xvdf', source: '/srv/f', kind: 'tap' },
        { name: 'xvdg', source: '/dev/g', kind: 'virtio_disk' },
        { name: 'xvdh', source: '/dev/h', backendDomid: 7 },
        { name: 'xvdi', source: '/dev/i.vhd', format: 'vhd' },
        { name: 'xvdj', deviceType: 'cdrom', mode: 'r' },
      ],
    });
    await host.addGuest({ name: 'storage', domid: 7 });
    await host.addGuest({ name: 'wéb 2', domid: 20 });
    xen = connect(host.connectOptions);
  });
  afterAll(async () => {
    xen.close();
    await host.stop();
  });

  describe('domains()', () => {
    test('lists the running domains by domid, with Domain-0', () => {
      expect(xen.domains().map(({ domid, name }) => [domid, name])).toEqual([
        [0, 'Domain-0'],
        [1, 'web1'],
        [7, 'storage'],
        [20, 'wéb 2'],
      ]);
    });
  });

  describe('domain()', () => {
    test.each([1, 'web1', UUID, UUID.toUpperCase()])('finds a domain by %p', (ref) => {
      expect(xen.domain(ref)).toMatchObject({ domid: 1, name: 'web1', uuid: UUID });
    });

    test('returns the same object for the same domain', () => {
      expect(xen.domain(1)).toBe(xen.domain('web1'));
      expect(xen.domains()[1]).toBe(xen.domain(UUID));
    });

    test('has the new name of a renamed domain as soon as it is looked up', async () => {
      const { domid } = await host.addGuest({ name: 'mail' });
      const mail = xen.domain('mail');
      await host.write(`/local/domain/${domid}/name`, 'post');
      expect(xen.domain('post')).toBe(mail);
      expect(mail.name).toBe('post');
      await host.removeGuest(domid);
    });

    test('returns another object for a domain that has ended and runs again', async () => {
      const guest = { name: 'mail', domid: 30, uuid: UUID.replace('a', 'd') };
      await host.addGuest(guest);
      const former = xen.domain('mail');
      await host.removeGuest(30);
      expect(xen.domains()).not.toContain(former);
      await host.addGuest(guest);
      expect(xen.domain('mail')).not.toBe(former);
      await host.removeGuest(30);
    });

    test.each([
      [8, 'no domain with matching id 8 is running'],
      [32751, 'no domain with matching id 32751 is running'],
      ['nosuch', "no domain with matching name 'nosuch' is running"],
      [
        UUID.replace('a', 'b'),
        `no domain with matching uuid '${UUID.replace('a', 'b')}' is running`,
      ],
      ['', "no domain with matching name '' is running"],
    ])('of %p fails with the message of libvirt', (ref, message) => {
      expect(() => xen.domain(ref)).toThrow(error('ERR_XEN_NO_DOMAIN', { message }));
    });

    test('of a name that several domains have fails, and names their domids', async () => {
      const { domid, uuid } = await host.addGuest({ name: 'web2' });
      await host.write(`/local/domain/${domid}/name`, 'web1');
      expect(() => xen.domain('web1')).toThrow(
        error('ERR_XEN_NO_DOMAIN', {
          message: `2 domains are named 'web1': specify the domid (1, ${domid}) or the uuid`,
        }),
      );
      expect(xen.domain(uuid).domid).toBe(domid);
      await host.removeGuest(domid);
      expect(xen.domain('web1').domid).toBe(1);
    });

    test.each([-1, 0.5, 32752, 2 ** 40, NaN])('of %p is out of range', (ref) => {
      expect(() => xen.domain(ref)).toThrow(error('ERR_OUT_OF_RANGE', { name: 'RangeError' }));
    });

    test.each([undefined, null, {}, 1n])('of %p has a wrong type', (ref) => {
      expect(() => xen.domain(ref as string)).toThrow(
        error('ERR_INVALID_ARG_TYPE', { name: 'TypeError' }),
      );
    });
  });

  describe('disks()', () => {
    test('describes a disk by the nodes of its backend', () => {
      const [disk] = xen
        .domain('web1')
        .disks()
        .filter(({ name }) => name === 'xvda');
      expect(disk).toEqual({
        domid: 1,
        domain: 'web1',
        uuid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
        name: 'xvda',
        devid: 51712,
        kind: 'vbd',
        backend: '/local/domain/0/backend/vbd/1/51712',
        backendDomid: 0,
        driver: 'phy',
        format: 'raw',
        source: '/dev/vg/root',
        mode: 'w',
        deviceType: 'disk',
        state: 4,
        sectors: 4096,
        sectorSize: 512,
        physicalSectorSize: 512,
      });
    });

    test('lists every kind of disk, by devid', () => {
      const disks = xen.domain('web1').disks();
      expect(
        disks.map(({ name, kind, backendDomid, driver, format, source, mode, deviceType }) =>
          [name, kind, backendDomid, driver, format, source ?? '-', mode, deviceType].join(' '),
        ),
      ).toEqual([
        'sda1 vbd 0 phy raw /dev/vg/shared r disk',
        'xvda vbd 0 phy raw /dev/vg/root w disk',
        'xvdc qdisk 0 qemu qcow2 /srv/c.qcow2 w disk',
        'xvdd qdisk 0 qemu raw - r cdrom',
        'xvde vbd3 0 tap vhd /dev/vg/shared w disk',
        'xvdf tap 0 tap raw /srv/f w disk',
        'xvdg virtio_disk 0 standalone raw /dev/g w disk',
        'xvdh vbd 7 phy raw /dev/h w disk',
        'xvdi vbd 0 phy vhd /dev/i.vhd w disk',
        'xvdj vbd 0 phy raw - r cdrom',
      ]);
    });

    test('of a domain without disks is empty', () => {
      expect(xen.domain(0).disks()).toEqual([]);
      expect(xen.domain(20).disks()).toEqual([]);
    });
  });

  describe('blockStats()', () => {
    test.each([
      ['xvdc', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver qemu'],
      ['xvdd', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver qemu'],
      ['xvde', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver tap'],
      ['xvdf', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver tap'],
      ['xvdg', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver standalone'],
      ['xvdh', 'ERR_XEN_UNSUPPORTED_DRIVER', 'unsupported disk driver phy in domain 7'],
      ['xvdi', 'ERR_XEN_UNSUPPORTED_FORMAT', 'unsupported format vhd'],
      ['xvdj', 'ERR_XEN_STATS_UNAVAILABLE', 'cannot open bus path: disk xvdj'],
    ])('of %s fails with %s', (disk, code, message) => {
      expect(() => xen.domain('web1').blockStats(disk)).toThrow(
        error(code, {
          disk,
          domid: 1,
          message: expect.stringMatching(`^${message}.* of domain web1 is `),
        }),
      );
    });

    test('of a source that two disks share fails, and names both', () => {
      expect(() => xen.domain('web1').blockStats('/dev/vg/shared')).toThrow(
        error('ERR_XEN_INVALID_DISK', {
          message: 'invalid path: /dev/vg/shared (it is the source of sda1, xvde of domain web1)',
        }),
      );
    });
  });

  describe('a guest’s own nodes of its disks have no effect:', () => {
    test.each([
      '/local/domain/0/backend/vbd/20/51712',
      '/local/domain/1/data/mine',
      '/local/domain/0/backend/vbd/1/../2/51712',
      '',
      'x'.repeat(2000),
    ])('a backend of %p', async (backend) => {
      const before = xen.domain('web1').disks();
      await host.write('/local/domain/1/device/vbd/51712/backend', backend);
      expect(xen.domain('web1').disks()).toEqual(before);
      expect(xen.domain('web1').blockStats('xvda').errs).toBe(0);
    });

    test('a removed frontend directory', async () => {
      await host.remove('/local/domain/1/device/vbd');
      expect(xen.domain('web1').disk('xvda').read().rdReq).toBe(0);
    });
  });

  describe('invalid values in xenstore are ignored:', () => {
    afterEach(async () => {
      await host.remove('/local/domain/0/backend/vbd/1/1');
      await host.remove('/libxl/1/device/vbd/1');
      await host.write('/local/domain/0/backend/vbd/1/51712/dev', 'xvda');
      await host.write('/local/domain/0/backend/vbd/1/51712/params', '/dev/vg/root');
    });

    test('the name of another disk', async () => {
      await host.write('/local/domain/0/backend/vbd/1/51712/dev', 'xvdb');
      expect(xen.domain('web1').blockStats('xvda').errs).toBe(0);
      expect(
        xen
          .domain('web1')
          .disks()
          .map(({ name }) => name),
      ).toContain('xvda');
    });

    test('an escape sequence of a terminal', async () => {
      await host.write('/local/domain/0/backend/vbd/1/51712/params', '/dev/\u001b[2J');
      const disk = xen
        .domain('web1')
        .disks()
        .find(({ devid }) => devid === 51712);
      expect(disk?.source).toBe('/dev/\uFFFD[2J');
    });

    test.each(['4294967296', '2147483648', '051712', '-1', 'abc'])(
      'a devid of %s',
      async (devid) => {
        const before = xen.domain('web1').disks().length;
        const directory = `/local/domain/0/backend/vbd/1/${devid}`;
        await host.write(`${directory}/dev`, 'xvda');
        expect(xen.domain('web1').disks()).toHaveLength(before);
        await host.remove(directory);
      },
    );

    describe('in the nodes of /libxl,', () => {
      const directory = '/libxl/1/device/vbd/1';
      const sources = () =>
        xen
          .domain('web1')
          .disks()
          .map(({ source }) => source);

      beforeEach(() => host.write(`${directory}/params`, '/dev/libxl'));

      test.each([
        ['of another domain', '/local/domain/7/backend/vbd/2/1'],
        ['of another disk', '/local/domain/7/backend/vbd/1/2'],
        ['of another domain and disk', '/local/domain/7/backend/vbd/2/2'],
        ['with ..', '/local/domain/7/backend/vbd/1/../1/1'],
        ['of an unknown kind', '/local/domain/7/backend/nonsense/1/1'],
        ['of this domain', '/local/domain/0/backend/vbd/1/1'],
        ['that is none', '/tool/7'],
      ])('a backend %s', async (_what, backend) => {
        await host.write(`${directory}/backend`, backend);
        expect(sources()).not.toContain('/dev/libxl');
      });

      test('but not the backend of another domain, of this very disk', async () => {
        await host.write(`${directory}/backend`, '/local/domain/7/backend/vbd/1/1');
        expect(sources()).toContain('/dev/libxl');
      });
    });
  });
});

test('domains() leaves out a domain that ends while it is listed', async () => {
  const host = await SimulatedHost.start({ guests: [{ name: 'web1' }, { name: 'web2' }] });
  const proxy = await XenstoredProxy.start(host);
  const xen = connect(proxy.connectOptions);
  // for each node of web2
  await proxy.error('ENOENT', { path: '/local/domain/2' });
  expect(xen.domains().map(({ domid }) => domid)).toEqual([0, 1]);
  xen.close();
  await proxy.stop();
  await host.stop();
});
