import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { SimulatedHost } from 'xen-block-stats/simulator';

const run = promisify(execFile);
let host: SimulatedHost;

const environment = () => ({ ...process.env, XENSTORED_PATH: host.connectOptions.xenstore });
/** Debian's own client, with the real libxenstore. */
const xenstore = async (...args: string[]) =>
  (await run('xenstore', args, { env: environment() })).stdout;
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

describe('the xenstore command line', () => {
  test('reads, writes, lists and removes', async () => {
    await xenstore('write', '/tool/a', 'one', '/tool/b/c', 'two');
    expect(await xenstore('read', '/tool/a', '/tool/b/c')).toBe('one\ntwo\n');
    expect(await xenstore('list', '/tool')).toBe('a\nb\n');
    expect(await xenstore('ls', '-f', '/tool')).toBe(
      '/tool/a = "one"\n/tool/b = ""\n/tool/b/c = "two"\n',
    );
    expect(await xenstore('ls', '-fp', '/tool/b')).toContain('(n0)');
    await xenstore('exists', '/tool/b/c');
    await xenstore('rm', '/tool/b');
    await expect(xenstore('exists', '/tool/b/c')).rejects.toMatchObject({ code: 1 });
    await expect(xenstore('read', '/tool/b')).rejects.toMatchObject({ code: 1 });
    await expect(xenstore('read', '/bad path')).rejects.toMatchObject({ code: 1 });
  });

  test('resolves a relative path below its own domain', async () => {
    expect(await xenstore('read', 'name', 'domid')).toBe('Domain-0\n0\n');
  });

  test('lists more names than fit into a message', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => `child-number-${i}`);
    await Promise.all(names.map((name) => host.write(`/many/${name}`, 'x')));
    const listed = (await xenstore('list', '/many')).trimEnd().split('\n');
    expect(listed.sort()).toEqual(names.sort());
    await host.remove('/many');
  });

  test('hears of what it watches', async () => {
    const watch = spawn('xenstore', ['watch', '-n', '4', '/w', '@introduceDomain'], {
      env: environment(),
    });
    const events: string[] = [];
    for await (const line of createInterface(watch.stdout)) {
      events.push(line);
      // each watch fires once when it is set: only then changes are sure to be heard of
      if (events.length !== 2) continue;
      await host.write('/w/below', '1');
      await host.addGuest({ name: 'short-lived', domid: 40 });
      await host.removeGuest(40);
    }
    expect(events).toEqual(['/w', '@introduceDomain', '/w/below', '@introduceDomain']);
  });
});

describe('clients that do not behave', () => {
  const header = (type: number, length: number) => {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt32LE(type, 0);
    bytes.writeUInt32LE(length, 12);
    return bytes;
  };
  const talk = (...parts: Buffer[]) =>
    new Promise<Buffer>((resolve, reject) => {
      const answers: Buffer[] = [];
      const socket = createConnection(host.connectOptions.xenstore)
        .on('data', (bytes: Buffer) => answers.push(bytes))
        .on('error', reject)
        .on('close', () => {
          resolve(Buffer.concat(answers));
        });
      for (const part of parts) socket.write(part);
      if (parts.length > 1) socket.end();
    });

  test('too long a message ends the connection, and nothing else', async () => {
    expect(await talk(header(2, 4097))).toHaveLength(0);
    expect(await host.read('/local/domain/0/name')).toBe('Domain-0');
  });

  test('half a message is waited for, and forgotten with its client', async () => {
    expect(await talk(header(2, 10), Buffer.from('/loc'))).toHaveLength(0);
    expect(await host.read('/local/domain/0/name')).toBe('Domain-0');
  });

  test.each([
    ['an unknown request', 99, 'x\0', 'ENOSYS'],
    ['a string without an end', 2, '/local', 'EINVAL'],
    ['a request without its strings', 11, '', 'EINVAL'],
    ['a transaction end outside of one', 7, 'T\0', 'ENOENT'],
    ['an unknown watch', 5, '/a\0t\0', 'ENOENT'],
    ['a domid that is no number', 10, 'x\0', 'EINVAL'],
  ])('%s is an error by name', async (_, type, payload, word) => {
    const answer = await talk(header(type, payload.length), Buffer.from(payload));
    expect(answer.readUInt32LE(0)).toBe(16);
    expect(answer.toString('latin1', 16)).toBe(`${word}\0`);
  });

  test.each([
    ['the path of any domain', 10, '7\0', '/local/domain/7\0'],
    ['that a guest is there', 17, '1\0', 'T\0'],
    ['that a guest is not there', 17, '7\0', 'F\0'],
    ['who may see a node', 3, '/\0', 'n0\0'],
  ])('may ask for %s', async (_, type, payload, expected) => {
    const answer = await talk(header(type, payload.length), Buffer.from(payload));
    expect(answer.toString('latin1', 16)).toBe(expected);
  });
});

