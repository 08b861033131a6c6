import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection } from 'xen-block-stats';
import { NetworkDevice, linkCounters, statisticsFolder } from '../support/kernel-counters';
import { needing } from '../support/needs';
import { RealHost } from '../support/real-host';
import { execFileSync } from '../support/child-process';

const { describe } = needing('CAP_NET_ADMIN', 'CAP_SYS_ADMIN');

describe('on the kernel’s own counters and the real xenstored', () => {
  let device: NetworkDevice;
  let host: RealHost;
  let xen: Connection;

  const readFile = (devid: number, file: string) =>
    Number(readFileSync(join(statisticsFolder(host.connectOptions.sysfs, devid), file)));

  /** Calls a function until the counters have not changed meanwhile: other processes use lo, too. */
  function undisturbed<T>(call: () => T): T {
    const counters = () => ['rd_req', 'wr_req'].map((file) => readFile(51712, file)).join();
    for (;;) {
      const before = counters();
      const result = call();
      if (counters() === before) return result;
    }
  }

  /** Changes the counters of lo with a datagram. */
  async function sendDatagram(): Promise<void> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.send('x'.repeat(512), socket.address().port, '127.0.0.1');
    await once(socket, 'message');
    await new Promise<void>((resolve) => {
      socket.close(resolve);
    });
  }

  beforeAll(async () => {
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      domid: 1,
      disks: [
        { name: 'xvda', source: '/dev/a' },
        { name: 'xvdb', source: '/dev/b', physicalSectorSize: 4096 },
      ],
    });
    device = await NetworkDevice.create('xbs');
    linkCounters(host.connectOptions.sysfs, 51712, 'lo');
    linkCounters(host.connectOptions.sysfs, 51728, device.name);
    xen = connect(host.connectOptions);
  });
  afterAll(async () => {
    xen.close();
    await device.remove();
    await host.stop();
  });

  test('reads the numbers in the files, before and after they change', async () => {
    const disk = xen.domain('web1').disk('xvda');
    const first = disk.read();
    await sendDatagram();
    const { second, files } = undisturbed(() => ({
      second: disk.read(),
      files: {
        rdReq: readFile(51712, 'rd_req'),
        wrReq: readFile(51712, 'wr_req'),
        rdBytes: readFile(51712, 'rd_sect') * 512,
        wrBytes: readFile(51712, 'wr_sect') * 512,
      },
    }));
    expect(second.rdReq).toBeGreaterThan(first.rdReq);
    expect(second.rdSectors - first.rdSectors).toBeGreaterThanOrEqual(512);
    expect(second).toMatchObject(files);
  });

  test('prints the numbers in the files, and their sums over the disks, with the stat command', () => {
    const cli = (...args: string[]) =>
      execFileSync(
        process.execPath,
        [
          'dist/xen-block-stats.js',
          ...args,
          '--xenstore',
          host.connectOptions.xenstore,
          '--sysfs',
          host.connectOptions.sysfs,
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
      );
    const expected = (name: string, devid: number, size: number) => ({
      [`${name} rd_req`]: readFile(devid, 'rd_req'),
      [`${name} rd_bytes`]: readFile(devid, 'rd_sect') * size,
      [`${name} wr_req`]: readFile(devid, 'wr_req'),
      [`${name} wr_bytes`]: readFile(devid, 'wr_sect') * size,
      [`${name} errs`]: readFile(devid, 'oo_req'),
      [`${name} flush_operations`]: readFile(devid, 'f_req'),
    });
    const lines = (counters: Record<string, number>) =>
      Object.entries(counters)
        .map(([name, value]) => `${name} ${value}\n`)
        .join('');

    const sums = () => {
      const a = expected('', 51712, 512);
      const b = Object.values(expected('', 51728, 4096));
      return Object.fromEntries(
        Object.entries(a).map(([name, value], i) => [name, value + (b[i] ?? 0)]),
      );
    };
    const check = (disk: string[], counters: () => Record<string, number>) => {
      const [actual, fromFiles] = undisturbed(
        () => [cli('stat', 'web1', ...disk), counters()] as const,
      );
      expect(actual).toBe(lines(fromFiles));
    };
    check(['xvda'], () => expected('xvda', 51712, 512));
    check(['xvdb'], () => expected('xvdb', 51728, 4096));
    check([], sums);
  }, 60_000);

  test('fails for a device that was removed, and reads a new device of the same name', () => {
    const disk = xen.domain('web1').disk('xvdb');
    disk.read();
    device.plugOut();
    expect(() => disk.read()).toThrow(
      expect.objectContaining({ code: 'ERR_XEN_STATS_UNAVAILABLE', disk: 'xvdb' }),
    );
    device.plugIn();
    expect(disk.read().rdReq).toBe(0);
  });
});
