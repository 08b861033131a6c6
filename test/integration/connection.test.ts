import { readdirSync } from 'node:fs';
import { connect, type Connection } from 'xen-block-stats';
import { RealHost } from '../support/real-host';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

const error = (code: string, more: object = {}) => expect.objectContaining({ code, ...more });

/** Runs a program with the package as `xbs`, and returns its output. */
function run(program: string, env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    ['-e', `const xbs = require('xen-block-stats'); ${program}`],
    { cwd: ROOT, env: { ...process.env, ...env }, encoding: 'utf8' },
  );
  expect({ stderr, status, signal }).toEqual({ stderr: '', status: 0, signal: null });
  return stdout;
}

describe('connect()', () => {
  test.each([
    [{ timeoutMs: '1' }, 'ERR_INVALID_ARG_TYPE'],
    [{ timeoutMs: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ timeoutMs: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ timeoutMs: NaN }, 'ERR_OUT_OF_RANGE'],
    [{ timeoutMs: 2 ** 31 }, 'ERR_OUT_OF_RANGE'],
    [{ sectorSize: 4096 }, 'ERR_INVALID_ARG_TYPE'],
    [{ sysfs: 5 }, 'ERR_INVALID_ARG_TYPE'],
    [{ sysfs: '' }, 'ERR_OUT_OF_RANGE'],
    [{ xenstore: null }, 'ERR_INVALID_ARG_TYPE'],
    [{ xenstore: 'a\0b' }, 'ERR_OUT_OF_RANGE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
  ])('refuses %p', (options, code) => {
    expect(() => connect(options as object)).toThrow(error(code));
  });

  test('fails if the socket of xenstored does not exist', () => {
    expect(() => connect({ xenstore: '/nonexistent/socket' })).toThrow(
      error('ERR_XENSTORE_CONNECT', {
        errno: 2,
        path: '/nonexistent/socket',
        message:
          'cannot connect to xenstored at /nonexistent/socket: ENOENT (is this a Xen host, and is xenstored running?)',
      }),
    );
  });

  test.each([
    [{ XENSTORED_PATH: '/none/x' }, '/none/x'],
    [{ XENSTORED_RUNDIR: '/none' }, '/none/socket'],
    [{}, '/var/run/xenstored/socket'],
  ])('names the socket that libxenstore connects to with %j', (env, path) => {
    const program = `try { xbs.connect() } catch (error) { console.log(error.path) }`;
    expect(run(program, { XENSTORED_PATH: undefined, XENSTORED_RUNDIR: undefined, ...env })).toBe(
      `${path}\n`,
    );
  });

  test('fails with a path that is too long for a socket', () => {
    expect(() => connect({ xenstore: `/${'x'.repeat(200)}` })).toThrow(
      error('ERR_XENSTORE_CONNECT'),
    );
  });

  test('fails on other systems than Linux, where names can still be parsed', () => {
    expect(
      run(`Object.defineProperty(process, 'platform', { value: 'freebsd' });
           try { xbs.connect() } catch ({ code }) { console.log(code, xbs.parseDiskName('xvda')) }`),
    ).toBe('ERR_XEN_UNSUPPORTED_PLATFORM 51712\n');
  });
});

describe('a connection', () => {
  let host: RealHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 5 } }],
    });
    xen = connect(host.connectOptions);
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  test('finds xenstored by the environment variables of Xen’s own tools', () => {
    const { xenstored } = host;
    const names = `console.log(xbs.connect().domains().map(({ name }) => name).join())`;
    expect(run(names, { XENSTORED_PATH: xenstored.socket })).toBe('Domain-0,web1\n');
    expect(run(names, { XENSTORED_RUNDIR: xenstored.directory })).toBe('Domain-0,web1\n');
  });

  test('is closed at the end of its block by `using`', () => {
    xen[Symbol.dispose]();
    expect(() => xen.domains()).toThrow(error('ERR_XEN_CLOSED'));
  });

  test('keeps its timeouts where the clock of process.hrtime begins with the process, as in Bun', () => {
    jest.spyOn(process.hrtime, 'bigint').mockReturnValue(1n);
    expect(xen.domain('web1').blockStats('xvda').rdReq).toBe(5);
    jest.restoreAllMocks();
  });

  test('closes its descriptors when it is closed', () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    xen.close();
    const before = descriptors();
    const second = connect(host.connectOptions);
    second.domain('web1').disk('xvda').read();
    expect(descriptors() - before).toBe(11); // seven counters, a reserve of two, a socket, and the eventfd that wakes its thread
    second.close();
    expect(descriptors()).toBe(before);
  });
});
