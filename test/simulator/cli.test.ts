import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { spawnSync } from '../support/child-process';
import { MAIN, ROOT } from '../support/paths';

/** Runs the command line with these arguments. */
function cli(...args: string[]) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
  });
  return { stdout, stderr, status };
}

const COMMANDS = ['list', 'stat', 'top', 'record', 'devid', 'serve', 'demo', 'completion'];

/** The result of a command that prints this text and succeeds. */
const printed = (stdout: string) => ({ stdout, stderr: '', status: 0 });

describe('xen-block-stats', () => {
  let host: SimulatedHost;
  let hostOptions: string[];

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
              sectors: 209715200,
              physicalSectorSize: 4096,
              counters: { rd_sect: 8 },
            },
          ],
        },
        { name: '17', disks: [{ name: 'xvda', source: '/srv/a', kind: 'virtio_disk' }] },
      ],
    });
    const { xenstore, sysfs } = host.connectOptions;
    hostOptions = ['--xenstore', xenstore, '--sysfs', sysfs];
  });
  afterAll(async () => {
    await host.stop();
  });

  describe('stat', () => {
    test('prints the counters of a disk as virsh domblkstat does', () => {
      expect(cli('stat', 'web1', 'xvda', ...hostOptions)).toEqual(
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
      expect(cli('stat', 'web1', 'xvda', '--human', ...hostOptions)).toEqual(
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

    test('prints the sum without a disk, and warns of the disk whose bytes libvirt multiplies', () => {
      const { stdout, stderr, status } = cli('stat', '1', ...hostOptions);
      expect(stdout.split('\n').slice(0, 2)).toEqual([' rd_req 67', ' rd_bytes 4239360']);
      expect(stderr).toMatch(
        /^xen-block-stats: libvirt's bytes are 8 times .* xvdb .*; --sector-size 512 gives true bytes\n$/,
      );
      expect(status).toBe(0);
    });

    test('prints true bytes with --sector-size 512', () => {
      const { stdout, stderr } = cli(
        'stat',
        'web1',
        'xvdb',
        '--sector-size',
        '512',
        ...hostOptions,
      );
      expect(stdout).toContain('xvdb rd_bytes 4096\n');
      expect(stderr).toBe('');
    });

    test('prints JSON with --json: the names of the interface, and all 64 bits of a counter', () => {
      const { stdout } = cli('stat', 'web1', '51712', '--json', ...hostOptions);
      expect(stdout).toContain('"wrBytes": 9223372036854775296');
      expect(JSON.parse(stdout)).toEqual({
        ...{ domid: 1, domain: 'web1', disk: 'xvda' },
        ...{ rdReq: 67, rdBytes: 4206592, wrReq: 129, wrBytes: 2 ** 63, flushReq: 1, ooReq: 0 },
      });
    });

    test('leaves disks that cannot be read out of the sum with --partial, and tells of them', () => {
      const message =
        'unsupported disk driver standalone (disk xvda of domain 17 is served by virtio_disk, not by blkback)';
      const { stdout, stderr, status } = cli('stat', '17', '--partial', ...hostOptions);
      expect(stdout).toContain(' rd_req 0\n');
      expect(stderr).toBe(`xen-block-stats: xvda is not in the sum: ${message}\n`);
      expect(status).toBe(0);
      expect(
        JSON.parse(cli('stat', '17', '--partial', '--json', ...hostOptions).stdout),
      ).toMatchObject({
        rdReq: 0,
        skipped: [{ disk: 'xvda', code: 'ERR_XEN_UNSUPPORTED_DRIVER', message }],
      });
    });

    test('asks QEMU, and reads tapdisk, without being told to', () => {
      const other = (...args: string[]) => cli('stat', ...args, '--demo').stdout;
      expect(other('mail', 'xvda')).toBe(
        [
          ...[
            'xvda rd_req 131',
            'xvda rd_bytes 4206592',
            'xvda wr_req 256',
            'xvda wr_bytes 8388608',
          ],
          ...['xvda errs 0', 'xvda rd_total_times 91695475', 'xvda wr_total_times 392925652', ''],
        ].join('\n'),
      );
      expect(other('files', 'xvda', '--human')).toContain(
        ' total duration of reads (ns):   79230000\n',
      );
      // an empty drive is not in the sum
      expect(JSON.parse(other('mail', '--json'))).toEqual({
        ...{ domid: 2, domain: 'mail', rdReq: 131, rdBytes: 4206592, wrReq: 256, wrBytes: 8388608 },
        ...{ ioErrors: 0, rdTimeNs: 91695475, wrTimeNs: 392925652 },
      });
      const { disks } = JSON.parse(other('mail', 'xvda', '0.2', '1', '--json')) as {
        disks: { rAwait: number; wAwait: number }[];
      };
      expect(disks).toHaveLength(1);
    });

    describe('with an interval', () => {
      /** The rows of each report, without figures. */
      const rowsOf = (stdout: string) =>
        stdout
          .split('\n\n')
          .filter((report) => report !== '')
          .map((report) =>
            report
              .split('\n')
              .slice(2)
              .map((line) => line.split(/ +/).slice(0, 2).join(' ')),
          );

      test.each([
        [
          ['xvda', '0.1', '2'],
          ['web1 xvda', 'total 1'],
        ],
        [
          ['51712', '0.1', '2'],
          ['web1 xvda', 'total 1'],
        ],
        [
          ['', '0.1', '2'],
          ['web1 xvda', 'web1 xvdb', 'total 2'],
        ],
        [
          ['0.1', '2'],
          ['web1 xvda', 'web1 xvdb', 'total 2'],
        ],
      ])('%j prints the rates of each interval, as top --batch does', (operands, rows) => {
        const { stdout, stderr, status } = cli('stat', 'web1', ...operands, ...hostOptions);
        expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
        expect(rowsOf(stdout)).toEqual([rows, rows]);
      });

      test('prints rates in megabytes with -m, with units with -h, and JSON with --json', () => {
        const rates = (...options: string[]) =>
          cli('stat', 'web1', 'xvda', '0.1', '1', ...options, ...hostOptions).stdout;
        expect(rates('-m')).toMatch(/ rMB\/s +wMB\/s .*\nweb1 +xvda( +0\.00){10}\n/);
        expect(rates('-h')).toMatch(/\nweb1 +xvda +0\.00 +0\.00 +0\.00 B\/s /);
        expect(JSON.parse(rates('--json'))).toMatchObject({
          disks: [{ domain: 'web1', disk: 'xvda', rPerSec: 0 }],
        });
      });

      test('fails if the disk cannot be read', () => {
        const { stderr, status } = cli('stat', '17', 'xvda', '1', ...hostOptions);
        expect(stderr).toMatch(/^xen-block-stats: unsupported disk driver standalone .*\n$/);
        expect(status).toBe(1);
      });
    });

    test('finds a domain by domid, and by a name of digits if no domain has that domid', () => {
      expect(cli('stat', '1', 'xvda', ...hostOptions).stdout).toContain('xvda rd_req 67');
      expect(cli('stat', '17', 'xvda', ...hostOptions).stderr).toBe(
        'xen-block-stats: unsupported disk driver standalone (disk xvda of domain 17 is served by virtio_disk, not by blkback)\n',
      );
    });
  });

  describe('list', () => {
    test('prints the running domains with their disks', () => {
      const { stdout, status } = cli('list', ...hostOptions);
      expect(stdout.replaceAll(/ +/g, ' ')).toBe(
        [
          'DOMID DOMAIN DISK DEVID BACKEND DRIVER READABLE FORMAT MODE STATE SIZE SECTOR SOURCE',
          '0 Domain-0 - - - - - - - - - - -',
          '1 web1 xvda 51712 vbd phy yes raw w connected 1.00G 512/512 /dev/vg/root',
          '1 web1 xvdb 51728 vbd phy yes raw w connected 100G 512/4096 /dev/vg/data',
          '2 17 xvda 51712 virtio_disk standalone no raw w initialising - - /srv/a',
          '',
        ].join('\n'),
      );
      expect(status).toBe(0);
    });

    test('prints the disks of one domain, given by its UUID', () => {
      const { stdout } = cli('list', 'AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee', ...hostOptions);
      expect(stdout.split('\n')).toHaveLength(4);
    });

    test('prints JSON with --json: descriptions as in the interface, and whether disks are readable', () => {
      const { xenstore, sysfs } = host.connectOptions;
      const xen = connect({ xenstore, sysfs });
      try {
        const [xvda] = xen.domain('17').disks();
        const { name, ...info } = { ...xvda };
        expect(JSON.parse(cli('list', '17', '--json', ...hostOptions).stdout)).toEqual([
          {
            domid: 2,
            domain: '17',
            uuid: info.uuid,
            disks: [{ ...info, disk: name, readable: false }],
          },
        ]);
      } finally {
        xen.close();
      }
      expect(JSON.parse(cli('list', 'web1', '--json', ...hostOptions).stdout)).toMatchObject([
        { domain: 'web1', disks: [{ disk: 'xvda', readable: true }, { disk: 'xvdb' }] },
      ]);
    });

    test('aligns columns on the screen, and quotes names with blanks', async () => {
      const { domid } = await host.addGuest({
        name: '数据 ünï',
        disks: [{ name: 'xvda', source: '/dev/vg/x' }],
      });
      const { stdout } = cli('list', ...hostOptions);
      await host.removeGuest(domid);
      const [headings, ...lines] = stdout.split('\n');
      expect(headings).toMatch(/^DOMID {2}DOMAIN {6}DISK /);
      expect(lines).toContainEqual(expect.stringMatching(/^3 {6}"数据 ünï" {2}xvda /));
      expect(lines).toContainEqual(expect.stringMatching(/^1 {6}web1 {8}xvda /));
    });

    test('prints the size of disks with sectors of 4096 bytes', async () => {
      const large = { source: '/srv/a', sectorSize: 4096 };
      const disks = (['vbd', 'vbd3', 'qdisk'] as const).map((kind, i) => ({
        name: `d${i}p0`,
        kind,
        ...large,
      }));
      const { domid } = await host.addGuest({ name: 'large', disks });
      const { stdout } = cli('list', 'large', ...hostOptions);
      await host.removeGuest(domid);
      expect(stdout.match(/ 1\.00G +4096\/4096 /g)).toHaveLength(3);
    });
  });

  describe('devid', () => {
    test('prints the devids of disk names, as text or JSON', () => {
      expect(cli('devid', 'xvda', 'd536p37')).toEqual(printed('xvda 51712\nd536p37 268572709\n'));
      expect(JSON.parse(cli('devid', 'sda1', '--json').stdout)).toEqual([
        { disk: 'sda1', devid: 2049 },
      ]);
    });
  });

  describe('with --demo', () => {
    test.each([
      ['list', 'web1'],
      ['stat', 'web1', 'xvda'],
      ['stat', 'db'],
    ])('%s uses a simulated host', (...args) => {
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
    ])('of %j prints one line on stderr, with status 1', (args, message) => {
      expect(cli(...args, ...hostOptions)).toEqual({
        stdout: '',
        stderr: `xen-block-stats: ${message}\n`,
        status: 1,
      });
    });

    test('of devid names the invalid disk name, and the devids of the other names are printed', () => {
      const { stdout, stderr, status } = cli('devid', 'xvda', 'vda', 'sda1');
      expect(stdout).toBe('xvda 51712\nsda1 2049\n');
      expect(stderr).toMatch(/^xen-block-stats: invalid disk name: "vda" .*\n$/);
      expect(status).toBe(1);
    });

    test('of an unreachable xenstored gives the errno of the connection, and names --demo', () => {
      const { stderr, status } = cli('list', '--xenstore', '/nonexistent');
      expect(stderr).toMatch(
        /^xen-block-stats: cannot connect to xenstored at \/nonexistent: ENOENT .*; to try the command without Xen: --demo\n$/,
      );
      expect(status).toBe(1);
    });
  });

  describe('wrong usage', () => {
    test.each<[string[], string, string]>([
      [[], 'no command given', 'xen-block-stats'],
      [['nonsense'], "unknown command 'nonsense'", 'xen-block-stats'],
      [['lst'], "unknown command 'lst' (Did you mean list?)", 'xen-block-stats'],
      [['--demo', 'list'], "unknown option '--demo'", 'xen-block-stats'],
      [['stat'], "missing required argument 'domain'", 'xen-block-stats stat'],
      [
        ['stat', 'a', 'b', '1', '2', '3'],
        "too many arguments for 'stat'. Expected 4 arguments but got 5.",
        'xen-block-stats stat',
      ],
      [['devid'], "missing required argument 'name'", 'xen-block-stats devid'],
      [['list', '--jsn'], "unknown option '--jsn' (Did you mean --json?)", 'xen-block-stats list'],
      [
        ['stat', 'a', 'xvda', '0'],
        "the interval '0' is invalid. It must be 0.1 to 86400 seconds.",
        'xen-block-stats stat',
      ],
      [
        ['stat', 'a', '5', 'xvda'],
        "the count 'xvda' is invalid. It must be a whole number from 1.",
        'xen-block-stats stat',
      ],
      [['stat', 'a', '5', '1', '1'], 'too many arguments: 1', 'xen-block-stats stat'],
      [
        ['stat', 'a', 'xvda', '--partial'],
        "option '--partial' is for the sum over all disks",
        'xen-block-stats stat',
      ],
      [
        ['stat', 'a', '5', '--sector-size', '512'],
        "option '--sector-size' is not for rates",
        'xen-block-stats stat',
      ],
      [
        ['stat', 'a', '-m'],
        "option '--megabytes' is for rates: give an interval",
        'xen-block-stats stat',
      ],
      [
        ['top', '--json', '-m'],
        "option '--json' cannot be used with option '-m, --megabytes'",
        'xen-block-stats top',
      ],
      [
        ['list', '--demo', '--xenstore', '/socket'],
        "option '--demo' cannot be used with option '--xenstore <socket>'",
        'xen-block-stats list',
      ],
      [
        ['list', '--sysfs', '/sys', '--demo'],
        "option '--demo' cannot be used with option '--sysfs <directory>'",
        'xen-block-stats list',
      ],
      [['top', '--sector-size', '512'], "unknown option '--sector-size'", 'xen-block-stats top'],
      [['list', '--count', '3'], "unknown option '--count'", 'xen-block-stats list'],
      [['devid', '--demo', 'xvda'], "unknown option '--demo'", 'xen-block-stats devid'],
      [
        ['stat', 'a', '--sector-size', '4096'],
        "option '--sector-size <size>' argument '4096' is invalid. Allowed choices are physical, 512.",
        'xen-block-stats stat',
      ],
      [
        ['serve', '--names', 'xl'],
        "option '--names <names>' argument 'xl' is invalid. Allowed choices are xen, libvirt.",
        'xen-block-stats serve',
      ],
      [
        ['serve', '--listen', 'localhost'],
        "option '--listen <address>' argument 'localhost' is invalid. It must be an address and a port, as 127.0.0.1:9788.",
        'xen-block-stats serve',
      ],
    ])('%j prints what is wrong, and where help is, with status 2', (args, message, program) => {
      expect(cli(...args)).toEqual({
        stdout: '',
        stderr: `xen-block-stats: ${message}\ntry: ${program} --help\n`,
        status: 2,
      });
    });
  });

  describe('help', () => {
    test('lists the commands with --help, and with the command help', () => {
      const { stdout, stderr, status } = cli('--help');
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      expect(stdout).toMatch(/^Usage: xen-block-stats \[options\] \[command\]/);
      for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
      expect(cli('help').stdout).toBe(stdout);
    });

    test.each(COMMANDS)(
      'lists the options of %s with --help, and with help and its name',
      (name) => {
        const { stdout, stderr, status } = cli(name, '--help');
        expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
        expect(stdout).toContain(`Usage: xen-block-stats ${name} `);
        expect(cli('help', name).stdout).toBe(stdout);
      },
    );
  });

  test('prints its version with --version and -V', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(cli('--version')).toEqual(printed(`${version}\n`));
    expect(cli('-V')).toEqual(printed(`${version}\n`));
  });

  describe('the exit status', () => {
    /** Runs a script of bash, in which `xbs` runs the command line, and 4 is a pipe whose reader has ended. */
    function bash(script: string) {
      const start = `xbs() { '${process.execPath}' '${MAIN}' "$@"; }
        exec 4> >(:); wait $!\n`;
      const { stdout, stderr, status } = spawnSync('bash', ['-c', start + script], {
        encoding: 'utf8',
        env: { ...process.env, HOST: hostOptions.join(' ') },
        timeout: 50_000,
      });
      return { stdout, stderr, status };
    }

    const WRITERS = [
      'list $HOST',
      'list --demo --json',
      'stat web1 xvda $HOST',
      'devid xvda',
      'top --batch --count 2 --interval 0.1 $HOST',
      'top --batch --demo --interval 0.1',
      'serve --listen 127.0.0.1:0 $HOST',
      'completion bash',
      'help',
      'top --help',
      '--version',
    ];

    test.each(WRITERS)('of %s is 1 when a write fails, with an error in one line', (command) => {
      expect(bash(`xbs ${command} > /dev/full`)).toEqual({
        stdout: '',
        stderr: 'xen-block-stats: cannot write to stdout: ENOSPC\n',
        status: 1,
      });
    });

    test.each(WRITERS)('of %s is 0 when the reader of its pipe has ended', (command) => {
      expect(bash(`xbs ${command} >&4`)).toEqual(printed(''));
    });

    test.each([
      ['top --sort foo', 2],
      ['lst', 2],
      ['list --xenstore /nonexistent', 1],
      ['devid xvda foo', 1],
    ])('of %s is always %d, also when its messages cannot be printed', (command, status) => {
      const { stdout } = bash(`
        xbs ${command} > /dev/null 2> /dev/full; echo $?
        xbs ${command} > /dev/null 2>&4; echo $?
        xbs ${command} >&4 2>&4; echo $?`);
      expect(stdout).toBe(`${status}\n`.repeat(3));
    });
  });
});
