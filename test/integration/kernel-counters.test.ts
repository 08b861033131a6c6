import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Connection } from 'xen-block-stats';
import { RealHost } from './hosts/real-host';

/*
 * The kernel keeps a network device's counters as it keeps a vbd's: a number a file, in sysfs. A folder
 * of links to them is a disk whose counters are the kernel's own.
 */
const LINKS = {
  rd_req: 'rx_packets',
  rd_sect: 'rx_bytes',
  wr_req: 'tx_packets',
  wr_sect: 'tx_bytes',
  f_req: 'rx_errors',
  ds_req: 'tx_errors',
  oo_req: 'rx_dropped',
};

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' });

describe('on the kernel’s own counters and the real xenstored', () => {
  const device = `xbs${process.pid}`;
  let host: RealHost;
  let xen: Connection;

  const folder = (devid: number) =>
    join(host.connectOptions.sysfs, `bus/xen-backend/devices/vbd-1-${devid}/statistics`);

  function link(devid: number, netDevice: string): void {
    rmSync(folder(devid), { recursive: true, force: true });
    mkdirSync(folder(devid), { recursive: true });
    for (const [file, counter] of Object.entries(LINKS)) {
      symlinkSync(`/sys/class/net/${netDevice}/statistics/${counter}`, join(folder(devid), file));
    }
  }

  const byHand = (devid: number, file: string) => Number(readFileSync(join(folder(devid), file)));

  /** Moves the counters of lo by a datagram. */
  async function traffic(): Promise<void> {
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
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
    link(51712, 'lo');
    link(51728, device);
    xen = connect(host.connectOptions);
  });
  afterAll(async () => {
    xen.close();
    try {
      ip('link', 'del', device);
    } catch {
      // a test took it away
    }
    await host.stop();
  });

  test('a disk’s numbers are those in the files, before and after they move', async () => {
    const disk = xen.domain('web1').disk('xvda');
    const first = disk.read();
    await traffic();
    const second = disk.read();
    expect(second.rdReq).toBeGreaterThan(first.rdReq);
    expect(second.rdSectors - first.rdSectors).toBeGreaterThanOrEqual(512);
    expect(second).toMatchObject({
      rdReq: byHand(51712, 'rd_req'),
      wrReq: byHand(51712, 'wr_req'),
      rdBytes: byHand(51712, 'rd_sect') * 512,
      wrBytes: byHand(51712, 'wr_sect') * 512,
    });
  });

  test('the command line prints what is in the files, and the sum over the disks', () => {
    const cli = (...args: string[]) =>
      execFileSync(
        process.execPath,
        [
          'dist/cli/main.js',
          ...args,
          '--xenstore',
          host.connectOptions.xenstore,
          '--sysfs',
          host.connectOptions.sysfs,
        ],
        { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
      );
    const disk = (name: string, devid: number, size: number) => ({
      [`${name} rd_req`]: byHand(devid, 'rd_req'),
      [`${name} rd_bytes`]: byHand(devid, 'rd_sect') * size,
      [`${name} wr_req`]: byHand(devid, 'wr_req'),
      [`${name} wr_bytes`]: byHand(devid, 'wr_sect') * size,
      [`${name} errs`]: byHand(devid, 'oo_req'),
      [`${name} flush_operations`]: byHand(devid, 'f_req'),
    });
    const lines = (counters: Record<string, number>) =>
      Object.entries(counters)
        .map(([name, value]) => `${name} ${value}\n`)
        .join('');

    expect(cli('stat', 'web1', 'xvda')).toBe(lines(disk('xvda', 51712, 512)));
    expect(cli('stat', 'web1', 'xvdb')).toBe(lines(disk('xvdb', 51728, 4096)));
    const a = Object.values(disk('', 51712, 512));
    const b = Object.values(disk('', 51728, 4096));
    const names = Object.keys(disk('', 0 + 51712, 512));
    const sum = Object.fromEntries(names.map((name, i) => [name, (a[i] ?? 0) + (b[i] ?? 0)]));
    expect(cli('stat', 'web1')).toBe(lines(sum));
  });

  test('a device that is unplugged is gone, also when one of its name comes back', () => {
    const disk = xen.domain('web1').disk('xvdb');
    disk.read();
    ip('link', 'del', device);
    expect(() => disk.read()).toThrow(
      expect.objectContaining({ code: 'ERR_XEN_STATS_UNAVAILABLE', disk: 'xvdb' }),
    );
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', `${device}p`);
    expect(disk.read().rdReq).toBe(0);
  });
});
