import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  fstatSync,
} from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { endianness, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { SimulatedHost, type DiskOptions } from 'xen-block-stats/simulator';

/*
 * The statistics that tapdisk and QEMU publish on a simulated host.
 */

const MAX = 2n ** 64n - 1n;

const TAPDISK = { name: 'xvdb', kind: 'vbd3', format: 'vhd', source: '/dev/sm/b' } as const;
const QCOW2 = { name: 'xvda', kind: 'qdisk', format: 'qcow2', source: '/srv/a.qcow2' } as const;
const RAW = { name: 'd1p2', kind: 'qdisk', source: '/srv/b.raw' } as const;

let host: SimulatedHost;

/** Starts a guest with disks. */
const addGuest = async (...disks: DiskOptions[]) =>
  (await host.addGuest({ name: `guest-${disks.map(({ name }) => name).join('-')}`, disks })).domid;

beforeEach(async () => {
  host = await SimulatedHost.start();
});
afterEach(() => host.stop());

describe('a disk of tapdisk', () => {
  const directory = () => join(host.connectOptions.shm, `td3-${process.pid}`);
  const file = (domid = 1) => join(directory(), `vbd-${domid}-51728`);

  /** Returns the numbers of 64 bits in a file, the first one being the version. */
  function fields(bytes: Buffer): bigint[] {
    return Array.from({ length: bytes.length / 8 }, (_, i) =>
      endianness() === 'LE' ? bytes.readBigUInt64LE(8 * i) : bytes.readBigUInt64BE(8 * i),
    );
  }

  test('has a file in the layout of tapdisk', async () => {
    await addGuest(TAPDISK);
    expect(statSync(directory()).mode & 0o777).toBe(0o700);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    await host.io(1, 'xvdb', { reads: 3, readBytes: 8192, readMs: 1.5, writes: 2, flushes: 1 });
    await host.io(1, 'xvdb', { writeBytes: 1024, writeMs: 7, errors: 4, discards: 9, ooReq: 9 });
    const bytes = readFileSync(file());
    expect(bytes).toHaveLength(4096);
    expect([...new Uint32Array(bytes.buffer, bytes.byteOffset, 2)]).toEqual([1, 0]);
    // a flush is submitted as a write request, and never completed
    expect(fields(bytes).slice(1, 12)).toEqual(
      [0, 3, 3, 16, 1500, 8, 7, 2, 7800, 4, 0].map(BigInt),
    );
    expect(bytes.subarray(96).every((byte) => byte === 0)).toBe(true);
  });

  test('has counters that can be set', async () => {
    await addGuest({ ...TAPDISK, counters: { rd_req: 7, rd_ns: MAX } });
    await host.io(1, 'xvdb', { flushes: 1 });
    await host.setCounters(1, 'xvdb', { wr_sect: MAX, wr_req: 5 });
    await host.io(1, 'xvdb', { reads: 1, readMs: 0.001, writeBytes: 1024, writes: 0 });
    expect(await host.counters(1, 'xvdb')).toEqual({
      rd_req: 8n,
      rd_sect: 0n,
      rd_ns: 999n,
      wr_req: 5n,
      wr_sect: 1n,
      wr_ns: 0n,
      errors: 0n,
    });
    expect(fields(readFileSync(file())).slice(1, 12)).toEqual(
      [0, 8, 8, 0, 0, 5, 5, 1, 0, 0, 0].map(BigInt),
    );
  });

  test('has the nodes of tapback, with the process that has the file open', async () => {
    await addGuest(TAPDISK);
    const backend = '/local/domain/0/backend/vbd3/1/51728';
    const pid = (await host.read(`${backend}/kthread-pid`)) ?? '';
    expect(pid).toBe(String(process.pid));
    expect(await host.list(backend)).toEqual(
      expect.arrayContaining(['feature-barrier', 'sectors', 'sector-size', 'physical-device-path']),
    );
    expect(await host.list(backend)).not.toContain('physical-sector-size');
    const open = readdirSync(`/proc/${pid}/fd`).map((descriptor) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
      } catch {
        return undefined;
      }
    });
    expect(open).toContain(file());
  });

  test('has a file while the frontend is connected, and a new one after a reconnection', async () => {
    await addGuest({ ...TAPDISK, connected: false, counters: { rd_req: 5 } });
    expect(existsSync(file())).toBe(false);
    await host.connectFrontend(1, 'xvdb');
    expect(fields(readFileSync(file()))[2]).toBe(5n);

    const descriptor = openSync(file(), 'r');
    await host.disconnectFrontend(1, 'xvdb');
    expect(existsSync(file())).toBe(false);
    expect((await host.counters(1, 'xvdb')).rd_req).toBe(0n);
    await expect(host.io(1, 'xvdb', { reads: 1 })).rejects.toThrow('not connected');
    await host.connectFrontend(1, 'xvdb');
    await host.io(1, 'xvdb', { reads: 1 });
    expect(fields(readFileSync(file()))[2]).toBe(1n);

    await host.connectFrontend(1, 'xvdb');
    expect(fields(readFileSync(file()))[2]).toBe(0n);
    // the first file keeps its last counters
    const bytes = Buffer.alloc(96);
    readSync(descriptor, bytes, 0, 96, 0);
    expect(fields(bytes)[2]).toBe(5n);
    expect(fstatSync(descriptor).nlink).toBe(0);
    closeSync(descriptor);
  });

  test('has no file after it is detached, or its guest is removed', async () => {
    await addGuest(TAPDISK);
    await host.addGuest({ name: 'other', disks: [TAPDISK] });
    expect(readdirSync(directory())).toEqual(['vbd-1-51728', 'vbd-2-51728']);
    await host.detachDisk(1, 'xvdb');
    expect(readdirSync(directory())).toEqual(['vbd-2-51728']);
    await host.removeGuest(2);
    expect(readdirSync(directory())).toEqual([]);
  });

  test('has no file in another domain', async () => {
    await addGuest({ ...TAPDISK, backendDomid: 5 });
    expect(existsSync(directory())).toBe(false);
    await expect(host.counters(1, 'xvdb')).rejects.toThrow('no statistics');
  });

  test('has I/O while the workload runs', async () => {
    await addGuest(TAPDISK);
    await host.startWorkload({ intervalMs: 1 });
    // the test times out if the counters do not move
    while (fields(readFileSync(file())).some((value, i) => [2, 4, 5, 6].includes(i) && value < 2n));
    await host.stopWorkload();
  });
});

