import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { spawn, spawnSync } from '../support/child-process';
import { needing } from '../support/needs';
import { MAIN, ROOT } from '../support/paths';
import { Tmux } from '../support/tmux';

/*
 * The command demo and the option --demo, which start a simulated host.
 */

jest.setTimeout(60_000);

const directory = mkdtempSync(join(tmpdir(), 'demo-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

const OPTIONS = { cwd: ROOT, env: { ...process.env, TMPDIR: directory } };

/** Runs the command line with these arguments, in a bash script if there is one: `exec "$@" > /dev/full`. */
function cli(args: string[], script = 'exec "$@"') {
  const { stdout, stderr, status } = spawnSync(
    'bash',
    ['-c', script, 'bash', process.execPath, MAIN, ...args],
    { ...OPTIONS, encoding: 'utf8', timeout: 50_000 },
  );
  return { stdout, stderr, status };
}

/** Starts the command line, in a process group without a terminal. Returns it with its lines. */
function start(args: string[]) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    ...OPTIONS,
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  return {
    child,
    lines: createInterface(child.stdout)[Symbol.asyncIterator](),
    ended: once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>,
  };
}

/** The signals that end a process by default, without those of Node.js and of faults. */
const SIGNALS = (
  'SIGHUP SIGINT SIGQUIT SIGABRT SIGUSR1 SIGUSR2 SIGALRM ' +
  'SIGTERM SIGSTKFLT SIGXCPU SIGXFSZ SIGVTALRM SIGIO SIGPWR'
).split(' ') as NodeJS.Signals[];

afterEach(() => {
  // each host has a directory
  expect(readdirSync(directory)).toEqual([]);
});

describe('demo', () => {
  test('shows what the other commands print', () => {
    const { stdout, stderr, status } = cli(['demo']);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    expect(stdout.match(/^\$ xen-block-stats \w+/gm)).toEqual(
      ['list', 'stat', 'stat', 'stat', 'devid', 'top'].map((it) => `$ xen-block-stats ${it}`),
    );
    expect(stdout).toMatch(/^1 +web1 +xvda +51712 /m);
    expect(stdout).toMatch(/^xvda rd_req 1[0-9]{3}$/m);
    expect(stdout).toMatch(/^xvda 51712$/m);
    expect(stdout.match(/^total /gm)).toHaveLength(3);
  });

  test('runs a command whose environment names the host', () => {
    const program = `
      const xen = require('xen-block-stats').connect();
      console.log(xen.domain('web1').blockStats('xvda').rdReq > 0, process.argv[1]);`;
    const ok = { stdout: 'true --json\n', stderr: '', status: 0 };
    expect(cli(['demo', '--', process.execPath, '-e', program, '--', '--json'])).toEqual(ok);
    expect(cli(['demo', process.execPath, '-e', program, '--', '--json'])).toEqual(ok);
  });

  test.each([
    ['exit 7', 7],
    ['kill -TERM $$', 128 + constants.signals.SIGTERM],
    ['kill -KILL $$', 128 + constants.signals.SIGKILL],
  ])('has the exit status of its command: %s', (script, status) => {
    expect(cli(['demo', '--', 'sh', '-c', script])).toEqual({ stdout: '', stderr: '', status });
  });

  test.each([
    ['nonexistent', 'no such command', 127],
    ['', 'no such command', 127],
    ['/dev/null', 'EACCES', 126],
    ['/dev/null/command', 'ENOTDIR', 126],
    [`/${'a'.repeat(300)}`, 'ENAMETOOLONG', 126],
  ])('names a command that it cannot run: %s', (command, reason, status) => {
    expect(cli(['demo', '--', command])).toEqual({
      stdout: '',
      stderr: `xen-block-stats: cannot run ${command || "''"}: ${reason}\n`,
      status,
    });
  });

  test('passes signals on to its command, once, and keeps its host', async () => {
    const program = `
      for (const signal of ${JSON.stringify(SIGNALS)}) process.on(signal, () => console.log(signal));
      process.on('SIGPWR', () => process.exit(3));
      setTimeout(() => process.exit(1), 50_000);
      console.log('ready');`;
    const { child, lines, ended } = start(['demo', '--', process.execPath, '-e', program]);
    expect((await lines.next()).value).toBe('ready');
    for (const signal of SIGNALS) {
      expect(readdirSync(directory)).toHaveLength(1);
      child.kill(signal);
      expect((await lines.next()).value).toBe(signal);
    }
    expect(await ended).toEqual([3, null]);
  });

  needing('tmux').test('leaves Ctrl-C to the terminal, which sends it to the command', async () => {
    // tmux separates commands by semicolons
    const program =
      "process.on('SIGINT', () => console.log('interrupted')).stdin.once('data', () => process.exit(3)), console.log('ready')";
    const tmux = await Tmux.start({ TMPDIR: directory, PROGRAM: program });
    const isPrinted = (text: string) => (lines: string[]) => lines.includes(text);
    const node = process.execPath;
    tmux.type(`${node} ${MAIN} demo -- ${node} -e "$PROGRAM"; echo status $?`, 'Enter');
    await tmux.until('its start', isPrinted('ready'));
    tmux.type('C-c');
    await tmux.until('the signal', (lines) => lines.join().includes('interrupted'));
    tmux.type('Enter');
    const lines = await tmux.until('its end', isPrinted('status 3'));
    await tmux.close();
    expect(lines.join().match(/interrupted/g)).toHaveLength(1);
  });

  test.each([
    ['when a write fails', 'exec "$@" > /dev/full', 1, 'cannot write to stdout: ENOSPC'],
    ['when the reader of its pipe ends', 'exec 4> >(:); wait $!; exec "$@" >&4', 0, undefined],
  ])('ends %s', (_when, script, status, message) => {
    const stderr = message === undefined ? '' : `xen-block-stats: ${message}\n`;
    expect(cli(['demo'], script)).toEqual({ stdout: '', stderr, status });
  });
});

describe('--demo', () => {
  test('has counters that move at the rate at which they are sampled', () => {
    const { stdout } = cli(['top', '--demo', '--batch', '--interval', '0.1', '--count', '30']);
    const totals = stdout.split('\n').filter((line) => line.startsWith('total'));
    expect(totals).toHaveLength(30);
    // a sample that comes late makes the next interval short
    const zero = totals.filter((line) => /^total +7 +0\.00 +0\.00 /.test(line));
    expect(zero.length).toBeLessThanOrEqual(3);
  });

  // SIGUSR1 starts Node's inspector
  test.each(SIGNALS.filter((signal) => signal !== 'SIGUSR1'))(
    'leaves no file behind when %s ends its command',
    async (signal) => {
      const { child, lines, ended } = start(['serve', '--demo', '--listen', '127.0.0.1:0']);
      expect((await lines.next()).value).toMatch(/^listening on /);
      child.kill(signal);
      const isHandled = signal === 'SIGTERM' || signal === 'SIGINT';
      expect(await ended).toEqual(isHandled ? [0, null] : [null, signal]);
    },
  );

  test('leaves no file behind when a signal ends its command at the start', async () => {
    const { child, ended } = start(['top', '--demo', '--batch']);
    while (readdirSync(directory).length === 0) await new Promise(setImmediate);
    child.kill('SIGTERM');
    // the second, if the signal comes late: top has started
    expect([
      [null, 'SIGTERM'],
      [143, null],
    ]).toContainEqual(await ended);
  });
});
