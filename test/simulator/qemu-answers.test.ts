import { once } from 'node:events';
import { unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { GREETING, NEGOTIATED } from '../support/qmp-recorded';

/*
 * Answers of a QEMU that come late: after the disk was replaced. The monitor is the test's.
 */

describe('the answer of QEMU to a question', () => {
  let host: SimulatedHost;
  let xen: Connection;
  let monitor: Server;
  /** The clients that have asked. */
  let clients: Socket[];

  beforeEach(async () => {
    const disks = [{ name: 'xvda', kind: 'qdisk', source: '/srv/a' } as const];
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
    const path = join(host.connectOptions.run, 'qmp-libxenstat-1');
    unlinkSync(path);
    clients = [];
    monitor = createServer((client) => {
      client.write(GREETING + NEGOTIATED);
      client.once('data', () => clients.push(client));
    });
    await once(monitor.listen(path), 'listening');
    xen = connect({ ...host.connectOptions, timeoutMs: 20_000 });
  });
  afterEach(async () => {
    xen.close();
    await new Promise((resolve) => monitor.close(resolve));
    await host.stop();
  });

  /** Waits for a question, and answers it with this number of reads. */
  async function answer(index: number, reads: number): Promise<void> {
    while (clients[index] === undefined) await delay(1);
    const others = [
      'wr_operations',
      'rd_bytes',
      'wr_bytes',
      'rd_total_time_ns',
      'wr_total_time_ns',
    ];
    const failed = ['rd', 'wr', 'flush', 'unmap'].map((it) => `failed_${it}_operations`);
    const zeros = Object.fromEntries([...others, ...failed].map((name) => [name, 0]));
    const entry = { 'node-name': 'xvda-raw', stats: { ...zeros, rd_operations: reads } };
    clients[index].write(`${JSON.stringify({ return: [entry] })}\r\n`);
  }

  async function replaceDisk(): Promise<void> {
    await host.detachDisk(1, 'xvda');
    await host.attachDisk(1, { name: 'xvda', kind: 'qdisk', source: '/srv/b' });
  }

  test('from before a disk was opened is not used by its readAsync()', async () => {
    const former = xen.domain(1).disk('xvda').readAsync();
    while (clients.length === 0) await delay(1);
    await replaceDisk();
    const now = xen.domain(1).disk('xvda').readAsync();
    await answer(0, 100);
    await expect(former).rejects.toMatchObject({ code: 'ERR_XEN_INVALID_DISK' });
    await answer(1, 7);
    expect((await now).rdReq).toBe(7);
  });

  test('from before a set got a disk is not used for its row', async () => {
    const set = await xen.diskSet({ kinds: ['qdisk'] });
    const sampled = set.sampleAsync();
    while (clients.length === 0) await delay(1);
    await replaceDisk();
    while (set.disks[0]?.source !== '/srv/b') await delay(1);
    await answer(0, 100);
    await sampled;
    expect(set.values[0]).toBe(-1);
    const next = set.sampleAsync();
    await answer(1, 7);
    await next;
    expect(set.values[0]).toBe(7);
  });
});