/** A client of a monitor. */
class Client {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;
  readonly closed: Promise<unknown>;

  constructor(domid: number) {
    this.#socket = createConnection(socketOf(domid));
    this.#socket.on('error', () => undefined);
    const lines: Interface = createInterface(this.#socket);
    this.#lines = lines[Symbol.asyncIterator]();
    this.closed = once(this.#socket, 'close');
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Returns the next message. */
  async next(): Promise<unknown> {
    const { value } = (await this.#lines.next()) as { value?: string };
    return value === undefined ? undefined : JSON.parse(value);
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }
}

const socketOf = (domid: number) => join(host.connectOptions.run, `qmp-libxenstat-${domid}`);

const CAPABILITIES = '{"execute":"qmp_capabilities"}';
const QUERY = '{"execute":"query-blockstats"}';

const GREETED = { QMP: { version: expect.anything(), capabilities: ['oob'] } };
const NEGOTIATED = { return: {} };

interface Entry {
  readonly 'node-name': string;
  readonly stats: Record<string, unknown>;
}

/** Returns the text of the answer to a query on a new connection. */
async function queryText(domid: number): Promise<string> {
  const socket = createConnection(socketOf(domid)).setEncoding('latin1');
  socket.write(CAPABILITIES + QUERY);
  let text = '';
  socket.on('data', (data: string) => (text += data));
  while (text.split('\r\n').length < 4) await once(socket, 'data');
  socket.destroy();
  return text.split('\r\n')[2] ?? '';
}

const query = async (domid: number) =>
  (JSON.parse(await queryText(domid)) as { return: Entry[] }).return;

describe('a disk of QEMU', () => {
  test('has an entry with all fields of a real one', async () => {
    await addGuest(QCOW2, RAW, { ...RAW, name: 'xvdc', format: 'vhd' });
    await host.io(1, 'xvda', { reads: 3, readBytes: 8192, readMs: 1.5, flushes: 8, discards: 9 });
    await host.io(1, 'xvda', { writeBytes: 65537 * 512, writeMs: 7, errors: 4 });
    const [entry, ...others] = await query(1);
    const unused = (account: boolean) => ({
      ...{ account_failed: account, account_invalid: account, timed_stats: [] },
      ...{ failed_flush_operations: 0, failed_rd_operations: 0, failed_unmap_operations: 0 },
      ...{ failed_wr_operations: 0, flush_operations: 0, flush_total_time_ns: 0 },
      ...{ invalid_flush_operations: 0, invalid_rd_operations: 0, invalid_unmap_operations: 0 },
      ...{ invalid_wr_operations: 0, rd_bytes: 0, rd_merged: 0, rd_operations: 0 },
      ...{ rd_total_time_ns: 0, unmap_bytes: 0, unmap_merged: 0, unmap_operations: 0 },
      ...{ unmap_total_time_ns: 0, wr_bytes: 0, wr_highest_offset: 0, wr_merged: 0 },
      ...{ wr_operations: 0, wr_total_time_ns: 0 },
    });
    expect(entry).toEqual({
      device: '',
      'node-name': 'xvda-qcow2',
      qdev: '/machine/unattached/device[2]',
      stats: {
        ...unused(true),
        ...{ rd_operations: 3, rd_bytes: 8192, rd_total_time_ns: 1_500_000 },
        ...{ wr_operations: 513, wr_bytes: 65537 * 512, wr_total_time_ns: 7_000_000 },
        failed_wr_operations: 4,
        idle_time_ns: expect.any(Number),
      },
      parent: {
        'node-name': expect.stringMatching(/^#block\d+$/),
        'driver-specific': {
          ...{ driver: 'file', 'discard-nb-ok': 0 },
          ...{ 'discard-nb-failed': 0, 'discard-bytes-ok': 0 },
        },
        stats: unused(false),
      },
    });
    // no time since the last request, before there is one
    expect(others).toMatchObject([
      { 'node-name': 'd1p2-raw', qdev: '/machine/unattached/device[3]' },
      { 'node-name': 'xvdc-vpc', qdev: '/machine/unattached/device[4]' },
    ]);
    expect(others.map(({ stats }) => stats)).toEqual([unused(true), unused(true)]);
  });

  test('has counters of 64 bits that can be set', async () => {
    await addGuest({ ...QCOW2, counters: { rd_ns: 2n ** 53n + 1n } });
    await host.setCounters(1, 'xvda', { wr_req: MAX, wr_sect: 5, errors: 2 });
    await host.io(1, 'xvda', { reads: 2, writes: 3 });
    const text = await queryText(1);
    expect(text).toContain(`"rd_total_time_ns": ${2n ** 53n + 1n + 400_000n}`);
    expect(text).toContain('"wr_operations": 2');
    expect(text).toContain('"wr_bytes": 2560');
    expect(await host.counters(1, 'xvda')).toMatchObject({ rd_req: 2n, wr_req: 2n, errors: 2n });
    expect(await host.counters(1, 'xvda')).not.toHaveProperty('f_req');
  });

  test('keeps its counters when the frontend disconnects, and has no entry after it is detached', async () => {
    await addGuest(QCOW2, RAW);
    await host.io(1, 'xvda', { reads: 2 });
    await host.disconnectFrontend(1, 'xvda');
    await expect(host.io(1, 'xvda', { reads: 2 })).rejects.toThrow('not connected');
    await host.connectFrontend(1, 'xvda');
    await host.io(1, 'xvda', { reads: 2 });
    expect(await query(1)).toMatchObject([{ stats: { rd_operations: 4 } }, {}]);
    await host.detachDisk(1, 'xvda');
    await host.attachDisk(1, { ...RAW, name: 'xvdc' });
    expect((await query(1)).map((entry) => entry['node-name'])).toEqual(['d1p2-raw', 'xvdc-raw']);
  });

  test('has I/O while the workload runs', async () => {
    await addGuest(QCOW2);
    await host.startWorkload({ intervalMs: 1 });
    // the test times out if the counter does not move
    while ((await query(1))[0]?.stats['wr_operations'] === 0);
    await host.stopWorkload();
  });
});

describe('the monitor of QEMU', () => {
  test('exists for each domain with disks of QEMU, until the domain ends', async () => {
    await addGuest({ ...QCOW2, name: 'xvda' }, { name: 'hdc', kind: 'qdisk' });
    await addGuest({ name: 'hdc', kind: 'qdisk' }, { ...RAW, backendDomid: 7 }, TAPDISK);
    expect(readdirSync(host.connectOptions.run)).toEqual(['qmp-libxenstat-1']);
    await host.attachDisk(2, QCOW2);
    expect(await query(2)).toHaveLength(1);

    const client = new Client(1);
    expect(await client.next()).toEqual(GREETED);
    await host.removeGuest(1);
    await client.closed;
    expect(readdirSync(host.connectOptions.run)).toEqual(['qmp-libxenstat-2']);
    await host.addGuest({ name: 'again', domid: 1, disks: [RAW] });
    expect(await query(1)).toMatchObject([{ 'node-name': 'd1p2-raw' }]);
  });

  test('greets, and needs the capabilities first', async () => {
    await addGuest(QCOW2);
    const refusal = (desc: string) => ({ error: { class: 'CommandNotFound', desc } });
    const client = new Client(1);
    client.write(`${QUERY}\r\n`);
    expect(await client.next()).toEqual(GREETED);
    expect(await client.next()).toEqual(
      refusal("Expecting capabilities negotiation with 'qmp_capabilities'"),
    );
    client.write(CAPABILITIES);
    expect(await client.next()).toEqual(NEGOTIATED);
    client.write(CAPABILITIES);
    expect(await client.next()).toEqual(
      refusal('Capabilities negotiation is already complete, command ignored'),
    );
    client.write('{"execute":"quit"}');
    expect(await client.next()).toEqual(refusal('The command quit has not been found'));
    client.write('{}');
    expect(await client.next()).toMatchObject({ error: {} });
    await client.close();
  });

  test('answers commands that are split or written at once, with their id', async () => {
    await addGuest(QCOW2);
    const client = new Client(1);
    client.write(`${CAPABILITIES}\n{"execute":"query-blockstats","arguments":{},"id":{"a":"}"`);
    expect(await client.next()).toEqual(GREETED);
    expect(await client.next()).toEqual(NEGOTIATED);
    client.write(`}}\n${QUERY}${QUERY}`);
    const answer = { return: [expect.objectContaining({ 'node-name': 'xvda-qcow2' })] };
    expect(await client.next()).toEqual({ ...answer, id: { a: '}' } });
    expect(await client.next()).toEqual(answer);
    expect(await client.next()).toEqual(answer);
    await client.close();
  });

  test('disconnects a client whose command is too long', async () => {
    await addGuest(QCOW2);
    const client = new Client(1);
    client.write('x'.repeat(5000));
    await client.closed;
    expect(await query(1)).toHaveLength(1);
  });

  test('serves one client at a time', async () => {
    await addGuest(QCOW2);
    const first = new Client(1);
    expect(await first.next()).toEqual(GREETED);
    const [second, third, fourth] = [new Client(1), new Client(1), new Client(1)];
    for (const client of [second, third, fourth]) client.write(CAPABILITIES + QUERY);
    const greeting = second.next();
    expect(await Promise.race([greeting, delay(50, 'waits')])).toBe('waits');
    // a client that gives up while it waits
    await third.close();
    await first.close();
    expect(await greeting).toEqual(GREETED);
    expect(await second.next()).toEqual(NEGOTIATED);
    expect(await second.next()).toMatchObject({ return: [{}] });
    await second.close();
    expect(await fourth.next()).toEqual(GREETED);
    await fourth.close();
  });

  test('hangs during the fault holdQemu()', async () => {
    await addGuest(QCOW2);
    await addGuest({ ...QCOW2, name: 'xvdb' });
    const connected = new Client(1);
    expect(await connected.next()).toEqual(GREETED);
    await host.faults.holdQemu(1);
    connected.write(CAPABILITIES + QUERY);
    const answer = connected.next();
    expect(await Promise.race([answer, delay(50, 'waits')])).toBe('waits');
    expect(await query(2)).toHaveLength(1);
    // a fault of xenstored does not end it, and clear() ends both
    await host.faults.refuse();
    expect(await Promise.race([answer, delay(50, 'waits')])).toBe('waits');
    await host.io(1, 'xvda', { reads: 7 });
    await host.faults.clear();
    expect(await answer).toEqual(NEGOTIATED);
    expect(await connected.next()).toMatchObject({ return: [{ stats: { rd_operations: 7 } }] });
    await connected.close();

    await host.faults.holdQemu(1);
    const other = new Client(1);
    const greeting = other.next();
    expect(await Promise.race([greeting, delay(50, 'waits')])).toBe('waits');
    await host.faults.clear();
    expect(await greeting).toEqual(GREETED);
    await other.close();
    await expect(host.faults.holdQemu(7)).rejects.toThrow('domain 7 has no QEMU');
  });
});

describe('a host', () => {
  test('refuses counters that the backend does not have', async () => {
    await addGuest(QCOW2, TAPDISK, { name: 'xvdc', source: '/dev/c' });
    await expect(host.setCounters(1, 'xvda', { f_req: 1 })).rejects.toThrow(
      'the backend qdisk has no counter f_req',
    );
    await expect(host.setCounters(1, 'xvdb', { oo_req: 1 })).rejects.toThrow('no counter oo_req');
    await expect(host.setCounters(1, 'xvdc', { rd_ns: 1 })).rejects.toThrow('no counter rd_ns');
    const counters = { ds_req: 1 };
    await expect(host.attachDisk(1, { ...RAW, counters })).rejects.toThrow('no counter ds_req');
    expect(await host.list('/local/domain/1/device/vbd')).toHaveLength(3);
    const virtio = {
      name: 'xvde',
      kind: 'virtio_disk',
      source: '/e',
      counters: { rd_req: 1 },
    } as const;
    await expect(host.attachDisk(1, virtio)).rejects.toThrow('no counter rd_req');
  });

  test('has room for the longest socket in the longest directory, and leaves other files', async () => {
    const root = mkdtempSync(join(tmpdir(), 'xen-block-stats-'));
    const length = 107 - '/run/qmp-libxenstat-32751'.length - root.length - 1;
    const directory = join(root, 'x'.repeat(length));
    await expect(SimulatedHost.start({ directory: `${directory}x` })).rejects.toThrow('107 bytes');
    const guests = [{ name: 'last', domid: 32751, disks: [QCOW2] }];
    const other = await SimulatedHost.start({ directory, guests });
    expect(existsSync(join(directory, 'run/qmp-libxenstat-32751'))).toBe(true);
    await other.stop();
    expect(readdirSync(directory)).toEqual([]);

    mkdirSync(join(directory, 'run'));
    await expect(SimulatedHost.start({ directory })).rejects.toMatchObject({ code: 'EEXIST' });
    expect(readdirSync(directory)).toEqual(['run']);
    rmSync(root, { recursive: true });
  });
});
