import { Counter, Registry, type OpenMetricsContentType } from 'prom-client';
import { connect, type Connection, type DiskSet } from 'xen-block-stats';
import { MetricsText, registerDiskSet, type MetricsOptions } from 'xen-block-stats/prometheus';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { valueOf } from '../../support/exporter';

describe('a registry of prom-client', () => {
  let host: SimulatedHost;
  let xen: Connection;
  let set: DiskSet;
  let registry: Registry;

  beforeEach(async () => {
    host = await SimulatedHost.start({
      guests: [
        { name: 'web1', disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 3 } }] },
        { name: 'db', disks: [{ name: 'xvda', source: '/dev/b', connected: false }] },
      ],
    });
    xen = connect(host.connectOptions);
    set = await xen.diskSet();
    registry = new Registry();
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  /** Returns the lines of all metrics except the duration of the scrape. */
  const lines = (text: string) =>
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('xen_block_scrape_duration_seconds '));

  test.each([undefined, { names: 'xen' }, { names: 'libvirt' }] satisfies (
    MetricsOptions | undefined
  )[])('has the same metrics as `serve`, with %j', async (options) => {
    registerDiskSet(registry, set, options);
    const text = await registry.metrics();
    expect(lines(text)).toEqual(lines(new MetricsText(set, options).scrape().toString()));
  });

  test('samples the set once each collection, for all metrics', async () => {
    registerDiskSet(registry, set);
    const sample = jest.spyOn(set, 'sample');
    await registry.metrics();
    expect(sample).toHaveBeenCalledTimes(1);
    await host.io(1, 'xvda', { reads: 1, readBytes: 512 });
    const text = await registry.metrics();
    expect(sample).toHaveBeenCalledTimes(2);
    expect(valueOf(text, 'xen_block_read_requests_total{domain="web1"')).toBe(4);
    expect(valueOf(text, 'xen_block_read_bytes_total{domain="web1"')).toBe(512);
  });

  test('keeps its own metrics and default labels', async () => {
    new Counter({ name: 'agent_rounds_total', help: 'Rounds.', registers: [registry] }).inc();
    registry.setDefaultLabels({ site: 'a' });
    registerDiskSet(registry, set);
    const text = await registry.metrics();
    expect(valueOf(text, 'agent_rounds_total{site="a"}')).toBe(1);
    expect(text).toMatch(/^xen_block_read_requests_total\{domain="web1",.*,site="a"\} 3$/m);
    registry.resetMetrics();
    expect(await registry.metrics()).toMatch(/^xen_block_read_requests_total\{.*\} 3$/m);
  });

  test('exports OpenMetrics and JSON', async () => {
    const open = new Registry<OpenMetricsContentType>();
    open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    registerDiskSet(open, set);
    for (let i = 0; i < 2; i++) {
      const text = await open.metrics();
      expect(text).toMatch(/^# TYPE xen_block_read_requests counter$/m);
      expect(text).toMatch(/^xen_block_read_requests_total\{.*\} 3$/m);
      expect(text).toMatch(/# EOF\n$/);
    }
    registerDiskSet(registry, set);
    expect(await registry.getMetricsAsJSON()).toContainEqual(
      expect.objectContaining({
        name: 'xen_block_disks',
        type: 'gauge',
        values: [{ value: 2, labels: {} }],
      }),
    );
  });

  test('is unchanged when it already has a metric with one of the names', async () => {
    registerDiskSet(registry, set);
    const before = lines(await registry.metrics());
    expect(() => registerDiskSet(registry, set)).toThrow(/already been registered/);
    expect(lines(await registry.metrics())).toEqual(before);

    const other = new Registry();
    new Counter({ name: 'xen_block_up', help: 'Another one.', registers: [other] });
    expect(() => registerDiskSet(other, set)).toThrow(/xen_block_up/);
    expect(other.getMetricsAsArray().map(({ name }) => name)).toEqual(['xen_block_up']);
  });

  test('refuses a set of bigints', async () => {
    const bigints = (await xen.diskSet({ bigint: true })) as unknown as DiskSet;
    const refused: unknown = expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' });
    expect(() => registerDiskSet(registry, bigints)).toThrow(refused as Error);
    expect(() => new MetricsText(bigints)).toThrow(refused as Error);
  });

  test('is unchanged after the set is unregistered', async () => {
    const unregister = registerDiskSet(registry, set);
    unregister();
    set.close();
    expect((await registry.metrics()).trim()).toBe('');
    // another set can be registered
    registerDiskSet(registry, await xen.diskSet());
    expect(await registry.metrics()).toContain('xen_block_disks 2');
  });

  test('has its other metrics after the set is closed', async () => {
    new Counter({ name: 'agent_rounds_total', help: 'Rounds.', registers: [registry] }).inc();
    const unregister = registerDiskSet(registry, set);
    xen.close();
    const values = lines(await registry.metrics()).filter((line) => !line.startsWith('#'));
    expect(values).toEqual(['agent_rounds_total 1']);
    unregister();
    expect(registry.getMetricsAsArray()).toHaveLength(1);
  });

  test.each<[MetricsOptions, string]>([
    [{ names: 'xl' as never }, 'ERR_OUT_OF_RANGE'],
    [{ names: 1 as never }, 'ERR_INVALID_ARG_TYPE'],
    [null as never, 'ERR_INVALID_ARG_TYPE'],
  ])('refuses %j', (options, code) => {
    expect(() => registerDiskSet(registry, set, options)).toThrow(
      expect.objectContaining({ code }),
    );
    expect(() => new MetricsText(set, options)).toThrow(expect.objectContaining({ code }));
  });
});

describe('MetricsText', () => {
  test('formats every number as JavaScript does, up to 2^63', async () => {
    const host = await SimulatedHost.start({
      guests: [{ name: 'a', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    });
    const xen = connect(host.connectOptions);
    const text = new MetricsText(await xen.diskSet());
    const numbers = [
      ...[0n, 1n, 9n, 10n, 99n, 100n, 999_999_999n, 10n ** 9n, 10n ** 9n + 1n, 10n ** 12n - 1n],
      ...[2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 10n ** 18n, 2n ** 63n - 1n],
      ...Array.from({ length: 50 }, (_, i) => BigInt(Math.floor(1.9 ** i * 7))),
    ];
    for (const number of numbers) {
      await host.setCounters(1, 'xvda', { rd_req: number });
      const line = /^xen_block_read_requests_total\{.*\} (.*)$/m.exec(text.scrape().toString());
      expect(line?.[1]).toBe(String(Number(number)));
    }
    xen.close();
    await host.stop();
  });

  test('returns a new buffer for each scrape', async () => {
    const host = await SimulatedHost.start({
      guests: [{ name: 'a', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    });
    const xen = connect(host.connectOptions);
    const text = new MetricsText(await xen.diskSet());
    const first = text.scrape();
    const before = first.toString();
    await host.io(1, 'xvda', { reads: 7, readBytes: 3584 });
    expect(text.scrape().toString()).not.toBe(before);
    expect(first.toString()).toBe(before);
    xen.close();
    await host.stop();
  });
});
