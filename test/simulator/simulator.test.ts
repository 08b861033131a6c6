import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { execFile, spawn, spawnSync } from '../support/child-process';
import { needing } from '../support/needs';
import { ROOT } from '../support/paths';
import { runProgram } from '../support/program';

let host: SimulatedHost;

const environment = () => ({ ...process.env, XENSTORED_PATH: host.connectOptions.xenstore });
/** Runs Debian's client, with the real libxenstore. */
const xenstore = async (...args: string[]) =>
  (await execFile('xenstore', args, { env: environment() })).stdout;
const statistics = (file: string, disk = 'vbd-1-51712') =>
  readFileSync(
    join(host.connectOptions.sysfs, 'bus/xen-backend/devices', disk, 'statistics', file),
    'latin1',
  );

beforeAll(async () => {
  host = await SimulatedHost.start({
    guests: [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/vg/web1' }] }],
  });
});
afterAll(() => host.stop());

needing('xenstore').describe('the xenstore command line', () => {
  test('reads, writes, lists and removes', async () => {
    await xenstore('write', '/tool/a', 'one', '/tool/b/c', 'two');
    expect(await xenstore('read', '/tool/a', '/tool/b/c')).toBe('one\ntwo\n');
    expect(await xenstore('list', '/tool')).toBe('a\nb\n');
    expect(await xenstore('ls', '-f', '/tool')).toBe(
      '/tool/a = "one"\n/tool/b = ""\n/tool/b/c = "two"\n',
    );
    await xenstore('exists', '/tool/b/c');
    await xenstore('rm', '/tool/b');
    await expect(xenstore('exists', '/tool/b/c')).rejects.toMatchObject({ code: 1 });
    await expect(xenstore('read', '/tool/b')).rejects.toMatchObject({ code: 1 });
    await expect(xenstore('read', '/bad path')).rejects.toMatchObject({ code: 1 });
  });

  test('reads a path that is relative to its own domain', async () => {
    expect(await xenstore('read', 'name', 'domid')).toBe('Domain-0\n0\n');
  });

  test('lists more names than fit into a response', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `child-number-${i}`);
    await Promise.all(names.map((name) => host.write(`/many/${name}`, 'x')));
    const listed = (await xenstore('list', '/many')).trimEnd().split('\n');
    expect(listed.sort()).toEqual(names.sort());
    await host.remove('/many');
  });

  test('watches nodes and domains', async () => {
    const watch = spawn('xenstore', ['watch', '-n', '4', '/w', '@introduceDomain'], {
      env: environment(),
    });
    const events: string[] = [];
    for await (const line of createInterface(watch.stdout)) {
      events.push(line);
      // the first event of each watch tells that it is set
      if (events.length !== 2) continue;
      await host.write('/w/below', '1');
      await host.addGuest({ name: 'short-lived', domid: 40 });
      await host.removeGuest(40);
    }
    expect(events).toEqual(['/w', '@introduceDomain', '/w/below', '@introduceDomain']);
  });
});

describe('a client', () => {
  const header = (type: number, length: number) => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(type, 0);
    bytes.writeUInt32LE(length, 12);
    return bytes;
  };
  const talk = (...parts: Buffer[]) =>
    new Promise<Buffer>((resolve, reject) => {
      const responses: Buffer[] = [];
      const socket = createConnection(host.connectOptions.xenstore)
        .on('data', (bytes: Buffer) => responses.push(bytes))
        .on('error', reject)
        .on('close', () => {
          resolve(Buffer.concat(responses));
        });
      for (const part of parts) socket.write(part);
      if (parts.length > 1) socket.end();
    });

  test('that sends too long a message is disconnected, and the host continues', async () => {
    expect(await talk(header(2, 4097))).toHaveLength(0);
    expect(await host.read('/local/domain/0/name')).toBe('Domain-0');
  });

  test('can disconnect in the middle of a message', async () => {
    expect(await talk(header(2, 10), Buffer.from('/loc'))).toHaveLength(0);
    expect(await host.read('/local/domain/0/name')).toBe('Domain-0');
  });

  test.each([
    ['a request that is not supported', 99, 'x\0', 'ENOSYS'],
    ['a string without NUL', 2, '/local', 'EINVAL'],
    ['a request without its strings', 11, '', 'EINVAL'],
    ['a path that is not valid', 2, '/a b\0', 'EINVAL'],
    ['a missing node', 2, '/missing\0', 'ENOENT'],
  ])('that sends %s gets an error', async (_, type, payload, name) => {
    const response = await talk(header(type, payload.length), Buffer.from(payload));
    expect(response.readUInt32LE(0)).toBe(16);
    expect(response.toString('latin1', 16)).toBe(`${name}\0`);
  });
});

