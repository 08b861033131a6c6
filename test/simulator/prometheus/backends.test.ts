import { unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { connect, type Connection, type DiskSet } from 'xen-block-stats';
import { MetricsText, registerDiskSet } from 'xen-block-stats/prometheus';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { addBackingDevice, setBackingStat } from '../../support/backing-files';
import { Exporter, valueOf } from '../../support/exporter';
import { needing } from '../../support/needs';
import { promtool } from '../../support/promtool';

/* The metrics of disks of blkback, with a backing device, of tapdisk and of QEMU. */

jest.setTimeout(60_000);

const UUID = '11111111-0000-4000-8000-000000000001';

/** The domid of web1, which has a disk of each backend. mail has one of QEMU. */
const WEB1 = 1;

/** Returns the labels of a disk of web1. */
const ofWeb1 = (disk: string) => `{domain="web1",uuid="${UUID}",disk="${disk}"}`;

/** The backing device of web1's disk of blkback. */
const BACKING = {
  rdIos: 100,
  rdTimeMs: 250,
  wrIos: 40,
  wrTimeMs: 1500,
  flIos: 7,
  flTimeMs: 33,
  inFlight: 3,
  ioTimeMs: 900,
  queueTimeMs: 4_294_967_295,
};

/** The fields of a file `stat` before Linux 5.5, which has no flushes. */
const STAT_BEFORE_5_5 = Array(15).fill('1').join(' ');

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.start({
    guests: [
      {
        name: 'web1',
        uuid: UUID,
        disks: [
          { name: 'xvda', source: '/dev/vg/web1' },
          { name: 'xvdb', source: '/srv/b.vhd', kind: 'vbd3', format: 'vhd', sectorSize: 4096 },
          {
            name: 'xvdc',
            source: '/srv/c.qcow2',
            kind: 'qdisk',
            format: 'qcow2',
            sectorSize: 4096,
          },
        ],
      },
      {
        name: 'mail',
        disks: [{ name: 'xvda', source: '/srv/m.img', kind: 'qdisk', format: 'raw' }],
      },
    ],
  });
  addBackingDevice(host.connectOptions.sysfs, 'vbd-1-51712', BACKING);
  const io = { reads: 3, readBytes: 12288, writes: 2, writeBytes: 8192 };
  for (const disk of ['xvda', 'xvdb', 'xvdc']) {
    await host.io(WEB1, disk, { ...io, readMs: 1.5, writeMs: 0.25, errors: 1 });
  }
});
afterEach(async () => {
  await host.stop();
});

/** Returns the lines of a disk's counters. */
const countersOf = (text: string, labels: string) =>
  text.split('\n').filter((line) => line.includes(`_total${labels}`));

/** What web1's disk of QEMU has after its I/O. QEMU counts a failed request as a write request, too. */
const QEMU_COUNTERS = [
  `xen_block_read_bytes_total${ofWeb1('xvdc')} 12288`,
  `xen_block_read_requests_total${ofWeb1('xvdc')} 3`,
  `xen_block_write_bytes_total${ofWeb1('xvdc')} 8192`,
  `xen_block_write_requests_total${ofWeb1('xvdc')} 3`,
  `xen_block_read_seconds_total${ofWeb1('xvdc')} 0.0015`,
  `xen_block_write_seconds_total${ofWeb1('xvdc')} 0.00025`,
  `xen_block_io_errors_total${ofWeb1('xvdc')} 1`,
];

/** The domains whose disk is up, and those whose disk is not. */
function upOf(text: string) {
  const lines = [...text.matchAll(/^xen_block_up\{domain="(\w+)",.*disk="(\w+)"\} ([01])$/gm)];
  const named = (up: string) =>
    lines.filter((it) => it[3] === up).map(([, domain, disk]) => `${domain}/${disk}`);
  return { up: named('1'), down: named('0') };
}

