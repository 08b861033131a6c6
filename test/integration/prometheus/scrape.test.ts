import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { addBackingDevice } from '../../support/backing-files';
import { Exporter } from '../../support/exporter';
import { ROOT } from '../../support/paths';
import { PrometheusServer } from '../../support/prometheus';
import { overwriteCounter } from '../../support/counter-file';

jest.setTimeout(60_000);

/** The metric of each file of sysfs, and the factor between their units. */
const COUNTERS = {
  rd_req: ['xen_block_read_requests_total', 1n],
  rd_sect: ['xen_block_read_bytes_total', 512n],
  wr_req: ['xen_block_write_requests_total', 1n],
  wr_sect: ['xen_block_write_bytes_total', 512n],
  f_req: ['xen_block_flush_requests_total', 1n],
  ds_req: ['xen_block_discard_requests_total', 1n],
  oo_req: ['xen_block_oo_requests_total', 1n],
} as const;

describe('Prometheus, scraping two hosts', () => {
  let hosts: SimulatedHost[];
  let exporters: Exporter[];
  let prometheus: PrometheusServer;
  /** The label `instance` of each host's series. */
  let instances: string[];

  beforeAll(async () => {
    hosts = await Promise.all([
      SimulatedHost.start({
        guests: [
          {
            name: 'web1',
            uuid: '11111111-0000-4000-8000-000000000001',
            disks: [
              { name: 'xvda', source: '/dev/vg/web1', counters: { rd_req: 7, rd_sect: 56 } },
              { name: 'xvdb', source: '/dev/vg/data', physicalSectorSize: 4096 },
            ],
          },
          { name: 'db', disks: [{ name: 'sda1', source: '/dev/vg/db' }] },
        ],
      }),
      SimulatedHost.start({
        guests: [
          { name: 'web1', disks: [{ name: 'xvda', source: '/dev/vg/other' }] },
          {
            name: 'mail',
            disks: [
              { name: 'xvda', source: '/srv/mail.vhd', kind: 'vbd3', format: 'vhd' },
              { name: 'xvdb', source: '/srv/mail.qcow2', kind: 'qdisk', format: 'qcow2' },
            ],
          },
        ],
      }),
    ]);
    addBackingDevice(hosts[1]?.connectOptions.sysfs ?? '', 'vbd-1-51712', {});
    exporters = await Promise.all(
      hosts.map((host) => Exporter.start(host.connectOptions, '--peaks', '10ms')),
    );
    instances = exporters.map(({ instance }) => instance);
    prometheus = await PrometheusServer.start(`
      global: { scrape_interval: 200ms, evaluation_interval: 200ms }
      rule_files: ['${join(ROOT, 'prometheus/*.yml')}']
      scrape_configs:
        - job_name: xen-block-stats
          static_configs: [{ targets: ${JSON.stringify(instances)} }]
    `);
    await prometheus.until('count(xen_block_up == 1)', 6);
  });
  afterAll(async () => {
    await prometheus.stop();
    await Promise.all(exporters.map((exporter) => exporter.stop()));
    await Promise.all(hosts.map((host) => host.stop()));
  });

  /** Returns a selector for the labels of a disk's series. */
  const labels = (host: number, domain: string, disk: string) =>
    `{instance="${instances[host] ?? ''}", domain="${domain}", disk="${disk}"}`;

  /** Waits until Prometheus has the present counters of a disk. */
  async function untilScraped(host: number, domid: number, domain: string, disk: string) {
    const counters = await hosts[host]?.counters(domid, disk);
    for (const [file, [metric, unit]] of Object.entries(COUNTERS)) {
      const value = counters?.[file as keyof typeof COUNTERS] ?? -1n;
      await prometheus.until(metric + labels(host, domain, disk), Number(value * unit));
    }
  }

  test('has every counter of every disk, with true bytes', async () => {
    const io = { reads: 3, readBytes: 12288, writes: 5, writeBytes: 40960 };
    await hosts[0]?.io(1, 'xvda', { ...io, flushes: 2, discards: 1, ooReq: 4 });
    await hosts[0]?.io(1, 'xvdb', { writes: 1, writeBytes: 8388608 });
    await hosts[0]?.io(2, 'sda1', io);
    await hosts[1]?.io(1, 'xvda', { reads: 1, readBytes: 512 });
    await untilScraped(0, 1, 'web1', 'xvda');
    await untilScraped(0, 1, 'web1', 'xvdb');
    await untilScraped(0, 2, 'db', 'sda1');
    await untilScraped(1, 1, 'web1', 'xvda');

    // once with literal numbers
    const read = await prometheus.number(`xen_block_read_bytes_total${labels(0, 'web1', 'xvda')}`);
    expect(read).toBe(56 * 512 + 12288);
    expect(await prometheus.number('sum(xen_block_write_bytes_total)')).toBe(2 * 40960 + 8388608);
    // the increase since the first scrape
    const increase = (metric: string) =>
      prometheus.number(
        `sum(max_over_time(${metric}{domain="web1"}[5m]) - min_over_time(${metric}{domain="web1"}[5m]))`,
      );
    expect(await increase('xen_block_read_bytes_total')).toBe(12288 + 512);
    expect(await increase('xen_block_oo_requests_total')).toBe(4);
  });

  test('has the description of each disk', async () => {
    const [info] = await prometheus.query(`xen_block_info${labels(0, 'web1', 'xvda')}`);
    expect(info).toEqual({
      metric: {
        __name__: 'xen_block_info',
        job: 'xen-block-stats',
        instance: instances[0],
        domain: 'web1',
        uuid: '11111111-0000-4000-8000-000000000001',
        domid: '1',
        disk: 'xvda',
        devid: '51712',
        backend: 'vbd',
        source: '/dev/vg/web1',
        mode: 'w',
        device_type: 'disk',
      },
      value: 1,
    });
    expect(await prometheus.number(`xen_block_size_bytes${labels(0, 'web1', 'xvda')}`)).toBe(
      2 ** 30,
    );
    expect(await prometheus.number(`xen_block_state${labels(0, 'web1', 'xvda')}`)).toBe(4);
  });

  test('has the number of disks of each host, the duration of a scrape, and whether xenstored responds', async () => {
    const disks = await prometheus.query('xen_block_disks');
    expect(disks.map(({ metric, value }) => [metric['instance'], value]).sort()).toEqual(
      [
        [instances[0], 3],
        [instances[1], 3],
      ].sort(),
    );
    expect(await prometheus.number('max(xen_block_scrape_duration_seconds)')).toBeLessThan(1);
    expect(await prometheus.number('min(xen_block_scrape_duration_seconds)')).toBeGreaterThan(0);
    expect(await prometheus.number('sum(xen_block_watching)')).toBe(2);
  });

  test('has the rates of a workload, and the results of the recording rules', async () => {
    await hosts[1]?.startWorkload({ intervalMs: 50 });
    await prometheus.until('count(domain:xen_block_read_bytes:rate5m > bool 0)', 4);
    const rate = () =>
      prometheus.number(`rate(xen_block_read_requests_total${labels(1, 'web1', 'xvda')}[2s])`);
    while (!((await rate()) > 10)) await new Promise((wait) => setTimeout(wait, 50));
    // the workload makes 40 requests a second on average
    expect(await rate()).toBeLessThan(200);
    await hosts[1]?.stopWorkload();
    await untilScraped(1, 1, 'web1', 'xvda');
  });

  test('has the latency of each backend', async () => {
    const io = { reads: 8, readBytes: 4096, readMs: 4, writes: 8, writeBytes: 4096, writeMs: 16 };
    for (const disk of ['xvda', 'xvdb']) await hosts[1]?.io(2, disk, io);
    const { sysfs } = hosts[1]?.connectOptions ?? { sysfs: '' };
    const numbers = { rdIos: 8, rdTimeMs: 16, wrIos: 4, wrTimeMs: 32, ioTimeMs: 40 };
    addBackingDevice(sysfs, 'vbd-1-51712', numbers);
    const disk = labels(1, 'web1', 'xvda');
    await prometheus.until(`xen_block_backing_reads_total${disk}`, 8);
    expect(await prometheus.number(`xen_block_backing_write_seconds_total${disk}`)).toBe(0.032);
    expect(await prometheus.number(`xen_block_backing_info${disk}`)).toBe(1);
    await prometheus.until(`round(1000 * disk:xen_block_backing_read_seconds:mean5m${disk})`, 2);
    await prometheus.until(`round(1000 * disk:xen_block_backing_write_seconds:mean5m${disk})`, 8);

    // the workload's reads take 0.2 ms and its writes 0.4 ms, these 0.5 and 2 ms
    for (const name of ['xvda', 'xvdb']) {
      const { rd_ns = 0n, rd_req = 0n } = (await hosts[1]?.counters(2, name)) ?? {};
      const mail = labels(1, 'mail', name);
      await prometheus.until(`xen_block_read_requests_total${mail}`, Number(rd_req));
      const seconds = await prometheus.number(`xen_block_read_seconds_total${mail}`);
      expect(seconds).toBe(Number(rd_ns) / 1e9);
      const mean = await prometheus.number(`disk:xen_block_read_seconds:mean5m${mail}`);
      expect(mean).toBeGreaterThan(0.0002);
      expect(mean).toBeLessThan(0.0005);
    }
  });

  test('has no counters of a disk whose QEMU hangs, a pending alert, and all of the other disks', async () => {
    const [xvda, xvdb] = [labels(1, 'mail', 'xvda'), labels(1, 'mail', 'xvdb')];
    await hosts[1]?.faults.holdQemu(2);
    await prometheus.until(`xen_block_up${xvdb}`, 0);
    expect(await prometheus.query(`xen_block_read_seconds_total${xvdb}`)).toEqual([]);
    expect(await prometheus.number(`xen_block_up${xvda}`)).toBe(1);
    expect(await prometheus.query(`xen_block_read_seconds_total${xvda}`)).toHaveLength(1);
    expect(await prometheus.number(`sum(up)`)).toBe(2);
    const alert = 'ALERTS{alertname="XenBlockQemuNotAnswering", domain="mail"}';
    await prometheus.until(`count(${alert})`, 1);
    expect(await prometheus.query('ALERTS{alertname="XenBlockDiskUnreadable"}')).toEqual([]);

    await hosts[1]?.faults.clear();
    await prometheus.until(`xen_block_up${xvdb}`, 1);
    await hosts[1]?.io(2, 'xvdb', { reads: 1, readBytes: 512, readMs: 1 });
    const rdNs = (await hosts[1]?.counters(2, 'xvdb'))?.rd_ns ?? 0n;
    await prometheus.until(`xen_block_read_seconds_total${xvdb}`, Number(rdNs) / 1e9);
  });

  test('has no counters of a disk that cannot be read, and all of the other disks', async () => {
    const { sysfs } = hosts[0]?.connectOptions ?? { sysfs: '' };
    const path = join(sysfs, 'bus/xen-backend/devices/vbd-2-2049/statistics/rd_sect');
    const text = readFileSync(path, 'utf8');
    overwriteCounter(path, 'rubbish\n');
    await prometheus.until(`xen_block_up${labels(0, 'db', 'sda1')}`, 0);
    expect(await prometheus.number(`sum(up)`)).toBe(2);
    expect(await prometheus.query(`xen_block_read_bytes_total${labels(0, 'db', 'sda1')}`)).toEqual(
      [],
    );
    await untilScraped(0, 1, 'web1', 'xvda');
    expect(
      await prometheus.number(`xen_block_scrape_errors_total{instance="${instances[0] ?? ''}"}`),
    ).toBeGreaterThan(0);

    overwriteCounter(path, text);
    await prometheus.until(`xen_block_up${labels(0, 'db', 'sda1')}`, 1);
    await untilScraped(0, 2, 'db', 'sda1');
  });

  test('has a reset of the counters when a frontend reconnects', async () => {
    await hosts[0]?.io(2, 'sda1', { reads: 10, readBytes: 5120 });
    await untilScraped(0, 2, 'db', 'sda1');
    await hosts[0]?.disconnectFrontend(2, 'sda1');
    await untilScraped(0, 2, 'db', 'sda1');
    await hosts[0]?.connectFrontend(2, 'sda1');
    await hosts[0]?.io(2, 'sda1', { reads: 4, readBytes: 2048 });
    await untilScraped(0, 2, 'db', 'sda1');
    const series = `xen_block_read_requests_total${labels(0, 'db', 'sda1')}`;
    expect(await prometheus.number(`resets(${series}[5m])`)).toBe(1);
    expect(await prometheus.number(`increase(${series}[5m])`)).toBeGreaterThan(0);
  });

  test('continues the series of a restarted guest', async () => {
    const uuid = '11111111-0000-4000-8000-000000000001';
    await hosts[0]?.removeGuest(1);
    await hosts[0]?.addGuest({
      name: 'web1',
      uuid,
      disks: [{ name: 'xvda', source: '/dev/vg/web1' }],
    });
    await hosts[0]?.io(3, 'xvda', { writes: 2, writeBytes: 1024 });
    const series = `xen_block_write_bytes_total{uuid="${uuid}", disk="xvda"}`;
    await prometheus.until(series, 1024);
    expect(await prometheus.query(`last_over_time(${series}[5m])`)).toHaveLength(1);
    expect(await prometheus.number(`resets(${series}[5m])`)).toBe(1);
    // xen_block_info has the new domid
    const withDomid = `${series} * on (instance, uuid, disk) group_left (domid) xen_block_info`;
    expect((await prometheus.query(withDomid)).map(({ metric }) => metric['domid'])).toEqual(['3']);
  });

  describe('the dashboard', () => {
    interface Panel {
      readonly title: string;
      readonly targets: readonly { readonly expr: string }[];
    }
    const dashboard = JSON.parse(readFileSync(join(ROOT, 'dashboards/grafana.json'), 'utf8')) as {
      panels: Panel[];
      templating: { list: { name: string; definition?: string }[] };
    };
    const toQuery = (expr: string) =>
      expr
        .replaceAll('$__rate_interval', '5m')
        .replaceAll('"$instance"', '".*"')
        .replaceAll('"$domain"', '".*"');

    test.each(
      dashboard.panels.flatMap(({ title, targets }) =>
        targets.map(({ expr }) => [title, toQuery(expr)]),
      ),
    )('has data for %s: %s', async (_, expr) => {
      expect(expr).not.toContain('$');
      const values = (await prometheus.query(expr)).map(({ value }) => value);
      expect(values.filter(Number.isFinite)).not.toEqual([]);
    });

    test('has values for its variables, hosts and guests', async () => {
      const variables = dashboard.templating.list.flatMap(({ name, definition }) => {
        const match = /^label_values\((.*), (\w+)\)$/.exec(toQuery(definition ?? ''));
        return match ? [{ name, selector: match[1] ?? '', label: match[2] ?? '' }] : [];
      });
      expect(variables.map(({ name }) => name)).toEqual(['instance', 'domain']);
      const values = await Promise.all(
        variables.map(({ label, selector }) => prometheus.labelValues(label, selector)),
      );
      expect(values).toEqual([[...instances].sort(), ['db', 'mail', 'web1']]);
    });
  });
});