describe('disks', () => {
  test('count requests, and sectors of 512 bytes', async () => {
    await host.io(1, 'xvda', { reads: 2, readBytes: 8192, flushes: 1 });
    expect(statistics('rd_sect')).toBe('16\n');
    expect(await host.counters(1, '0xca00')).toMatchObject({ rd_req: 2n, rd_sect: 16n, f_req: 1n });
    await host.setCounters(1, 'xvda', { wr_req: 2n ** 64n - 1n, rd_req: 7 });
    expect(statistics('wr_req')).toBe('18446744073709551615\n');
    expect(statistics('rd_req')).toBe('7\n');
  });

  test('have counters of 0 after the frontend disconnects', async () => {
    const state = '/local/domain/0/backend/vbd/1/51712/state';
    await host.disconnectFrontend(1, 'xvda');
    expect(await host.read(state)).toBe('6');
    expect(statistics('wr_req')).toBe('0\n');
    await expect(host.io(1, 'xvda', { reads: 1 })).rejects.toThrow('not connected');
    await host.connectFrontend(1, 'xvda');
    expect(await host.read(state)).toBe('4');
  });

  test('are attached to a running guest, and leave no nodes and files when they are detached', async () => {
    await host.attachDisk(1, {
      name: 'xvdb',
      kind: 'qdisk',
      source: '/srv/b.qcow2',
      format: 'qcow2',
    });
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c', connected: false });
    await host.attachDisk(1, { name: 'hdc' });
    await host.attachDisk(1, { name: 'xvdd', source: '/dev/d', backendDomid: 5 });
    const devices = join(host.connectOptions.sysfs, 'bus/xen-backend/devices');
    expect(readdirSync(devices).sort()).toEqual(['vbd-1-51712', 'vbd-1-51744']);
    expect(await host.read('/local/domain/0/backend/vbd/1/51744/sectors')).toBeUndefined();
    expect(await host.list('/local/domain/5/backend/vbd/1')).toEqual(['51760']);
    for (const disk of ['xvdb', 'xvdc', 'hdc', 'xvdd']) await host.detachDisk(1, disk);
    expect(readdirSync(devices)).toEqual(['vbd-1-51712']);
    expect(await host.list('/local/domain/0/backend')).toEqual(['vbd']);
    expect(await host.list('/libxl/1/device/vbd')).toEqual(['51712']);
  });

  test('have moving counters while the workload runs', async () => {
    await host.addGuest({
      name: 'idle',
      domid: 9,
      disks: [
        {
          name: 'xvda',
          source: '/dev/i',
          workload: { readsPerSecond: 0, writesPerSecond: 0, flushesPerSecond: 0 },
        },
      ],
    });
    await host.startWorkload({ intervalMs: 1 });
    const { rd_req } = await host.counters(1, 'xvda');
    // the test times out if the counter does not move
    while ((await host.counters(1, 'xvda')).rd_req < rd_req + 3n);
    await host.stopWorkload();
    expect(statistics('rd_req', 'vbd-9-51712')).toBe('0\n');
    await host.removeGuest(9);
  });
});

