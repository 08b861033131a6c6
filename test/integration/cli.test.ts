import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SimulatedHost } from 'xen-block-stats/simulator';

const root = join(__dirname, '..', '..');

function cli(...args: string[]) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'dist/cli/main.js'), ...args],
    { encoding: 'utf8' },
  );
  return { stdout, stderr, status };
}

const printed = (stdout: string) => ({ stdout, stderr: '', status: 0 });

describe('xen-block-stats', () => {
  let host: SimulatedHost;
  let where: string[];

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          uuid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
          disks: [
            {
              name: 'xvda',
              source: '/dev/vg/root',
              counters: {
                rd_req: 67,
                rd_sect: 8216,
                wr_req: 129,
                wr_sect: 2n ** 54n - 1n,
                f_req: 1,
              },
            },
            {
              name: 'xvdb',
              source: '/dev/vg/data',
              physicalSectorSize: 4096,
              counters: { rd_sect: 8 },
            },
          ],
        },
        { name: '17', disks: [{ name: 'xvda', source: '/srv/a', kind: 'qdisk' }] },
      ],
    });
    const { xenstore, sysfs } = host.connectOptions;
    where = ['--xenstore', xenstore, '--sysfs', sysfs];
  });
  afterAll(async () => {
    await host.stop();
  });

  describe('stat', () => {
    test('prints what virsh domblkstat prints', () => {
      expect(cli('stat', 'web1', 'xvda', ...where)).toEqual(
        printed(
          [
            'xvda rd_req 67',
            'xvda rd_bytes 4206592',
            'xvda wr_req 129',
            'xvda wr_bytes 9223372036854775296',
            'xvda errs 0',
            'xvda flush_operations 1',
            '',
          ].join('\n'),
        ),
      );
    });

    test('prints virsh’s sentences with --human', () => {
      expect(cli('stat', 'web1', 'xvda', '--human', ...where)).toEqual(
        printed(
          [
            'Device: xvda',
            ' number of read operations:      67',
            ' number of bytes read:           4206592',
            ' number of write operations:     129',
            ' number of bytes written:        9223372036854775296',
            ' error count:                    0',
            ' number of flush operations:     1',
            '',
          ].join('\n'),
        ),
      );
    });

    test('prints the sum without a disk, and says on which disk libvirt’s bytes are not true', () => {
      const { stdout, stderr, status } = cli('stat', '1', ...where);
      expect(stdout.split('\n').slice(0, 2)).toEqual([' rd_req 67', ' rd_bytes 4239360']);
      expect(stderr).toMatch(/^xen-block-stats: libvirt's bytes are 8 times .* xvdb .*\n$/);
      expect(status).toBe(0);
    });

    test('prints true bytes with --sector-size 512', () => {
      const { stdout, stderr } = cli('stat', 'web1', 'xvdb', '--sector-size', '512', ...where);
      expect(stdout).toContain('xvdb rd_bytes 4096\n');
      expect(stderr).toBe('');
    });

    test('prints JSON with --json, to the last digit', () => {
      const { stdout } = cli('stat', 'web1', 'xvda', '--json', ...where);
      expect(stdout).toContain('"wr_bytes": 9223372036854775296');
      expect(JSON.parse(stdout)).toMatchObject({
        domid: 1,
        domain: 'web1',
        disk: 'xvda',
        rd_req: 67,
      });
    });

    test('takes a number for a domid, and if there is none, for a name', () => {
      expect(cli('stat', '1', 'xvda', ...where).stdout).toContain('xvda rd_req 67');
      expect(cli('stat', '17', 'xvda', ...where).stderr).toBe(
        'xen-block-stats: unsupported disk driver qemu (disk xvda of domain 17 is served by qdisk, not by blkback)\n',
      );
    });
  });

  describe('list', () => {
    test('prints the domains and their disks', () => {
      const { stdout, status } = cli('list', ...where);
      expect(stdout.replaceAll(/ +/g, ' ')).toBe(
        [
          'DOMID DOMAIN DISK DEVID BACKEND DRIVER FORMAT MODE STATE SOURCE',
          '0 Domain-0 - - - - - - - -',
          '1 web1 xvda 51712 vbd phy raw w connected /dev/vg/root',
          '1 web1 xvdb 51728 vbd phy raw w connected /dev/vg/data',
          '2 17 xvda 51712 qdisk qemu raw w connected /srv/a',
          '',
        ].join('\n'),
      );
      expect(status).toBe(0);
    });

    test('prints one domain', () => {
      const { stdout } = cli('list', 'AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee', ...where);
      expect(stdout.split('\n')).toHaveLength(4);
    });

    test('prints JSON with --json', () => {
      expect(JSON.parse(cli('list', 'web1', '--json', ...where).stdout)).toMatchObject([
        { domid: 1, name: 'web1', disks: [{ name: 'xvda', devid: 51712 }, { name: 'xvdb' }] },
      ]);
    });
  });

  describe('devid', () => {
    test('prints the numbers of names', () => {
      expect(cli('devid', 'xvda', 'd536p37')).toEqual(printed('xvda 51712\nd536p37 268572709\n'));
      expect(JSON.parse(cli('devid', 'sda1', '--json').stdout)).toEqual([
        { name: 'sda1', devid: 2049 },
      ]);
    });
  });

  describe('with --demo', () => {
    test.each([
      ['list', 'web1'],
      ['stat', 'web1', 'xvda'],
      ['stat', 'db'],
    ])('%s talks to a host of its own', (...args) => {
      const { stdout, stderr, status } = cli(...args, '--demo');
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      expect(stdout).not.toBe('');
    });
  });

  describe('an error', () => {
    test.each([
      [['stat', 'web1', 'xvdz'], 'invalid path: xvdz (domain web1 has xvda, xvdb)'],
      [['stat', 'nosuch'], "no domain with matching name 'nosuch' is running"],
      [['stat', '99999'], "no domain with matching name '99999' is running"],
      [['list', 'nosuch'], "no domain with matching name 'nosuch' is running"],
    ])('of %j is one line on stderr, and status 1', (args, message) => {
      expect(cli(...args, ...where)).toEqual({
        stdout: '',
        stderr: `xen-block-stats: ${message}\n`,
        status: 1,
      });
    });

    test('of a name that is no disk’s says which', () => {
      const { stderr, status } = cli('devid', 'xvda', 'vda');
      expect(stderr).toMatch(/^xen-block-stats: invalid disk name: "vda" .*\n$/);
      expect(status).toBe(1);
    });

    test('of a host that is not there says what to look at', () => {
      const { stderr, status } = cli('list', '--xenstore', '/nonexistent');
      expect(stderr).toMatch(/^xen-block-stats: cannot connect to xenstored: ENOENT .*\n$/);
      expect(status).toBe(1);
    });
  });

  describe('wrong usage', () => {
    test.each([
      [[], 'which command?'],
      [['nonsense'], 'there is no command nonsense'],
      [['stat'], 'stat needs a domain'],
      [['stat', 'a', 'b', 'c'], 'stat takes no c'],
      [['list', 'a', 'b'], 'list takes no b'],
      [['devid'], 'devid needs a disk name'],
      [['list', '--nonsense'], "Unknown option '--nonsense'"],
      [['stat', 'a', '--sector-size', '4096'], '--sector-size is physical or 512, not 4096'],
      [['top', '--count', '0'], '--count is how many times, from 1, not 0'],
      [['serve', '--names', 'xl'], '--names is xen or libvirt, not xl'],
    ])('%j shows the usage, with status 2, whether a host is there or not', (args, message) => {
      const { stdout, stderr, status } = cli(...args, '--xenstore', '/nonexistent');
      expect(stderr).toContain(`xen-block-stats: ${message}\n\nUsage: xen-block-stats`);
      expect({ stdout, status }).toEqual({ stdout: '', status: 2 });
    });
  });

  test('--help prints the usage, and --version the version', () => {
    expect(cli('--help').stdout).toMatch(/^Usage: xen-block-stats <command>/);
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(cli('-V')).toEqual(printed(`${version}\n`));
  });

  test('ends quietly when nobody reads on', () => {
    const { stderr, status } = spawnSync(
      'sh',
      ['-c', `'${process.execPath}' dist/cli/main.js list ${where.join(' ')} | true`],
      { encoding: 'utf8', cwd: root },
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  });
});
