import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { Agent, createServer as createHttpServer, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { handleRequests } from '../../../dist/cli/exporter';
import { version } from '../../../package.json';
import { makeLinkedDisks } from '../../support/linked-disks';
import { describeOnHosts } from '../../support/hosts';
import { RealHost, type TestHost } from '../../support/real-host';
import { Exporter, valueOf } from '../../support/exporter';
import { MAIN, ROOT } from '../../support/paths';
import { promtool } from '../../support/promtool';
import { execFileSync, spawnSync } from '../../support/child-process';
import { needing } from '../../support/needs';
import { overwriteCounter } from '../../support/counter-file';

// tests that start programs can be slow on a busy machine
jest.setTimeout(60_000);

const GUESTS = [
  {
    name: 'web1',
    uuid: '11111111-0000-4000-8000-000000000001',
    disks: [
      {
        name: 'xvda',
        source: '/dev/vg/web1',
        counters: { rd_req: 67, rd_sect: 8216, wr_req: 129, wr_sect: 16392, f_req: 1, oo_req: 5 },
      },
      { name: 'xvdb', source: '/dev/vg/data', physicalSectorSize: 4096, connected: false },
    ],
  },
  { name: 'Gäste', disks: [{ name: 'xvda', source: '/dev/b', mode: 'r' as const }] },
];

const WEB1 = '{domain="web1",uuid="11111111-0000-4000-8000-000000000001",disk="xvda"}';

/** Runs `serve` with arguments with which it fails to start. Returns its output and exit status. */
function runFailing(...args: string[]) {
  const { stdout, stderr, status } = spawnSync(process.execPath, [MAIN, 'serve', ...args], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  return { stdout, stderr, status };
}

/** Matches a number that differs by less than half. */
const about = (expected: number): unknown => expect.closeTo(expected, -Math.log10(expected));

/** Hosts and exporters that a test has started. They are stopped after the test, in reverse order. */
const started: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const it of started.splice(0).reverse()) await it.stop();
});
/** Registers an object to be stopped after the test. */
function stopLater<T extends { stop(): Promise<unknown> }>(it: T): T {
  started.push(it);
  return it;
}