describe('a host', () => {
  test('of XAPI has no /libxl', async () => {
    await using xapi = await SimulatedHost.start({
      toolstack: 'xapi',
      guests: [
        { name: 'a', disks: [{ name: 'xvda', kind: 'vbd3', source: '/dev/sm/backend/s/v' }] },
      ],
    });
    expect(await xapi.list('/')).toEqual(['local', 'vm']);
  });

  test('in a driver domain has the backends in its own directory', async () => {
    await using driver = await SimulatedHost.start({
      domid: 5,
      guests: [{ name: 'a', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    });
    expect(await driver.read('domid')).toBe('5');
    expect(await driver.list('backend/vbd')).toEqual(['6']);
    expect((await driver.counters(6, 'xvda')).rd_req).toBe(0n);
  });

  test('in a directory of the caller removes only its own files', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
    writeFileSync(join(directory, 'mine'), '');
    const other = await SimulatedHost.start({ directory });
    expect(readdirSync(directory).sort()).toEqual(['mine', 'run', 'shm', 'sys', 'xenstored.sock']);
    await expect(SimulatedHost.start({ directory })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await other.list('/')).toEqual(['local']);
    await other.stop();
    await other.stop();
    expect(readdirSync(directory)).toEqual(['mine']);
    await expect(other.read('/')).rejects.toThrow('stopped');
    rmSync(directory, { recursive: true });
  });

  test('does not keep the process alive, and leaves no files', () => {
    const child = spawnSync(
      process.execPath,
      [
        '-e',
        `require('xen-block-stats/simulator').SimulatedHost.start()
        .then((host) => console.log(host.connectOptions.xenstore))`,
      ],
      { cwd: ROOT, timeout: 10000 },
    );
    expect({ status: child.status, signal: child.signal }).toEqual({ status: 0, signal: null });
    const socket = child.stdout.toString().trim();
    expect(socket).toMatch(/xenstored\.sock$/);
    expect(existsSync(join(socket, '..'))).toBe(false);
  });

  describe.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)(
    'in a program, at %s,',
    (signal) => {
      /** The program signals itself, as a terminal does. It prints where its host is. */
      const program = (listen = '') => `
      const { SimulatedHost } = require('xen-block-stats/simulator');
      const host = await SimulatedHost.start({ guests });
      await host.startWorkload({ intervalMs: 1 });
      console.log(host.connectOptions.sysfs);
      setTimeout(() => console.log('not ended'), 10_000);
      ${listen}
      process.kill(process.pid, '${signal}');
    `;
      const disks = (['vbd', 'vbd3', 'qdisk'] as const).map((kind, i) => ({
        name: `d${i}p0`,
        kind,
        source: '/dev/a',
      }));
      const guests = [{ name: 'web1', disks }];

      test('leaves no files, and the signal ends the program', async () => {
        const { stdout, ...ending } = await runProgram(program(), { guests });
        expect(ending).toEqual({ status: null, signal, stderr: '' });
        expect(stdout).toMatch(/^\/.*\/sys\n$/);
        expect(existsSync(join(stdout.trim(), '..'))).toBe(false);
      });

      test('continues if the program has a listener of the signal, and leaves no files at its end', async () => {
        const listen = `process.once('${signal}', async () => {
        console.log(await host.list('/'));
        process.exit(7);
      });`;
        const { stdout, ...ending } = await runProgram(program(listen), { guests });
        expect(ending).toEqual({ status: 7, signal: null, stderr: '' });
        const [sysfs = '', list] = stdout.split('\n');
        expect(list).toBe("[ 'local', 'vm', 'libxl' ]");
        expect(existsSync(join(sysfs, '..'))).toBe(false);
      });
    },
  );

  test('leaves no files of two hosts that run when the program ends', () => {
    const program = `
      const { SimulatedHost } = require('xen-block-stats/simulator');
      (async () => {
        const hosts = [await SimulatedHost.start(), await SimulatedHost.start()];
        console.log(hosts.map(({ connectOptions: { sysfs } }) => sysfs).join());
        process.exit();
      })();`;
    const { stdout } = spawnSync(process.execPath, ['-e', program], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const directories = stdout.trim().split(',');
    expect(directories).toHaveLength(2);
    expect(directories.filter(existsSync)).toEqual([]);
  });

  test('leaves no files when a signal ends the program while it starts', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
    const guests = Array.from({ length: 500 }, (_, i) => ({
      name: `guest${i}`,
      disks: [{ name: 'xvda', source: '/dev/a' }],
    }));
    const { signal, stderr } = await runProgram(
      `require('xen-block-stats/simulator').SimulatedHost.start({ directory, guests });
       const disk = directory + '/sys/bus/xen-backend/devices/vbd-10-51712';
       while (!require('fs').existsSync(disk)) await new Promise(setImmediate);
       process.kill(process.pid, 'SIGINT');`,
      { directory, guests },
    );
    expect({ signal, stderr }).toEqual({ signal: 'SIGINT', stderr: '' });
    expect(readdirSync(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  test('refuses invalid arguments', async () => {
    await expect(
      SimulatedHost.start({ directory: `/tmp/${'x'.repeat(100)}` }),
    ).rejects.toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
    });
    await expect(host.addGuest({ name: 7 as never })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
    });
    await expect(host.attachDisk(1, { name: 'vda' })).rejects.toMatchObject({
      code: 'ERR_XEN_INVALID_DISK',
    });
    await expect(host.io(1, 'xvda', { readBytes: 100 })).rejects.toThrow('multiple of 512');
    const odd = { name: 'xvdb', source: '/dev/b', workload: { writeBytes: 1000 } };
    await expect(host.attachDisk(1, odd)).rejects.toThrow('multiple of 512');
    await expect(host.setCounters(1, 'xvda', { rd_req: -1 })).rejects.toThrow(RangeError);
    await expect(host.removeGuest(77)).rejects.toThrow('no guest with domid 77');
    await expect(host.detachDisk(1, 'xvdz')).rejects.toThrow('no disk xvdz');
    await expect(host.addGuest({ name: 'web1' })).rejects.toThrow('already');
    await expect(host.addGuest({ name: 'web2', domid: 0 })).rejects.toThrow(RangeError);
    await expect(SimulatedHost.start({ domid: 40_000 })).rejects.toThrow(RangeError);
    const twice = [{ name: 'xvda' }, { name: 'd0p0' }];
    await expect(host.addGuest({ name: 'web2', disks: twice })).rejects.toThrow('the same devid');
    await expect(host.attachDisk(1, { name: 'xvda' })).rejects.toThrow('already');
    const foreign = { name: 'xvdb', kind: 'qdisk', source: '/b', counters: { f_req: 1 } } as const;
    await expect(host.addGuest({ name: 'web2', domid: 2, disks: [foreign] })).rejects.toThrow(
      'the backend qdisk has no counter f_req',
    );
    expect(await host.read('/local/domain/2/name')).toBeUndefined();
    await expect(host.remove('/no/such')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
