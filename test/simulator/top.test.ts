import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { withDiskSet } from '../../dist/cli/rates/sampling';
import { RealHost } from '../support/real-host';
import { Tmux } from '../support/tmux';
import { spawn, spawnSync } from '../support/child-process';
import { needing } from '../support/needs';
import { MAIN } from '../support/paths';

/*
 * Runs the command top in a real terminal (tmux), with real keys, and through pipes.
 */

// longer than the timeout of Tmux.until
jest.setTimeout(60_000);

const program = [process.execPath, MAIN];

/** The index of the line that begins with a name, in which blanks are collapsed; -1 if there is none. */
const lineOf = (lines: string[], name: string) =>
  lines.findIndex((line) => line.replaceAll(/ +/g, ' ').startsWith(name));

describe('top', () => {
  let host: SimulatedHost;
  let hostOptions: string[];
  let tmux: Tmux | undefined;

  /** Starts top in a terminal, and waits for its screen. */
  async function start(
    args = '',
    env: Record<string, string> = {},
    size?: { columns: number; rows: number },
  ): Promise<Tmux> {
    tmux = await Tmux.start({ LANG: 'C.UTF-8', TERM: 'screen', ...env }, size);
    tmux.type(`${[...program, 'top', ...hostOptions].join(' ')} ${args}; echo status $?`, 'Enter');
    await tmux.until('the headings', (lines) => lineOf(lines, 'DOMAIN') === 1);
    return tmux;
  }

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          disks: [
            { name: 'xvda', source: '/dev/a', workload: { readsPerSecond: 100 } },
            { name: 'xvdb', source: '/dev/b', workload: { readsPerSecond: 1000 } },
          ],
        },
        { name: 'db', disks: [{ name: 'xvda', source: '/dev/c' }] },
      ],
    });
    await host.startWorkload();
    hostOptions = [
      '--xenstore',
      host.connectOptions.xenstore,
      '--sysfs',
      host.connectOptions.sysfs,
    ];
  });
  afterAll(async () => {
    await host.stop();
  });
  afterEach(async () => {
    await tmux?.close();
    tmux = undefined;
  });

  const { describe: describeTmux, test: testTmux } = needing('tmux');

  describeTmux('in a terminal', () => {
    test('shows the rates of each disk, the busiest first, and bars of the last samples', async () => {
      const it = await start('--interval 0.2');
      const lines = await it.until('rates', (it) =>
        /xvdb +\d{3,4}\.\d .*[▁-█]{3}$/.test(it[3] ?? ''),
      );
      expect(lines[1]).toMatch(
        /^DOMAIN DISK +r\/s +w\/s +rkB\/s +wkB\/s +rareq-sz +wareq-sz +f\/s +oo\/s +kB\/s *$/,
      );
      expect(lines[2]).toMatch(/^total +3 +[0-9.]+ /);
      const [, , reads, , kilobytes, , requestSize] = lines[3]?.split(/ +/) ?? [];
      expect(requestSize).toBe('16.00');
      expect(Number(kilobytes) / Number(reads)).toBeCloseTo(16, 0);
      expect(lineOf(lines, 'web1 xvda')).toBeGreaterThan(lineOf(lines, 'web1 xvdb'));
    });

    test('shows guests as they start and stop', async () => {
      const it = await start('--interval 0.1');
      const guest = await host.addGuest({
        name: 'newcomer',
        disks: [{ name: 'xvda', source: '/dev/n', counters: { rd_req: 5 } }],
      });
      await it.until('the newcomer', (lines) => lineOf(lines, 'newcomer xvda') > 0);
      await host.attachDisk(guest.domid, { name: 'xvdc', source: '/dev/o' });
      await it.until('its new disk', (lines) => lineOf(lines, 'newcomer xvdc') > 0);
      await host.removeGuest(guest.domid);
      await it.until('no newcomer', (lines) => !lines.join().includes('newcomer'));
    });

    test('handles the keys ?, r, + and -', async () => {
      const it = await start('--interval 0.2');
      it.type('?');
      await it.until('the help', (lines) => lines[1]?.startsWith('q, Ctrl-C     quit') === true);
      it.type('x', 'r');
      await it.until('the reverse order', (lines) => lineOf(lines, 'db xvda') === 3);
      it.type('+', '+');
      await it.until('1 s', (lines) => lines[0]?.includes('every 1 s') === true);
      it.type('-');
      await it.until('0.5 s', (lines) => lines[0]?.includes('every 0.5 s') === true);
    });

    test('handles the keys d, Right, /, Enter and Escape', async () => {
      const it = await start('--interval 0.1');
      it.type('d');
      await it.until('domains', (lines) => /^web1 +2 /.test(lines[3] ?? ''));
      it.type('d', 'Right');
      await it.until('domains by name', (lines) => lineOf(lines, 'db xvda') === 3);
      it.type('/', 'XVDB');
      await it.until('what is typed', (lines) => lines.join('\n').includes('Filter: XVDB_'));
      await it.until('one disk', (lines) => /^total +1 /.test(lines[2] ?? '') && lines[4] === '');
      it.type('Enter');
      await it.until('the keys', (lines) => lines.join('\n').includes('\nq quit'));
      it.type('Escape');
      await it.until('all disks', (lines) => /^total +3 /.test(lines[2] ?? ''));
    });

    test('does not change its screen while it is paused', async () => {
      const it = await start('--interval 0.1 --count 30');
      it.type('p');
      const paused = await it.until('pause', (lines) => lines[0]?.includes('PAUSED') === true);
      const guest = await host.addGuest({ name: 'late', disks: [{ name: 'xvda', source: '/l' }] });
      // sampling goes on until the count: the guest is sampled, and is not shown
      let shown = paused;
      await it.until('its end', (lines) => {
        // when top ends, its screen disappears before the status is printed
        if (lines[0]?.includes('PAUSED') === true) shown = lines;
        return lineOf(lines, 'status 0') >= 0;
      });
      await host.removeGuest(guest.domid);
      expect(shown).toEqual(paused);
    });

    test('fits the terminal, also after a resize', async () => {
      const it = await start('--interval 60', {}, { columns: 110, rows: 20 });
      const fits = (rows: number, headings: string) => (lines: string[]) =>
        lines[1]?.trimEnd().split(/ +/).join(' ') === `DOMAIN DISK ${headings}` &&
        lines[rows - 1]?.startsWith('q quit') === true;
      const all = 'r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s d/s oo/s kB/s';
      await it.until('110 columns', fits(20, all));
      it.resize(80, 24);
      await it.until('80 columns', fits(24, 'r/s w/s rkB/s wkB/s f/s oo/s kB/s'));
      it.resize(40, 10);
      await it.until('40 columns', fits(10, 'oo/s kB/s'));
      it.resize(200, 50);
      await it.until('200 columns', fits(50, all));
    });

    test('shows colours, and none with NO_COLOR', async () => {
      const colour = '\x1b[36m';
      const coloured = await start('--interval 0.1');
      await coloured.until('bars', (lines) => /[▁-█]$/.test(lines[3] ?? ''));
      expect(coloured.colouredScreen()).toContain(colour);
      await coloured.close();
      const plain = await start('--interval 0.1', { NO_COLOR: '1' });
      await plain.until('bars', (lines) => /[▁-█]$/.test(lines[3] ?? ''));
      expect(plain.colouredScreen()).not.toContain(colour);
    });

    test('shows ASCII only where the locale is not UTF-8', async () => {
      const it = await start('--interval 0.1', { LANG: 'C' });
      const lines = await it.until('bars', (it) => /[_.=+*#@-]{3}$/.test(it[3] ?? ''));
      expect(lines.join('')).toMatch(/^[\x20-\x7e]*$/);
    });

    needing('xenstored').test(
      'shows that xenstored does not respond, and keeps sampling',
      async () => {
        const real = await RealHost.start();
        try {
          await real.addGuest({ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] });
          hostOptions = [
            '--xenstore',
            real.connectOptions.xenstore,
            '--sysfs',
            real.connectOptions.sysfs,
          ];
          const it = await start('--interval 0.1', {}, { columns: 130, rows: 10 });
          await real.xenstored.kill();
          const isShown = (lines: string[]) =>
            lines[0]?.includes('xenstored does not respond') === true;
          await it.until('the message', isShown);
          await it.until('rates', (lines) => /^web1 +xvda +0\.00 /.test(lines[3] ?? ''));
        } finally {
          hostOptions = [
            '--xenstore',
            host.connectOptions.xenstore,
            '--sysfs',
            host.connectOptions.sysfs,
          ];
          await real.stop();
        }
      },
    );
  });

  describeTmux('restores the terminal', () => {
    const directory = mkdtempSync(join(tmpdir(), 'top-'));
    afterAll(() => {
      rmSync(directory, { recursive: true });
    });

    /** The process that runs in the terminal. */
    function pid(it: Tmux): number {
      const shell = it.run('display-message', '-p', '#{pane_pid}').trim();
      return Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8'));
    }

    test.each<[string, (it: Tmux) => void, number]>([
      [
        'after q',
        (it) => {
          it.type('q');
        },
        0,
      ],
      [
        'after Ctrl-C',
        (it) => {
          it.type('C-c');
        },
        0,
      ],
      ['after its count', () => undefined, 0],
      ['after SIGINT', (it) => process.kill(pid(it), 'SIGINT'), 128 + constants.signals.SIGINT],
      ['after SIGTERM', (it) => process.kill(pid(it), 'SIGTERM'), 128 + constants.signals.SIGTERM],
      ['after SIGHUP', (it) => process.kill(pid(it), 'SIGHUP'), 128 + constants.signals.SIGHUP],
      ['after an uncaught error', (it) => process.kill(pid(it), 'SIGUSR2'), 1],
    ])('%s', async (way, end, status) => {
      // throws outside of the code of top
      const thrower = join(directory, 'thrower.cjs');
      writeFileSync(
        thrower,
        "process.on('SIGUSR2', () => { throw new Error('thrown by the test') });",
      );
      const it = await Tmux.start({
        LANG: 'C.UTF-8',
        TERM: 'screen',
        ...(way.includes('error') ? { NODE_OPTIONS: `--require=${thrower}` } : {}),
      });
      tmux = it;
      it.type(`stty -a > ${directory}/before; echo earlier output`, 'Enter');
      await it.until('the prompt', (lines) => lines.includes('earlier output'));
      const before = it.modes();
      const count = way.includes('count') ? '--count 8' : '';
      it.type(
        `${[...program, 'top', ...hostOptions].join(' ')} --interval 0.3 ${count}; echo status $?`,
        'Enter',
      );
      await it.until('the headings', (lines) => lineOf(lines, 'DOMAIN') === 1);
      expect(it.modes()).not.toBe(before);

      end(it);
      const lines = await it.until('the end', (lines) => lineOf(lines, `status ${status}`) > 0);
      expect(lines).toContain('earlier output');
      expect(lines.join('\n')).not.toContain('DOMAIN');
      if (way.includes('error')) expect(lines.join('\n')).toContain('Error: thrown by the test');
      expect(it.modes()).toBe(before);
      it.type(`stty -a | diff - ${directory}/before && echo the same`, 'Enter');
      await it.until('no difference', (lines) => lines.includes('the same'));
    });

    // with a long interval, no timer draws the screen; a short one runs out while the process is stopped
    test.each([60_000, 200])(
      'while Ctrl-Z has stopped it, and takes the terminal again after fg, every %d ms',
      async (intervalMs) => {
        const it = await Tmux.start({ LANG: 'C.UTF-8', TERM: 'screen' });
        tmux = it;
        it.type(`stty -a > ${directory}/before; echo earlier output`, 'Enter');
        await it.until('the prompt', (lines) => lines.includes('earlier output'));
        const before = it.modes();
        const interval = String(intervalMs / 1000);
        it.type([...program, 'top', ...hostOptions, '--interval', interval].join(' '), 'Enter');
        await it.until('the headings', (lines) => lineOf(lines, 'DOMAIN') === 1);
        const taken = it.modes();

        it.type('C-z');
        await it.until('that it is stopped', (lines) => lines.join().includes('Stopped'));
        expect(it.modes()).toBe(before);
        it.type(`stty -a | diff - ${directory}/before && echo the same`, 'Enter');
        await it.until('no difference', (lines) => lines.includes('the same'));
        if (intervalMs < 1000) await delay(intervalMs);
        it.type('fg', 'Enter');
        await it.until('the headings', (lines) => lineOf(lines, 'DOMAIN') === 1);
        expect(it.modes()).toBe(taken);
        it.type('q');
        const lines = await it.until('the prompt', (lines) => lines.join().includes('Stopped'));
        expect(it.modes()).toBe(before);
        expect(lines.join('\n')).not.toContain('DOMAIN');
      },
    );

    test('on Ctrl-Z, and goes on if no shell can continue it', async () => {
      const it = await Tmux.start({ LANG: 'C.UTF-8', TERM: 'screen' });
      tmux = it;
      // in place of the shell: the kernel does not stop the processes of an orphaned process group
      it.type(['exec', ...program, 'top', ...hostOptions, '--interval', '60'].join(' '), 'Enter');
      await it.until('the headings', (lines) => lineOf(lines, 'DOMAIN') === 1);
      const taken = it.modes();
      it.type('C-z', 'd');
      await it.until('domains', (lines) => /^DOMAIN DISKS/.test(lines[1] ?? ''));
      expect(it.modes()).toBe(taken);
    });
  });

  describe('without a terminal', () => {
    function run(...args: string[]) {
      const { stdout, stderr, status } = spawnSync(
        process.execPath,
        [MAIN, 'top', ...hostOptions, '--interval', '0.1', ...args],
        { encoding: 'utf8', timeout: 20_000 },
      );
      return { stdout, stderr, status };
    }

    test('prints as many reports as --count says', () => {
      const { stdout, stderr, status } = run('--count', '2', '--sort', 'domain');
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      expect(stdout).not.toContain('\x1b');
      const reports = stdout.split('\n\n').filter((it) => it !== '');
      expect(reports).toHaveLength(2);
      for (const report of reports) {
        const [time = '', headings, db, ...others] = report.split('\n');
        expect(new Date(time).toISOString()).toBe(time);
        expect(headings?.split(/ +/)).toEqual(
          'DOMAIN DISK r/s w/s rkB/s wkB/s rareq-sz wareq-sz f/s d/s oo/s kB/s'.split(' '),
        );
        expect(db).toMatch(/^db +xvda( +[0-9]+\.[0-9]{2}){10}$/);
        expect(others.map((line) => line.split(/ +/)[0])).toEqual(['web1', 'web1', 'total']);
      }
    });

    test('prints domains with --by domain, and the rows of --filter only', () => {
      const { stdout } = run('--count', '1', '--by', 'domain', '--filter', 'web');
      expect(stdout.split('\n').map((line) => line.split(/ +/).slice(0, 2).join(' '))).toEqual([
        expect.anything(),
        'DOMAIN DISKS',
        'web1 2',
        'total 2',
        '',
        '',
      ]);
    });

    test('prints a line of JSON for each sample with --json, from the first interval on', () => {
      const { stdout, stderr, status } = run('--json', '--count', '2', '--sort', 'disk');
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      const samples = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as { timestamp: string; disks: object[] });
      expect(samples).toHaveLength(2);
      for (const { timestamp, disks } of samples) {
        expect(new Date(timestamp).toISOString()).toBe(timestamp);
        expect(disks).toHaveLength(3);
        expect(disks.at(-1)).toMatchObject({
          ...{ domid: 1, domain: 'web1', disk: 'xvdb' },
          rPerSec: expect.any(Number),
        });
      }
    });

    test('prints the names of the fields once with --csv, and a line for each disk and sample', () => {
      const options = ['--count', '2', '--filter', 'web1', '--sort', 'disk'];
      const { stdout, stderr, status } = run('--csv', ...options);
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      const lines = stdout.split('\n');
      expect(lines[0]).toMatch(/^timestamp,domid,domain,disk,rPerSec,.*,ooPerSec,note$/);
      expect(lines.slice(1).map((line) => line.split(',').slice(1, 4).join())).toEqual([
        ...['1,web1,xvda', '1,web1,xvdb'],
        ...['1,web1,xvda', '1,web1,xvdb'],
        '',
      ]);
    });

    test('tells of disks that cannot be read in every format', async () => {
      const xapi = await SimulatedHost.start({
        toolstack: 'xapi',
        guests: [
          {
            name: 'win',
            disks: [
              { name: 'xvda', source: '/dev/sm/1', kind: 'tap' },
              { name: 'xvdb', source: '/dev/sm/2', kind: 'tap' },
            ],
          },
        ],
      });
      const { xenstore, sysfs } = xapi.connectOptions;
      const options = ['--xenstore', xenstore, '--sysfs', sysfs];
      try {
        const message = '2 disks of tapdisk are not shown';
        expect(run('--count', '1', ...options).stdout).toContain(`\n${message}\n\n`);
        expect(run('--csv', '--count', '1', ...options).stderr).toBe(
          `xen-block-stats: ${message}\n`,
        );
        expect(JSON.parse(run('--json', '--count', '1', ...options).stdout)).toMatchObject({
          disks: [],
          unsupported: [
            { domid: 1, domain: 'win', disk: 'xvda', driver: 'tap' },
            { domid: 1, domain: 'win', disk: 'xvdb', driver: 'tap' },
          ],
        });
      } finally {
        await xapi.stop();
      }
    });

    testTmux('prints reports in a terminal with --batch', async () => {
      tmux = await Tmux.start({ LANG: 'C.UTF-8', TERM: 'screen' });
      const before = tmux.modes();
      tmux.type([...program, 'top', ...hostOptions, '--batch', '--count', '1'].join(' '), 'Enter');
      await tmux.until('a report', (lines) => lineOf(lines, 'total 3') > 0);
      expect(tmux.modes()).toBe(before);
    });

    test('ends at a signal, after a complete report', async () => {
      const child = spawn(process.execPath, [MAIN, 'top', ...hostOptions, '--interval', '0.1'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        printed += text;
        // a second signal would end the process at once
        if (!child.killed && printed.includes('total')) child.kill('SIGTERM');
      });
      const [status] = (await once(child, 'close')) as [number];
      expect(status).toBe(128 + constants.signals.SIGTERM);
      expect(printed.endsWith('\n\n')).toBe(true);
    });

    test('leaves signals to end the process until it has found the disks', async () => {
      const xen = connect(host.connectOptions);
      const listeners = () => process.listenerCount('SIGINT');
      const before = listeners();
      await host.faults.hold();
      const ended = withDiskSet(xen, {}, () => {
        expect(listeners()).toBe(before + 1);
        return Promise.resolve();
      });
      expect(listeners()).toBe(before);
      await host.faults.clear();
      await ended;
      expect(listeners()).toBe(before);
      xen.close();
    });

    test('ends without an error when the reader of its pipe ends', () => {
      const { stdout, stderr, status } = spawnSync(
        'sh',
        ['-c', `${[...program, 'top', ...hostOptions].join(' ')} --interval 0.1 | head -n 2`],
        { encoding: 'utf8', timeout: 20_000 },
      );
      expect(stdout.split('\n')).toHaveLength(3);
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    });

    test('shows rates of the guests of --demo', () => {
      const { stdout } = spawnSync(
        process.execPath,
        [MAIN, 'top', '--demo', '--batch', '--count', '1', '--interval', '1.5'],
        { encoding: 'utf8', timeout: 20_000 },
      );
      expect(stdout).toMatch(/^total +7 +[1-9][0-9.]+ +[1-9]/m);
    });

    test.each([
      [['--by', 'guest'], "'guest' is invalid. Allowed choices are disk, domain."],
      [['--interval', '0'], "'0' is invalid. It must be 0.1 to 86400 seconds."],
      [['--interval', '1e1'], "'1e1' is invalid. It must be 0.1 to 86400 seconds."],
      [['--count', '0'], "'0' is invalid. It must be a whole number from 1."],
      [['--count', '1.5'], "'1.5' is invalid. It must be a whole number from 1."],
      [['--sort', 'size'], "'size' is invalid. Allowed choices are domain, disk, r/s, w/s, "],
      [['web1'], "too many arguments for 'top'"],
    ])('refuses %j as wrong usage', (args, message) => {
      const { stderr, status } = run(...args);
      expect(stderr).toContain(message);
      expect(status).toBe(2);
    });
  });
});
