import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { QemuMonitors } from '../../lib/backends/qemu';
import { Column, ROW_LENGTH } from '../../lib/native';
import { needing } from '../support/needs';
import { Qemu, type QemuDisk } from '../support/qemu';

/*
 * Tests lib/backends/qemu.ts on a real QEMU, which needs neither Xen nor a guest. test/xen has Xen's own.
 */

const { EAGAIN, ECONNREFUSED, ECONNRESET, ENOENT } = constants.errno;

const DOMID = 7;
const XVDA = { name: 'xvda', format: 'qcow2' } as const;
const XVDB = { name: 'xvdb', format: 'raw' } as const;
const MIB = 2 ** 20;
/** Far longer than an answer takes. */
const TIMEOUT_MS = 20_000;
/** The timeout of a query that is not answered. */
const SHORT_MS = 50;
/** The timeout of queries some of which are answered. */
const LONGER_MS = 500;

let qemu: Qemu;
let monitors: QemuMonitors;
let clients: Socket[];

async function start(disks: readonly QemuDisk[], timeoutMs = TIMEOUT_MS): Promise<void> {
  qemu = await Qemu.start(DOMID, disks);
  monitors = new QemuMonitors(qemu.directory, timeoutMs);
}

beforeEach(() => {
  clients = [];
});
afterEach(async () => {
  jest.restoreAllMocks();
  for (const client of clients) client.destroy();
  monitors.close();
  await qemu.stop();
});

/** Queries QEMU, and returns the numbers of a disk. */
async function query(disk: QemuDisk): Promise<Record<keyof typeof Column, number>> {
  const row = new Float64Array(ROW_LENGTH);
  expect((await monitors.query(DOMID)).fill(disk, row)).toBe(true);
  const numbers = Object.entries(Column).map(([name, column]) => [name, row[column]]);
  return Object.fromEntries(numbers) as Record<keyof typeof Column, number>;
}

/** Connects another client to the monitor. */
async function connectClient(): Promise<Socket> {
  const client = createConnection(qemu.socket);
  clients.push(client);
  await once(client, 'connect');
  return client;
}

/** Returns how many sockets this process has open. */
function countSockets(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:');
    } catch {
      return false; // the descriptor of the directory itself
    }
  }).length;
}