describeOnHosts('xen-block-stats serve, on', (start) => {
  let host: TestHost;
  let exporter: Exporter;

  beforeAll(async () => {
    host = await start();
    for (const guest of GUESTS) await host.addGuest(guest);
    exporter = await Exporter.start(host.connectOptions);
  });
  afterAll(async () => {
    await exporter.stop();
    await host.stop();
  });

  needing('promtool').test('exports metrics that promtool accepts', async () => {
    const response = await exporter.get('/metrics', { headers: { 'accept-encoding': '' } });
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await response.text();
    expect(promtool(['check', 'metrics'], text)).toBe('');
    expect(Number(response.headers.get('content-length'))).toBe(Buffer.byteLength(text));
  });

  test('exports every counter of every disk, in base units', async () => {
    const text = await exporter.metrics();
    expect(text.split('\n').filter((line) => line.includes(`_total${WEB1}`))).toEqual([
      `xen_block_read_bytes_total${WEB1} 4206592`,
      `xen_block_read_requests_total${WEB1} 67`,
      `xen_block_write_bytes_total${WEB1} 8392704`,
      `xen_block_write_requests_total${WEB1} 129`,
      `xen_block_flush_requests_total${WEB1} 1`,
      `xen_block_discard_requests_total${WEB1} 0`,
      `xen_block_oo_requests_total${WEB1} 5`,
    ]);
    expect(valueOf(text, 'xen_block_disks')).toBe(3);
    expect(valueOf(text, 'xen_block_watching')).toBe(1);
    expect(valueOf(text, 'xen_block_scrape_errors_total')).toBe(0);
    expect(valueOf(text, 'xen_block_scrape_duration_seconds')).toBeGreaterThan(0);
  });

  test('exports the description of each disk, and omits an unknown size', async () => {
    const text = await exporter.metrics();
    expect(text).toContain(
      `xen_block_info${WEB1.slice(0, -1)},domid="1",backend="vbd",devid="51712",source="/dev/vg/web1",mode="w",device_type="disk"} 1\n`,
    );
    expect(valueOf(text, `xen_block_state${WEB1}`)).toBe(4);
    expect(valueOf(text, `xen_block_size_bytes${WEB1}`)).toBe(2 ** 30);
    const second = WEB1.replace('xvda', 'xvdb');
    expect(valueOf(text, `xen_block_state${second}`)).not.toBe(4);
    expect(valueOf(text, `xen_block_size_bytes${second}`)).toBeUndefined();

    await host.connectFrontend(1, 'xvdb');
    const size = async () => valueOf(await exporter.metrics(), `xen_block_size_bytes${second}`);
    while ((await size()) === undefined) await delay(10);
    expect(await size()).toBe(2 ** 30);
  });

  test('labels a renamed guest with its new name', async () => {
    await host.write('/local/domain/1/name', 'www');
    while (!(await exporter.metrics()).includes(WEB1.replace('web1', 'www'))) await delay(10);
    await host.write('/local/domain/1/name', 'web1');
    while (!(await exporter.metrics()).includes(WEB1)) await delay(10);
  });

  test('exports all other disks when one cannot be read, and counts the errors', async () => {
    const { sysfs } = host.connectOptions;
    const path = join(sysfs, 'bus/xen-backend/devices/vbd-2-51712/statistics/rd_req');
    const text = readFileSync(path, 'utf8');
    overwriteCounter(path, 'rubbish\n');
    const metrics = await exporter.metrics();
    expect(metrics.match(/^xen_block_up\{.*\} [01]$/gm)?.map((it) => it.at(-1))).toEqual([
      '1',
      '1',
      '0',
    ]);
    expect(metrics.match(/^xen_block_read_bytes_total\{/gm)).toHaveLength(2);
    expect(valueOf(metrics, 'xen_block_scrape_errors_total')).toBe(1);
    expect(valueOf(await exporter.metrics(), 'xen_block_scrape_errors_total')).toBe(2);
    overwriteCounter(path, text);
    while ((await exporter.metrics()).match(/^xen_block_up\{.*\} 0$/m)) await delay(10);
  });

  needing('promtool').test(
    'with --names libvirt, has the names and labels of libvirt’s exporters',
    async () => {
      const { connectOptions } = host;
      const libvirt = stopLater(await Exporter.start(connectOptions, '--names', 'libvirt'));
      const text = await libvirt.metrics();
      expect(promtool(['check', 'metrics'], text)).toBe('');
      const labels = '{domain="web1",target_device="xvda"}';
      expect(text.split('\n').filter((line) => line.includes(labels))).toEqual([
        `libvirt_domain_block_stats_read_bytes_total${labels} 4206592`,
        `libvirt_domain_block_stats_read_requests_total${labels} 67`,
        `libvirt_domain_block_stats_write_bytes_total${labels} 8392704`,
        `libvirt_domain_block_stats_write_requests_total${labels} 129`,
        `libvirt_domain_block_stats_flush_requests_total${labels} 1`,
        `libvirt_domain_block_stats_capacity_bytes${labels} 1073741824`,
      ]);
      expect(text).toContain(
        'libvirt_domain_block_meta{domain="web1",target_device="xvda",source_file="/dev/vg/web1",disk_type="block",driver_type="raw"} 1\n',
      );
      expect(valueOf(text, 'libvirt_up')).toBe(1);
      // and a metric that those do not have
      expect(valueOf(text, `xen_block_oo_requests_total${WEB1}`)).toBe(5);
      expect(text).not.toContain('xen_block_read_bytes_total');
    },
  );

  needing('promtool').test(
    'with --peaks, shows a burst between two scrapes that the rate between them hides',
    async () => {
      const peaks = stopLater(await Exporter.start(host.connectOptions, '--peaks', '20ms'));
      const total = `xen_block_write_bytes_total${WEB1}`;
      const peak = `xen_block_write_bytes_per_second_peak${WEB1}`;
      const before = await peaks.metrics();
      const start = performance.now();
      const counters = { rd_req: 67, rd_sect: 8216, f_req: 1, oo_req: 5 };
      await host.setCounters(1, 'xvda', { ...counters, wr_req: 137, wr_sect: 16392 + 16384 });
      while ((valueOf(await peaks.metrics(), peak) ?? 0) === 0) await delay(50);
      while (performance.now() - start < 1000) await delay(50);
      const after = await peaks.metrics();
      const bytes = (valueOf(after, total) ?? NaN) - (valueOf(before, total) ?? NaN);
      expect(bytes).toBe(8 * 1024 * 1024);
      // 8 MiB, in 8 requests, in 20 ms are 400 MiB/s; a tick that comes late makes the window longer
      const requests = `xen_block_write_requests_per_second_peak${WEB1}`;
      for (const rate of [(valueOf(after, peak) ?? NaN) / 2 ** 20, valueOf(after, requests)]) {
        expect(rate).toBeGreaterThan(40);
        expect(rate).toBeLessThan(500);
      }
      expect(promtool(['check', 'metrics'], after)).toBe('');
      const document = readFileSync(join(ROOT, 'docs/prometheus.md'), 'utf8');
      const names = (text: string, pattern: RegExp) =>
        [...text.matchAll(pattern)].map((it) => it[1]);
      expect(names(document, /^\| `(\w+_peak)`/gm)).toEqual(
        names(after, /^# TYPE (\w+_peak) gauge$/gm),
      );
      await host.setCounters(1, 'xvda', { ...counters, wr_req: 129, wr_sect: 16392 });
    },
  );

  test('with --names libvirt, labels guests of one name with their UUIDs', async () => {
    const uuid = '22222222-0000-4000-8000-000000000002';
    const libvirt = stopLater(await Exporter.start(host.connectOptions, '--names', 'libvirt'));
    const disks = [{ name: 'xvda', source: '/dev/c' }];
    await host.addGuest({ name: 'web1--incoming', domid: 9, uuid, disks });
    await host.write('/local/domain/9/name', 'web1');
    const domains = async () =>
      [...(await libvirt.metrics()).matchAll(/^libvirt_domain_block_meta\{domain="([^"]*)"/gm)].map(
        ([, domain]) => domain,
      );
    const web1 = '11111111-0000-4000-8000-000000000001';
    while (!(await domains()).includes(uuid)) await delay(10);
    expect(await domains()).toEqual([web1, web1, 'Gäste', uuid]);
    await host.removeGuest(9);
    while ((await domains()).length > 3) await delay(10);
    expect(await domains()).toEqual(['web1', 'web1', 'Gäste']);
  });

  test('exports the number of disks without metrics, by driver', async () => {
    const noQemu = stopLater(await Exporter.start(host.connectOptions, '--no-qemu'));
    const unsupported = async (driver: string) =>
      valueOf(await noQemu.metrics(), `xen_block_unsupported_disks{driver="${driver}"}`);
    expect(await unsupported('qemu')).toBe(0);
    await host.attachDisk(2, { name: 'xvdq', source: '/q', kind: 'qdisk', format: 'qcow2' });
    while ((await unsupported('qemu')) === 0) await delay(10);
    expect(await unsupported('qemu')).toBe(1);
    expect(await unsupported('tap')).toBe(0);
    expect(valueOf(await noQemu.metrics(), 'xen_block_disks')).toBe(3);
    await host.detachDisk(2, 'xvdq');
    while ((await unsupported('qemu')) === 1) await delay(10);
  });

  test('exports its version, and the metrics of its process', async () => {
    const text = await exporter.metrics();
    const node = process.versions.node;
    expect(text).toContain(
      `\nxen_block_build_info{version="${version}",node_version="${node}"} 1\n`,
    );
    const value = (name: string) => valueOf(text, `process_${name} `);
    const { pid } = exporter;
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const bytes = (field: string) =>
      1024 * Number(new RegExp(`${field}:\\s*(\\d+)`).exec(status)?.[1]);
    expect(value('resident_memory_bytes')).toEqual(about(bytes('VmRSS')));
    expect(value('virtual_memory_bytes')).toEqual(about(bytes('VmSize')));
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'));
    expect(value('max_fds')).toBe(Number(limit?.[1]));
    expect(value('open_fds')).toEqual(about(readdirSync(`/proc/${pid}/fd`).length));
    expect(value('cpu_seconds_total')).toBeGreaterThan(0.01);
    expect(value('start_time_seconds')).toBeGreaterThan(performance.timeOrigin / 1000);
    expect(value('start_time_seconds')).toBeLessThan(Date.now() / 1000);
  });

  const gzipped = (response: Response) => response.headers.get('content-encoding') === 'gzip';

  test.each([
    'gzip',
    'gzip, deflate, br',
    'br;q=1.0, GZIP;q=0.1, *;q=0',
    'deflate,gzip ; q=0.001',
    'identity;q=0, *',
  ])('compresses the metrics for a client that accepts %s', async (accepted) => {
    const headers = { 'accept-encoding': accepted };
    const response = await exporter.get('/metrics', { headers });
    expect(gzipped(response)).toBe(true);
    expect(response.headers.get('vary')).toBe('accept-encoding');
    const text = await response.text();
    expect(valueOf(text, 'xen_block_disks')).toBe(3);
    expect(valueOf(text, 'process_open_fds')).toBeGreaterThan(0);
    const length = Number(response.headers.get('content-length'));
    expect(length).toBeLessThan(text.length / 3);
    const head = await exporter.get('/metrics', { method: 'HEAD', headers });
    expect(gzipped(head)).toBe(true);
    expect(Number(head.headers.get('content-length'))).toEqual(about(length));
  });

  test.each(['', 'identity', 'br', 'gzip;q=0', 'gzip;q=0.000, *', '*;q=0', 'x-gzip2'])(
    'does not compress the metrics for a client that accepts "%s"',
    async (accepted) => {
      const response = await exporter.get('/metrics', {
        headers: { 'accept-encoding': accepted },
      });
      expect(gzipped(response)).toBe(false);
      expect(response.headers.get('vary')).toBe('accept-encoding');
      expect(valueOf(await response.text(), 'xen_block_disks')).toBe(3);
    },
  );

  test('does not compress short responses', async () => {
    const response = await exporter.get('/-/healthy', { headers: { 'accept-encoding': 'gzip' } });
    expect(gzipped(response)).toBe(false);
    expect(response.headers.get('vary')).toBe(null);
  });

  test('has a page that describes it, a health check, and a check that it is ready', async () => {
    const page = await exporter.get('/');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toMatch(/Block statistics of the Xen guests[^]*href="\/metrics"/);
    const healthy = await exporter.get('/-/healthy');
    expect([healthy.status, await healthy.text()]).toEqual([200, 'healthy\n']);
    const ready = await exporter.get('/-/ready');
    expect([ready.status, await ready.text()]).toEqual([200, 'ready\n']);
  });

  test.each([
    ['GET', '/metrics?x=1', 200],
    ['HEAD', '/metrics', 200],
    ['GET', '/nonsense', 404],
    ['POST', '/metrics', 405],
  ])('responds to %s %s with %i', async (method, path, status) => {
    expect((await exporter.get(path, { method })).status).toBe(status);
  });

  test.each<NodeJS.Signals>(['SIGTERM', 'SIGINT'])('ends with status 0 on %s', async (signal) => {
    const another = stopLater(await Exporter.start(host.connectOptions));
    // fetch keeps its connection open
    await another.metrics();
    expect(await another.stop(signal)).toEqual({ status: 0, signal: null, stderr: '' });
  });

  test('ends while a client is connected that sends no request', async () => {
    const another = stopLater(await Exporter.start(host.connectOptions));
    const { hostname, port } = new URL(another.url);
    const client = createConnection(Number(port), hostname);
    await once(client, 'connect');
    const closed = once(client, 'close');
    expect(await another.stop()).toEqual({ status: 0, signal: null, stderr: '' });
    await closed;
  });

  test('reports a port that is in use in one line', () => {
    const { xenstore, sysfs } = host.connectOptions;
    const { instance } = exporter;
    expect(runFailing('--listen', instance, '--xenstore', xenstore, '--sysfs', sysfs)).toEqual({
      stdout: '',
      stderr: `xen-block-stats: cannot listen on ${instance}: another program listens there\n`,
      status: 1,
    });
  });
});

needing('xenstored').test(
  'keeps exporting known disks while xenstored is dead, and is not ready until its restart',
  async () => {
    const host = stopLater(await RealHost.start());
    for (const guest of GUESTS) await host.addGuest(guest);
    const exporter = stopLater(await Exporter.start(host.connectOptions));
    const watching = async () => valueOf(await exporter.metrics(), 'xen_block_watching');
    expect(await watching()).toBe(1);

    await host.xenstored.kill();
    while ((await watching()) === 1) await delay(10);
    const ready = await exporter.get('/-/ready');
    expect([ready.status, await ready.text()]).toEqual([503, 'xenstored does not respond\n']);
    expect((await exporter.get('/-/healthy')).status).toBe(200);
    await host.setCounters(1, 'xvda', { rd_req: 68 });
    const text = await exporter.metrics();
    expect(valueOf(text, `xen_block_read_requests_total${WEB1}`)).toBe(68);
    expect(valueOf(text, 'xen_block_disks')).toBe(3);

    await host.xenstored.start();
    await host.addGuest({ name: 'new', domid: 3, disks: [{ name: 'xvda', source: '/dev/n' }] });
    while (!(await exporter.metrics()).includes('domain="new"')) await delay(10);
    expect(await watching()).toBe(1);
    expect((await exporter.get('/-/ready')).status).toBe(200);
    expect(exporter.hasEnded).toBe(false);
    expect(await exporter.stop()).toEqual({ status: 0, signal: null, stderr: '' });
  },
);

needing('promtool').test('escapes the values of labels', async () => {
  const host = stopLater(
    await SimulatedHost.start({
      guests: [{ name: 'quoted "a\\b" Ä', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    }),
  );
  const exporter = stopLater(await Exporter.start(host.connectOptions));
  const text = await exporter.metrics();
  expect(text).toContain('{domain="quoted \\"a\\\\b\\" Ä",');
  expect(promtool(['check', 'metrics'], text)).toBe('');
});

test('says at its start how many disks cannot be read', async () => {
  const disk = { name: 'xvda', source: '/srv/a.img', kind: 'virtio_disk' as const };
  const host = stopLater(await SimulatedHost.start({ guests: [{ name: 'arm', disks: [disk] }] }));
  const { url, greeting } = stopLater(await Exporter.start(host.connectOptions));
  expect(greeting).toBe(`listening on ${url}\n1 disk of a virtio backend is not shown\n`);
});

test('reports that xenstored cannot be reached', () => {
  const { stderr, status } = runFailing('--xenstore', '/nonexistent');
  expect(stderr).toMatch(
    /^xen-block-stats: cannot connect to xenstored at \/nonexistent: ENOENT .*\n$/,
  );
  expect(status).toBe(1);
});

test('reports that it cannot listen on an address', () => {
  // a reserved address for documentation, which no machine has
  const { stderr, status } = runFailing('--demo', '--listen', '192.0.2.1:9788');
  expect(stderr).toMatch(
    /^xen-block-stats: cannot listen on 192\.0\.2\.1:9788: .*EADDRNOTAVAIL.*\n$/,
  );
  expect(status).toBe(1);
});

test.each([
  [['x'], "too many arguments for 'serve'"],
  [['--listen', '9788'], "'9788' is invalid. It must be an address and a port, as 127.0.0.1:9788."],
  [['--listen', 'a:65536'], "'a:65536' is invalid. It must be an address and a port"],
  [
    ['--names', 'xl', '--listen', '127.0.0.1:0'],
    "'xl' is invalid. Allowed choices are xen, libvirt.",
  ],
])('refuses %j as wrong usage', (args, message) => {
  const { stderr, status } = runFailing('--demo', ...args);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

test('accepts an IPv6 address', async () => {
  const probe = createServer().listen(0, '::1');
  await new Promise((listening) => probe.once('listening', listening));
  const { port } = probe.address() as AddressInfo;
  const { stderr } = runFailing('--demo', '--listen', `[::1]:${port}`);
  probe.close();
  expect(stderr).toContain(`cannot listen on [::1]:${port}: another program listens there`);
});

test('exports the metrics of its disks while clients use all of its descriptors', async () => {
  const host = stopLater(await SimulatedHost.start({ guests: GUESTS }));
  const exporter = stopLater(await Exporter.start(host.connectOptions));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const metrics = async () => {
    const [response] = (await once(get(`${exporter.url}/metrics`, { agent }), 'response')) as [
      IncomingMessage,
    ];
    return text(response);
  };
  expect(valueOf(await metrics(), 'process_max_fds')).toBeGreaterThan(0);

  const { hostname, port } = new URL(exporter.url);
  // ten descriptors are free below the limit
  const used = new Set(readdirSync(`/proc/${exporter.pid}/fd`).map(Number));
  let limit = 0;
  for (let free = 0; free < 10; limit++) if (!used.has(limit)) free += 1;
  execFileSync('prlimit', ['--pid', String(exporter.pid), `--nofile=${limit}:${limit}`]);
  const clients: Socket[] = [];
  // a connection is closed when there is no descriptor for it
  await new Promise((closed) => {
    for (let i = 0; i < 90; i++) {
      clients.push(createConnection(Number(port), hostname).resume().once('close', closed));
    }
  });
  const scraped = await metrics();
  expect(valueOf(scraped, 'xen_block_disks')).toBe(3);
  expect(valueOf(scraped, `xen_block_read_requests_total${WEB1}`)).toBe(67);
  expect(valueOf(scraped, 'process_cpu_seconds_total')).toBeGreaterThan(0);
  expect(valueOf(scraped, 'process_max_fds')).toBeUndefined();

  for (const client of clients) client.destroy();
  while (valueOf(await metrics(), 'process_max_fds') !== limit) await delay(10);
  agent.destroy();
  expect(await exporter.stop()).toEqual({ status: 0, signal: null, stderr: '' });
});

test('closes connections beyond a hundred', async () => {
  const host = stopLater(await SimulatedHost.start());
  const exporter = stopLater(await Exporter.start(host.connectOptions));
  const { hostname, port } = new URL(exporter.url);
  const clients = Array.from({ length: 100 }, () => createConnection(Number(port), hostname));
  await Promise.all(clients.map((client) => once(client, 'connect')));
  const another = createConnection(Number(port), hostname).resume();
  await once(another, 'close');
  const first = clients[0] as Socket;
  first.write('GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n');
  expect(String((await once(first, 'data'))[0])).toMatch(/^HTTP\/1.1 200 OK/);
  for (const client of clients) client.destroy();
});

test('responds with 500 to a request that fails', async () => {
  const host = stopLater(await SimulatedHost.start());
  const program = `
    const { createServer, get } = require('node:http');
    const { connect } = require('xen-block-stats');
    const { handleRequests } = require(${JSON.stringify(join(ROOT, 'dist/cli/exporter'))});
    const fail = () => { throw new Error('out of order'); };
    (async () => {
      const xen = connect(${JSON.stringify(host.connectOptions)});
      const handle = handleRequests(await xen.diskSet(), {}, { format: fail });
      const server = createServer(handle).listen(0, '127.0.0.1', () => {
        get({ port: server.address().port, path: '/metrics' }, (response) => {
          console.log(response.statusCode);
          process.exit();
        });
      });
    })();`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', program], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect({ stdout, stderr }).toEqual({
    stdout: '500\n',
    stderr: 'xen-block-stats: cannot respond to a request: out of order\n',
  });
});

test('compresses while the event loop continues', async () => {
  const host = stopLater(await SimulatedHost.start({ guests: GUESTS }));
  const xen = connect(host.connectOptions);
  const handle = handleRequests(await xen.diskSet(), {});
  const events: string[] = [];
  const server = createHttpServer((request, response) => {
    handle(request, response);
    setImmediate(() => events.push('a turn of the event loop'));
    response.once('finish', () => events.push('the response'));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const headers = { 'accept-encoding': 'gzip' };
  await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers })).text();
  expect(events).toEqual(['a turn of the event loop', 'the response']);
  await new Promise((resolve) => server.close(resolve));
  xen.close();
});

test('exports all of 5,000 disks', async () => {
  const host = stopLater(await SimulatedHost.start());
  await host.write('/local/domain/1/name', 'web1');
  // the counters are files of the kernel
  const directory = mkdtempSync(join(tmpdir(), 'scrape-'));
  const disks = makeLinkedDisks(join(directory, 'sys'), 5000);
  await Promise.all(
    disks.flatMap(({ nodes }) => nodes).map(([path, value]) => host.write(path, value)),
  );
  const { xenstore } = host.connectOptions;
  const exporter = stopLater(await Exporter.start({ xenstore, sysfs: join(directory, 'sys') }));
  const response = await exporter.get('/metrics', { headers: { 'accept-encoding': 'gzip' } });
  const text = await response.text();
  rmSync(directory, { recursive: true });
  expect(Number(response.headers.get('content-length'))).toBeLessThan(text.length / 10);
  expect(text.match(/^xen_block_read_bytes_total\{/gm)).toHaveLength(5000);
  expect(valueOf(text, 'xen_block_disks')).toBe(5000);
}, 180_000);