describe('disks', () => {
  test('count what a guest does, in sectors of 512 bytes', async () => {
    await host.io(1, 'xvda', { reads: 2, readBytes: 8192, flushes: 1 });
    expect(statistics('rd_sect')).toBe('16\n');
    expect(await host.counters(1, '0xca00')).toMatchObject({ rd_req: 2n, rd_sect: 16n, f_req: 1n });
    await host.setCounters(1, 'xvda', { wr_req: 2n ** 64n - 1n, rd_req: 7 });
    expect(statistics('wr_req')).toBe('18446744073709551615\n');
    expect(statistics('rd_req')).toBe('7\n');
  });

  test('start again from 0 when the guest lets go', async () => {
    const state = '/local/domain/0/backend/vbd/1/51712/state';
    await host.disconnectFrontend(1, 'xvda');
    expect(await host.read(state)).toBe('6');
    expect(statistics('wr_req')).toBe('0\n');
    await expect(host.io(1, 'xvda', { reads: 1 })).rejects.toThrow('not connected');
    await host.connectFrontend(1, 'xvda');
    expect(await host.read(state)).toBe('4');
  });

  test('come and go while the guest runs, and leave nothing', async () => {
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
    expect(readdirSync(devices).sort()).toEqual(['qdisk-1-51728', 'vbd-1-51712', 'vbd-1-51744']);
    expect(await host.read('/local/domain/0/backend/vbd/1/51744/sectors')).toBeUndefined();
    expect(await host.list('/local/domain/5/backend/vbd/1')).toEqual(['51760']);
    for (const disk of ['xvdb', 'xvdc', 'hdc', 'xvdd']) await host.detachDisk(1, disk);
    expect(readdirSync(devices)).toEqual(['vbd-1-51712']);
    expect(await host.list('/local/domain/0/backend')).toEqual(['vbd']);
    expect(await host.list('/libxl/1/device/vbd')).toEqual(['51712']);
  });

  test('all move while the workload runs', async () => {
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
    // jest ends it if they never move
    while ((await host.counters(1, 'xvda')).rd_req < rd_req + 3n);
    await host.stopWorkload();
    expect(statistics('rd_req', 'vbd-9-51712')).toBe('0\n');
    await host.removeGuest(9);
  });
});

describe('hosts', () => {
  test('of XAPI have no /libxl', async () => {
    await using xapi = await SimulatedHost.start({
      toolstack: 'xapi',
      guests: [
        { name: 'a', disks: [{ name: 'xvda', kind: 'vbd3', source: '/dev/sm/backend/s/v' }] },
      ],
    });
    expect(await xapi.list('/')).toEqual(['local', 'vm']);
  });

  test('seen from a driver domain have its disks in its own folders', async () => {
    await using driver = await SimulatedHost.start({
      domid: 5,
      guests: [{ name: 'a', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    });
    expect(await driver.read('domid')).toBe('5');
    expect(await driver.list('backend/vbd')).toEqual(['6']);
    expect((await driver.counters(6, 'xvda')).rd_req).toBe(0n);
  });

  test('in a folder of the caller leave what else is in it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
    writeFileSync(join(folder, 'mine'), '');
    const other = await SimulatedHost.start({ folder });
    expect(readdirSync(folder).sort()).toEqual(['mine', 'sys', 'xenstored.sock']);
    await expect(SimulatedHost.start({ folder })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await other.list('/')).toEqual(['local']);
    await other.stop();
    await other.stop();
    expect(readdirSync(folder)).toEqual(['mine']);
    await expect(other.read('/')).rejects.toThrow('stopped');
    rmSync(folder, { recursive: true });
  });

  test('neither keep a process alive nor leave anything behind', () => {
    const child = spawnSync(
      process.execPath,
      [
        '-e',
        `require('xen-block-stats/simulator').SimulatedHost.start()
        .then((host) => console.log(host.connectOptions.xenstore))`,
      ],
      { cwd: join(__dirname, '../..'), timeout: 10000 },
    );
    expect({ status: child.status, signal: child.signal }).toEqual({ status: 0, signal: null });
    const socket = child.stdout.toString().trim();
    expect(socket).toMatch(/xenstored\.sock$/);
    expect(existsSync(join(socket, '..'))).toBe(false);
  });

  test('say what is wrong with what they were asked', async () => {
    await expect(SimulatedHost.start({ folder: `/tmp/${'x'.repeat(100)}` })).rejects.toMatchObject({
      code: 'ERR_OUT_OF_RANGE',
    });
    await expect(host.addGuest({ name: 7 as never })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_TYPE',
    });
    await expect(host.attachDisk(1, { name: 'vda' })).rejects.toMatchObject({
      code: 'ERR_XEN_INVALID_DISK',
    });
    await expect(host.io(1, 'xvda', { readBytes: 100 })).rejects.toThrow('multiple of 512');
    await expect(host.setCounters(1, 'xvda', { rd_req: -1 })).rejects.toThrow(RangeError);
    await expect(host.removeGuest(77)).rejects.toThrow(
      'no guest with domid 77; there are: 1 (web1)',
    );
    await expect(host.detachDisk(1, 'xvdz')).rejects.toThrow('no disk xvdz; it has: xvda');
    await expect(host.addGuest({ name: 'web1' })).rejects.toThrow('already');
    await expect(host.remove('/no/such')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