needing('qemu-system-x86_64', 'qemu-img').describe('the QEMU of a domain', () => {
  const NOT_COUNTED = { flushReq: -1, discardReq: -1, ooReq: -1 };
  const NOTHING = {
    ...{ rdReq: 0, rdSectors: 0, rdBytes: 0, wrReq: 0, wrSectors: 0, wrBytes: 0 },
    ...NOT_COUNTED,
    ...{ rdTimeNs: 0, wrTimeNs: 0, ioErrors: 0 },
  };

  test.each(['raw', 'qcow2', 'vhd'] as const)('counts the I/O of a %s disk', async (format) => {
    const disk = { name: 'xvda', format };
    await start([disk]);
    expect(await query(disk)).toEqual(NOTHING);
    await qemu.io('xvda', 'aio_write 0 1M');
    await qemu.io('xvda', 'aio_write 1M 4k');
    await qemu.io('xvda', 'aio_read 0 64k');
    const { rdTimeNs, wrTimeNs, ...counts } = await query(disk);
    expect(counts).toEqual({
      ...{ rdReq: 1, rdSectors: 128, rdBytes: 65_536 },
      ...{ wrReq: 2, wrSectors: 2056, wrBytes: MIB + 4096 },
      ...NOT_COUNTED,
      ioErrors: 0,
    });
    expect(rdTimeNs).toBeGreaterThan(0);
    expect(wrTimeNs).toBeGreaterThan(0);
  });

  test('counts a failed write as a request and an error', async () => {
    await start([{ ...XVDB, isFailing: true }, XVDA]);
    await qemu.io('xvdb', 'aio_write 0 1M');
    expect(await query(XVDB)).toMatchObject({ wrReq: 1, wrBytes: 0, ioErrors: 1, rdReq: 0 });
    expect(await query(XVDA)).toEqual(NOTHING);
  });

  test('answers for 26 disks at once', async () => {
    const disks = Array.from('abcdefghijklmnopqrstuvwxyz', (letter) => ({
      name: `xvd${letter}`,
      format: 'raw' as const,
    }));
    await start(disks);
    await qemu.io('xvdz', 'aio_write 0 1M');
    const answer = await monitors.query(DOMID);
    const rows = new Float64Array(disks.length * ROW_LENGTH);
    for (const [i, disk] of disks.entries()) {
      expect(answer.fill(disk, rows, i * ROW_LENGTH)).toBe(true);
    }
    const written = disks.map((_, i) => rows[i * ROW_LENGTH + Column.wrBytes]);
    expect(written).toEqual([...new Array<number>(25).fill(0), MIB]);
  });

  test('has no disk that it does not serve', async () => {
    await start([XVDB]);
    const answer = await monitors.query(DOMID);
    expect(answer.fill(XVDA, new Float64Array(ROW_LENGTH))).toBe(false);
  });

  test('serves the next client after each query', async () => {
    await start([XVDB]);
    const before = countSockets();
    for (let i = 0; i < 100; i++) await query(XVDB);
    const client = await connectClient();
    await once(client, 'data');
    client.destroy();
    await once(client, 'close');
    expect(countSockets()).toBe(before);
  });

  test('answers many clients that query it all the time', async () => {
    await start([XVDB]);
    const others = Array.from({ length: 5 }, () => new QemuMonitors(qemu.directory, TIMEOUT_MS));
    await Promise.all(
      others.map(async (other) => {
        for (let i = 0; i < 50; i++) await other.query(DOMID);
      }),
    );
  });

  test('answers when another client has left', async () => {
    await start([XVDB]);
    const client = await connectClient();
    await once(client, 'data');
    let hasLeft = false;
    // connects at once
    const asked = monitors.query(DOMID).then(() => {
      expect(hasLeft).toBe(true);
    });
    hasLeft = true;
    client.destroy();
    await asked;
  });

  test('rejects at the deadline while another client stays', async () => {
    await start([XVDB], SHORT_MS);
    await once(await connectClient(), 'data');
    await expect(monitors.query(DOMID)).rejects.toMatchObject({
      message: `cannot read ${qemu.socket}: QEMU did not answer within ${SHORT_MS} ms: it hangs, or another program uses its monitor (domain ${DOMID})`,
      syscall: 'read',
    });
  });

  describe('with a full queue of clients', () => {
    /** The one that QEMU serves, and those that its queue has room for. */
    const connectClients = async () => {
      await once(await connectClient(), 'data');
      for (let isFull = false; !isFull;) {
        isFull = await connectClient().then(
          () => false,
          (error: unknown) => (error as NodeJS.ErrnoException).code === 'EAGAIN',
        );
      }
    };

    test('answers when they have left', async () => {
      await start([XVDB]);
      await connectClients();
      const asked = query(XVDB);
      await delay(SHORT_MS);
      for (const client of clients) client.destroy();
      expect(await asked).toEqual(NOTHING);
    });

    test('rejects at the deadline while they stay', async () => {
      await start([XVDB], SHORT_MS);
      await connectClients();
      await expect(monitors.query(DOMID)).rejects.toMatchObject({
        code: 'ERR_XEN_STATS_UNAVAILABLE',
        message: `cannot connect to ${qemu.socket}: QEMU did not answer within ${SHORT_MS} ms: it hangs, or other programs use its monitor (EAGAIN) (domain ${DOMID})`,
        errno: EAGAIN,
        syscall: 'connect',
      });
    });

    test('rejects when the monitors are closed', async () => {
      await start([XVDB]);
      await connectClients();
      const asked = monitors.query(DOMID);
      await delay(SHORT_MS);
      monitors.close();
      await expect(asked).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    });
  });

  test('is left alone for a second after it hung, and answers when it continues', async () => {
    await start([XVDB], LONGER_MS);
    await query(XVDB);
    const begin = performance.now();
    const now = jest.spyOn(performance, 'now').mockReturnValue(begin);
    qemu.signal('SIGSTOP');
    await expect(monitors.query(DOMID)).rejects.toThrow(`did not answer within ${LONGER_MS} ms`);
    await expect(monitors.query(DOMID)).rejects.toThrow('is asked again in 1.0 s');
    now.mockReturnValue(begin + 1000);
    await expect(monitors.query(DOMID)).rejects.toThrow(`did not answer within ${LONGER_MS} ms`);
    await expect(monitors.query(DOMID)).rejects.toThrow('is asked again in 2.0 s');
    qemu.signal('SIGCONT');
    await qemu.io('xvdb', 'aio_write 0 1M');
    now.mockReturnValue(begin + 3000);
    expect(await query(XVDB)).toMatchObject({ wrReq: 1, wrBytes: MIB });
  });

  test('rejects when it is killed', async () => {
    await start([XVDB]);
    qemu.signal('SIGSTOP');
    const asked = monitors.query(DOMID); // connects at once
    const [killed] = await Promise.allSettled([asked, qemu.kill()]);
    // the event loop may learn of the connection after its end, which is then a failure to connect
    expect(killed).toMatchObject({
      status: 'rejected',
      reason: { code: 'ERR_XEN_STATS_UNAVAILABLE', errno: ECONNRESET, path: qemu.socket },
    });
    await expect(monitors.query(DOMID)).rejects.toMatchObject({
      message: `cannot connect to ${qemu.socket}: ECONNREFUSED, the QEMU of the domain has crashed or was killed (domain ${DOMID})`,
      errno: ECONNREFUSED,
      syscall: 'connect',
    });
  });

  test('is missing when it has ended', async () => {
    await start([XVDB]);
    await qemu.end();
    await expect(monitors.query(DOMID)).rejects.toMatchObject({ errno: ENOENT });
  });
});
