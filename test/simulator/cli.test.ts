import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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

const COMMANDS = ['list', 'stat', 'top', 'devid', 'serve', 'demo', 'completion'];

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
              physicalSectorSize: 4096,
              counters: { rd_sect: 8 },
            },
          ],
        },
        { name: '17', disks: [{ name: 'xvda', source: '/srv/a', kind: 'qdisk' }] },
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

    test('prints JSON with --json, with all 64 bits of a counter', () => {
      const { stdout } = cli('stat', 'web1', 'xvda', '--json', ...hostOptions);
      expect(stdout).toContain('"wr_bytes": 9223372036854775296');
      expect(JSON.parse(stdout)).toMatchObject({
        domid: 1,
        domain: 'web1',
        disk: 'xvda',
        rd_req: 67,
      });
    });

    test('finds a domain by domid, and by a name of digits if no domain has that domid', () => {
      expect(cli('stat', '1', 'xvda', ...hostOptions).stdout).toContain('xvda rd_req 67');
      expect(cli('stat', '17', 'xvda', ...hostOptions).stderr).toBe(
        'xen-block-stats: unsupported disk driver qemu (disk xvda of domain 17 is served by qdisk, not by blkback)\n',
      );
    });
  });

  describe('list', () => {
    test('prints the running domains with their disks', () => {
      const { stdout, status } = cli('list', ...hostOptions);
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

    test('prints the disks of one domain, given by its UUID', () => {
      const { stdout } = cli('list', 'AAAAAAAA-bbbb-4ccc-8ddd-eeeeeeeeeeee', ...hostOptions);
      expect(stdout.split('\n')).toHaveLength(4);
    });

    test('prints JSON with --json', () => {
      expect(JSON.parse(cli('list', 'web1', '--json', ...hostOptions).stdout)).toMatchObject([
        { domid: 1, name: 'web1', disks: [{ name: 'xvda', devid: 51712 }, { name: 'xvdb' }] },
      ]);
    });
  });

  describe('devid', () => {
    test('prints the devids of disk names, as text or JSON', () => {
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
        /^xen-block-stats: cannot connect to xenstored: ENOENT .* \(to try the command without Xen: --demo\)\n$/,
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
        ['stat', 'a', 'b', 'c'],
        "too many arguments for 'stat'. Expected 2 arguments but got 3.",
        'xen-block-stats stat',
      ],
      [['devid'], "missing required argument 'name'", 'xen-block-stats devid'],
      [['list', '--jsn'], "unknown option '--jsn' (Did you mean --json?)", 'xen-block-stats list'],
      [['top', '--human'], "unknown option '--human'", 'xen-block-stats top'],
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