describe('in this process', () => {
  const KINDS = ['vbd', 'vbd3', 'qdisk'] as const;
  let xen: Connection;
  let set: DiskSet;

  beforeEach(async () => {
    xen = connect({ ...host.connectOptions, timeoutMs: 5000 });
    set = await xen.diskSet({ kinds: KINDS, backing: true });
  });
  afterEach(() => {
    xen.close();
  });

  const scrape = async (metrics: MetricsText, timeoutMs?: number) =>
    (await metrics.scrapeAsync(timeoutMs === undefined ? {} : { timeoutMs })).toString();

  test('scrapeAsync() has the counters that each backend has, to the number', async () => {
    const text = await scrape(new MetricsText(set));
    expect(countersOf(text, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
    expect(countersOf(text, ofWeb1('xvdb'))).toEqual(
      QEMU_COUNTERS.map((line) => line.replace('xvdc', 'xvdb')),
    );
    expect(countersOf(text, ofWeb1('xvda'))).toEqual([
      `xen_block_read_bytes_total${ofWeb1('xvda')} 12288`,
      `xen_block_read_requests_total${ofWeb1('xvda')} 3`,
      `xen_block_write_bytes_total${ofWeb1('xvda')} 8192`,
      `xen_block_write_requests_total${ofWeb1('xvda')} 2`,
      `xen_block_flush_requests_total${ofWeb1('xvda')} 0`,
      `xen_block_discard_requests_total${ofWeb1('xvda')} 0`,
      `xen_block_oo_requests_total${ofWeb1('xvda')} 0`,
      `xen_block_backing_reads_total${ofWeb1('xvda')} 100`,
      `xen_block_backing_writes_total${ofWeb1('xvda')} 40`,
      `xen_block_backing_flushes_total${ofWeb1('xvda')} 7`,
      `xen_block_backing_read_seconds_total${ofWeb1('xvda')} 0.25`,
      `xen_block_backing_write_seconds_total${ofWeb1('xvda')} 1.5`,
      `xen_block_backing_flush_seconds_total${ofWeb1('xvda')} 0.033`,
      `xen_block_backing_io_seconds_total${ofWeb1('xvda')} 0.9`,
      `xen_block_backing_queue_seconds_total${ofWeb1('xvda')} 4294967.295`,
    ]);
    expect(valueOf(text, `xen_block_backing_in_flight${ofWeb1('xvda')}`)).toBe(3);
    const device = `${ofWeb1('xvda').slice(0, -1)},device="254:0"}`;
    expect(valueOf(text, `xen_block_backing_info${device}`)).toBe(1);
    expect(text.match(/^xen_block_backing_info/gm)).toHaveLength(1);
    expect(upOf(text).down).toEqual([]);
    expect(valueOf(text, 'xen_block_disks')).toBe(4);
  });

  test('has the size of each disk in bytes, also with sectors of 4096 bytes', async () => {
    const text = await scrape(new MetricsText(set));
    const libvirt = await scrape(new MetricsText(set, { names: 'libvirt' }));
    const capacity = 'libvirt_domain_block_stats_capacity_bytes';
    for (const disk of ['xvda', 'xvdb', 'xvdc']) {
      expect(valueOf(text, `xen_block_size_bytes${ofWeb1(disk)}`)).toBe(2 ** 30);
      expect(valueOf(libvirt, `${capacity}{domain="web1",target_device="${disk}"}`)).toBe(2 ** 30);
    }
  });

  test('has no metrics of a backing device that cannot be read, and omits flushes of old kernels', async () => {
    const { sysfs } = host.connectOptions;
    const metrics = new MetricsText(set);
    const families = async () => (await scrape(metrics)).match(/^xen_block_backing_\w+(?=\{)/gm);
    expect(await families()).toHaveLength(10);
    setBackingStat(sysfs, STAT_BEFORE_5_5);
    expect(await families()).toHaveLength(8);
    setBackingStat(sysfs, 'rubbish');
    expect(await families()).toBeNull();
    expect(upOf(await scrape(metrics)).down).toEqual([]);
  });

  test('a set without the option backing has no families of backing devices', async () => {
    const text = await scrape(new MetricsText(await xen.diskSet({ kinds: KINDS })));
    expect(text).not.toContain('xen_block_backing');
    expect(countersOf(text, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
  });

  test('with the names of libvirt’s exporters, has their times', async () => {
    const text = await scrape(new MetricsText(set, { names: 'libvirt' }));
    const labels = '{domain="web1",target_device="xvdc"}';
    expect(text).toContain(`libvirt_domain_block_stats_read_time_seconds_total${labels} 0.0015\n`);
    expect(text).toContain(
      `libvirt_domain_block_stats_write_time_seconds_total${labels} 0.00025\n`,
    );
    expect(text).not.toContain('xen_block_read_seconds_total');
    expect(valueOf(text, `xen_block_io_errors_total${ofWeb1('xvdc')}`)).toBe(1);
    expect(valueOf(text, `xen_block_backing_reads_total${ofWeb1('xvda')}`)).toBe(100);
  });

  test('a disk whose QEMU hangs is not up and has no counters, and the others have', async () => {
    const metrics = new MetricsText(set);
    await scrape(metrics);
    await host.faults.holdQemu(WEB1);
    const start = performance.now();
    const text = await scrape(metrics, 100);
    expect(performance.now() - start).toBeGreaterThan(95);
    expect(performance.now() - start).toBeLessThan(2000);
    expect(upOf(text)).toEqual({
      up: ['web1/xvda', 'web1/xvdb', 'mail/xvda'],
      down: ['web1/xvdc'],
    });
    // although the set still has the numbers of the last answer
    expect(set.errors.size).toBe(0);
    expect(countersOf(text, ofWeb1('xvdc'))).toEqual([]);
    expect(countersOf(text, ofWeb1('xvdb'))).toHaveLength(7);
    expect(valueOf(text, 'xen_block_scrape_errors_total')).toBe(1);
    expect(text).toMatch(/^xen_block_info\{.*disk="xvdc".*backend="qdisk"/m);

    await host.faults.clear();
    const again = await scrape(metrics);
    expect(upOf(again).down).toEqual([]);
    expect(countersOf(again, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
    expect(valueOf(again, 'xen_block_scrape_errors_total')).toBe(1);
  });

  test('scrapes that overlap each have the answer, and wait only until their own deadline', async () => {
    const metrics = new MetricsText(set);
    await host.faults.holdQemu(WEB1);
    const ended: string[] = [];
    const run = async (name: string, timeoutMs: number) => {
      const text = await scrape(metrics, timeoutMs);
      ended.push(name);
      return upOf(text).down;
    };
    const first = run('first', 4000);
    await delay(10);
    const second = run('second', 50);
    expect(await second).toEqual(['web1/xvdc']);
    const third = run('third', 4000);
    await host.faults.clear();
    expect(await first).toEqual([]);
    expect(await third).toEqual([]);
    expect(ended).toEqual(['second', 'first', 'third']);
  });

  test('scrape() has the disks whose QEMU has answered since the scrape before', async () => {
    const metrics = new MetricsText(set);
    const down = () => upOf(metrics.scrape().toString()).down;
    expect(down()).toEqual(['web1/xvdc', 'mail/xvda']);
    await set.sampleAsync();
    expect(down()).toEqual([]);
    expect(down()).toEqual(['web1/xvdc', 'mail/xvda']);
  });

  test('scrapeAsync() is rejected when the set is closed meanwhile', async () => {
    const metrics = new MetricsText(set);
    await host.faults.holdQemu(WEB1);
    const scraped = metrics.scrapeAsync({ timeoutMs: 50 });
    set.close();
    await expect(scraped).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    await expect(metrics.scrapeAsync({ timeoutMs: 50 })).rejects.toMatchObject({
      code: 'ERR_XEN_CLOSED',
    });
  });

  test.each([
    [{ timeoutMs: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ timeoutMs: '1' as never }, 'ERR_INVALID_ARG_TYPE'],
    [null as never, 'ERR_INVALID_ARG_TYPE'],
  ])('scrapeAsync() refuses %j', async (options, code) => {
    await expect(new MetricsText(set).scrapeAsync(options)).rejects.toMatchObject({ code });
  });

  describe('a registry of prom-client', () => {
    const values = (text: string) =>
      text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('xen_block_scrape_duration_seconds '));

    test('asks QEMU once each collection, and has the metrics of scrapeAsync()', async () => {
      const registry = new Registry();
      registerDiskSet(registry, set);
      const sampleAsync = jest.spyOn(set, 'sampleAsync');
      const text = await registry.metrics();
      expect(sampleAsync).toHaveBeenCalledTimes(1);
      expect(countersOf(text, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
      expect(values(text)).toEqual(values(await scrape(new MetricsText(set))));
    });

    test('has no counters of a disk whose QEMU hangs', async () => {
      const short = connect({ ...host.connectOptions, timeoutMs: 200 });
      const registry = new Registry();
      registerDiskSet(registry, await short.diskSet({ kinds: KINDS }));
      expect(upOf(await registry.metrics()).down).toEqual([]);
      await host.faults.holdQemu(WEB1);
      const text = await registry.metrics();
      expect(upOf(text).down).toEqual(['web1/xvdc']);
      expect(countersOf(text, ofWeb1('xvdc'))).toEqual([]);
      short.close();
    });

    test('has no values when the set is closed while QEMU is asked', async () => {
      const registry = new Registry();
      registerDiskSet(registry, set);
      await host.faults.holdQemu(WEB1);
      const text = registry.metrics();
      xen.close();
      expect(values(await text).filter((line) => !line.startsWith('#'))).toEqual([]);
    });
  });
});

describe('xen-block-stats serve', () => {
  let exporter: Exporter;
  afterEach(async () => {
    await exporter.stop();
  });

  const start = async (...args: string[]) => {
    exporter = await Exporter.start(host.connectOptions, ...args);
  };

  /** Scrapes, and returns the metrics and the time that it took, in milliseconds. */
  async function scrape(timeoutSeconds?: string) {
    const header = 'x-prometheus-scrape-timeout-seconds';
    const headers = timeoutSeconds === undefined ? {} : { [header]: timeoutSeconds };
    const begin = performance.now();
    const text = await (await exporter.get('/metrics', { headers })).text();
    return { text, took: performance.now() - begin };
  }

  needing('promtool').test('has the metrics of all backends, which promtool accepts', async () => {
    await start();
    expect(exporter.greeting).toBe(`listening on ${exporter.url}\n`);
    const { text } = await scrape();
    expect(upOf(text).down).toEqual([]);
    expect(countersOf(text, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
    expect(valueOf(text, `xen_block_backing_reads_total${ofWeb1('xvda')}`)).toBe(100);
    expect(valueOf(text, 'xen_block_unsupported_disks{driver="qemu"}')).toBe(0);
    expect(promtool(['check', 'metrics'], text)).toBe('');
  });

  test('responds before the timeout of the scrape while a QEMU hangs', async () => {
    await start();
    await scrape();
    await host.faults.holdQemu(WEB1);
    const patient = scrape('100');
    const [brief, invalid] = await Promise.all([scrape('1.5'), scrape('x')]);
    expect(brief.took).toBeGreaterThan(950);
    for (const { took } of [invalid, await patient]) {
      expect(took).toBeGreaterThan(1900);
      expect(took).toBeGreaterThan(brief.took);
    }
    const texts = [brief, invalid, await patient].map(({ text }) => text);
    expect(texts.map((text) => upOf(text).down)).toEqual(Array(3).fill(['web1/xvdc']));
    expect(texts.flatMap((text) => countersOf(text, ofWeb1('xvdc')))).toEqual([]);

    await host.faults.clear();
    while (upOf((await scrape()).text).down.length > 0) await delay(50);
    expect(countersOf((await scrape()).text, ofWeb1('xvdc'))).toEqual(QEMU_COUNTERS);
  });

  test('ends with status 0 while a scrape waits for QEMU', async () => {
    await start();
    await host.faults.holdQemu(WEB1);
    const scraped = scrape().catch(() => undefined);
    await delay(100);
    expect(await exporter.stop()).toEqual({ status: 0, signal: null, stderr: '' });
    // it did not wait for the response
    expect(await scraped).toBeUndefined();
  });

  test('with --no-qemu, does not ask QEMU, and counts its disks as unsupported', async () => {
    const path = join(host.connectOptions.run, `qmp-libxenstat-${WEB1}`);
    unlinkSync(path);
    let connections = 0;
    const monitor = createServer(() => (connections += 1)).listen(path);
    await start('--no-qemu');
    expect(exporter.greeting).toBe(`listening on ${exporter.url}\n2 disks of QEMU are not shown\n`);
    const { text } = await scrape();
    await new Promise((resolve) => monitor.close(resolve));
    expect(connections).toBe(0);
    expect(upOf(text)).toEqual({ up: ['web1/xvda', 'web1/xvdb'], down: [] });
    expect(valueOf(text, 'xen_block_unsupported_disks{driver="qemu"}')).toBe(2);
  });
});
