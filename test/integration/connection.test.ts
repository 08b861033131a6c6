import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection } from 'xen-block-stats';
import { RealHost } from './hosts/real-host';

const error = (code: string, more: object = {}) => expect.objectContaining({ code, ...more });

const threads = () => readdirSync('/proc/self/task').length;

/** Runs a program that has the package as `xbs`, and gives what it printed. */
function run(program: string, env: NodeJS.ProcessEnv = {}): string {
  const { stdout, stderr, status, signal } = spawnSync(
    process.execPath,
    ['-e', `const xbs = require('xen-block-stats'); ${program}`],
    { cwd: join(__dirname, '..', '..'), env: { ...process.env, ...env }, encoding: 'utf8' },
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

  test('fails where there is no xenstored', () => {
    expect(() => connect({ xenstore: '/nonexistent/socket' })).toThrow(
      error('ERR_XENSTORE_CONNECT', {
        errno: 2,
        message: expect.stringMatching(/^cannot connect to xenstored: ENOENT/),
      }),
    );
  });

  test('fails with a path that is too long for a socket', () => {
    expect(() => connect({ xenstore: `/${'x'.repeat(200)}` })).toThrow(
      error('ERR_XENSTORE_CONNECT'),
    );
  });

  test('names the package when libxenstore is not installed', () => {
    const folder = mkdtempSync(join(tmpdir(), 'no-libxenstore-'));
    for (const name of ['libxenstore.so.4', 'libxenstore.so.3.0', 'libxenstore.so']) {
      writeFileSync(join(folder, name), ''); // found first, and no library
    }
    const output = run(
      'try { xbs.connect() } catch ({ code, message }) { console.log(code, message) }',
      { LD_LIBRARY_PATH: folder },
    );
    rmSync(folder, { recursive: true });
    expect(output).toMatch(/^ERR_XEN_NO_LIBXENSTORE .*install libxenstore4 \(Debian, Ubuntu\)/);
  });

  test('says so where it is not Linux, and names can still be parsed there', () => {
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
    xen = connect({ ...host.connectOptions, timeoutMs: 200 });
  });
  afterEach(async () => {
    xen.close();
    host.xenstored.signal('SIGCONT');
    await host.stop();
  });

  const since = (start: number) => performance.now() - start;

  test('finds xenstored by libxenstore’s own variables', () => {
    const { xenstored } = host;
    const names = `console.log(xbs.connect().domains().map(({ name }) => name).join())`;
    expect(run(names, { XENSTORED_PATH: xenstored.socket })).toBe('Domain-0,web1\n');
    expect(run(names, { XENSTORED_RUNDIR: xenstored.folder })).toBe('Domain-0,web1\n');
  });

  test('leaves the environment as it was', () => {
    const options = JSON.stringify(host.connectOptions);
    expect(
      run(
        `xbs.connect(${options}); console.log(process.env.XENSTORED_PATH);
         delete process.env.XENSTORED_PATH; xbs.connect(${options}); console.log(process.env.XENSTORED_PATH)`,
        { XENSTORED_PATH: '/mine' },
      ),
    ).toBe('/mine\nundefined\n');
  });

  test('makes a new one when xenstored was restarted', async () => {
    const web = xen.domain('web1');
    await host.xenstored.kill();
    expect(() => xen.domains()).toThrow(error('ERR_XENSTORE_CONNECT'));
    expect(() => xen.domains()).toThrow(error('ERR_XENSTORE_CONNECT'));
    await host.xenstored.start();
    expect(xen.domains()).toEqual([]); // it forgets everything
    expect(() => web.disks()).toThrow(error('ERR_XEN_DOMAIN_NOT_RUNNING'));
  });

  test('that xenstored closed is made anew within the same call', async () => {
    await host.xenstored.kill();
    await host.xenstored.start();
    await host.xenstored.write([['/local/domain/5/name', 'again']]);
    expect(xen.domains().map(({ name }) => name)).toEqual(['again']);
  });

  test('waits for a xenstored that hangs no longer than timeoutMs', () => {
    host.xenstored.signal('SIGSTOP');
    for (const ask of [
      () => xen.domains(),
      () => xen.domain(1),
      () => connect({ ...host.connectOptions, timeoutMs: 200 }),
    ]) {
      const start = performance.now();
      expect(ask).toThrow(
        error('ERR_XENSTORE_TIMEOUT', { message: 'xenstored did not answer within 200 ms' }),
      );
      expect(since(start)).toBeGreaterThanOrEqual(199);
      expect(since(start)).toBeLessThan(600);
    }
    host.xenstored.signal('SIGCONT');
    expect(xen.domains()).toHaveLength(2);
  });

  test('does not need xenstored to read open disks', async () => {
    const web = xen.domain('web1');
    const disk = web.disk('xvda');
    web.blockStats('xvda');
    host.xenstored.signal('SIGSTOP');
    await host.setCounters(1, 'xvda', { rd_req: 6 });
    expect(disk.read().rdReq).toBe(6);
    expect(web.blockStats('xvda').rdReq).toBe(6);
    host.xenstored.signal('SIGCONT');
    await host.xenstored.kill();
    expect(disk.read().rdReq).toBe(6);
  });

  test('leaves no threads behind, and few while xenstored hangs', async () => {
    xen.close();
    const before = threads();
    const hanging = connect({ ...host.connectOptions, timeoutMs: 20 });
    host.xenstored.signal('SIGSTOP');
    for (let i = 0; i < 20; i++)
      expect(() => hanging.domains()).toThrow(error('ERR_XENSTORE_TIMEOUT'));
    expect(threads() - before).toBeLessThanOrEqual(5);
    hanging.close();
    host.xenstored.signal('SIGCONT');
    while (threads() > before) await delay(5);
  });

  test('that is never closed does not keep the process alive', () => {
    run(
      `const xen = xbs.connect(${JSON.stringify(host.connectOptions)}); xen.domain('web1').disk('xvda')`,
    );
  });

  test('works in worker threads, which may end at any moment', () => {
    const output = run(`
      const { Worker } = require('node:worker_threads');
      const code = \`
        const { parentPort, workerData } = require('node:worker_threads');
        const disk = require('xen-block-stats').connect(workerData).domain('web1').disk('xvda');
        parentPort.postMessage(disk.read().rdReq);
        for (;;) disk.read();
      \`;
      (async () => {
        for (let i = 0; i < 10; i++) {
          const worker = new Worker(code, { eval: true, workerData: ${JSON.stringify(host.connectOptions)} });
          console.log(await new Promise((resolve) => worker.once('message', resolve)));
          await worker.terminate();
        }
        console.log(require('node:fs').readdirSync('/proc/self/fd').length < 60);
      })();
    `);
    expect(output).toBe(`${'5\n'.repeat(10)}true\n`);
  });

  test('ends in good order while xenstored hangs', () => {
    host.xenstored.signal('SIGSTOP');
    run(`try { xbs.connect({ ...${JSON.stringify(host.connectOptions)}, timeoutMs: 50 }) }
         catch (error) { if (error.code !== 'ERR_XENSTORE_TIMEOUT') throw error }`);
  });

  test('is closed at the end of its block by `using`', () => {
    xen[Symbol.dispose]();
    expect(() => xen.domains()).toThrow(error('ERR_XEN_CLOSED'));
  });

  test('gives back its descriptors when it is closed', () => {
    const descriptors = () => readdirSync('/proc/self/fd').length;
    xen.close();
    const before = descriptors();
    const again = connect(host.connectOptions);
    again.domain('web1').disk('xvda').read();
    expect(descriptors() - before).toBe(8); // seven counters and a socket
    again.close();
    expect(descriptors()).toBe(before);
  });

  test('answers an unprivileged user with what to look at', () => {
    const script = `try { require(process.argv[1]).connect({ xenstore: process.argv[2] }) } catch ({ code, message }) { console.log(code, message) }`;
    const output = execFileSync(
      'setpriv',
      [
        '--reuid=65534',
        '--clear-groups',
        process.execPath,
        '-e',
        script,
        join(__dirname, '..', '..'),
        host.connectOptions.xenstore,
      ],
      { encoding: 'utf8', cwd: '/' },
    );
    expect(output).toMatch(
      /^ERR_XENSTORE_CONNECT cannot connect to xenstored: E[A-Z]+ \(is it running here, and is this user allowed to ask it\?\)/,
    );
  });
});
