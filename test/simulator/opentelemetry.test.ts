import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type MetricData,
} from '@opentelemetry/sdk-metrics';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { connect, type Connection, type DiskSet } from 'xen-block-stats';
import { observeDiskSet } from 'xen-block-stats/opentelemetry';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { overwriteCounter } from '../support/counter-file';

describe('a meter of OpenTelemetry', () => {
  const uuid = '11111111-0000-4000-8000-000000000001';
  let host: SimulatedHost;
  let xen: Connection;
  let set: DiskSet;
  let exporter: InMemoryMetricExporter;
  let provider: MeterProvider;
  let stop: () => void;

  beforeEach(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          uuid,
          disks: [
            {
              name: 'xvda',
              source: '/dev/a',
              counters: { rd_req: 3, rd_sect: 24, wr_req: 2, wr_sect: 8, f_req: 4, ds_req: 1 },
            },
          ],
        },
        { name: 'db', disks: [{ name: 'sda1', source: '/dev/b', connected: false }] },
      ],
    });
    xen = connect(host.connectOptions);
    set = await xen.diskSet();
    exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    provider = new MeterProvider({ readers: [reader] });
    stop = observeDiskSet(provider.getMeter('test'), set);
  });
  afterEach(async () => {
    stop();
    await provider.shutdown();
    xen.close();
    await host.stop();
  });

  /** Collects and returns the metrics. */
  async function collect(): Promise<MetricData[]> {
    exporter.reset();
    await provider.forceFlush();
    return exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
  }

  /** Returns the values and attributes of a metric's data points. */
  const points = (metrics: readonly MetricData[], name: string) =>
    metrics
      .find(({ descriptor }) => descriptor.name === name)
      ?.dataPoints.map(({ value, attributes }) => [value, attributes]);

  const web1 = {
    'system.device': 'xvda',
    'xen.domain.name': 'web1',
    'xen.domain.uuid': uuid,
  };
  const ofWeb1 = (metrics: readonly MetricData[], name: string) =>
    points(metrics, name)?.filter(
      ([, attributes]) => (attributes as typeof web1)['xen.domain.name'] === 'web1',
    );

  test('has the names and units of the semantic conventions', async () => {
    const metrics = await collect();
    expect(
      metrics.map(({ descriptor: { name, unit } }) => `${name} ${unit}`.trim()).sort(),
    ).toEqual([
      'system.disk.io By',
      'system.disk.limit By',
      'system.disk.operations {operation}',
      'xen.disk.discards {request}',
      'xen.disk.flushes {request}',
      'xen.disk.oo_requests {request}',
      'xen.disk.unsupported {disk}',
      'xen.disk.up',
    ]);
    const monotonic = metrics.filter((it) => 'isMonotonic' in it && it.isMonotonic);
    expect(monotonic.map(({ descriptor }) => descriptor.name)).toEqual(
      expect.not.arrayContaining(['system.disk.limit', 'xen.disk.unsupported', 'xen.disk.up']),
    );
    expect(monotonic).toHaveLength(5);
  });

  test('has the counters of each disk, with the direction as an attribute', async () => {
    const metrics = await collect();
    expect(ofWeb1(metrics, 'system.disk.io')).toEqual([
      [24 * 512, { ...web1, 'disk.io.direction': 'read' }],
      [8 * 512, { ...web1, 'disk.io.direction': 'write' }],
    ]);
    expect(ofWeb1(metrics, 'system.disk.operations')).toEqual([
      [3, { ...web1, 'disk.io.direction': 'read' }],
      [2, { ...web1, 'disk.io.direction': 'write' }],
    ]);
    expect(ofWeb1(metrics, 'xen.disk.flushes')).toEqual([[4, web1]]);
    expect(ofWeb1(metrics, 'xen.disk.discards')).toEqual([[1, web1]]);
    expect(ofWeb1(metrics, 'xen.disk.oo_requests')).toEqual([[0, web1]]);
    expect(points(metrics, 'system.disk.io')).toHaveLength(4);
    // the size of db's disk is unknown until its frontend connects
    expect(points(metrics, 'system.disk.limit')).toEqual([[2 ** 30, web1]]);
  });

  test('samples the set once each collection, for all instruments', async () => {
    await collect();
    const sample = jest.spyOn(set, 'sample');
    await host.io(1, 'xvda', { reads: 1, readBytes: 512 });
    expect(ofWeb1(await collect(), 'system.disk.operations')?.[0]?.[0]).toBe(4);
    expect(sample).toHaveBeenCalledTimes(1);
  });

  test('observes up as 0 and no counters for a disk that cannot be read, and all other disks', async () => {
    const { sysfs } = host.connectOptions;
    const path = join(sysfs, 'bus/xen-backend/devices/vbd-2-2049/statistics/rd_req');
    overwriteCounter(path, 'rubbish\n');
    const metrics = await collect();
    expect(points(metrics, 'xen.disk.up')?.map(([value]) => value)).toEqual([1, 0]);
    expect(points(metrics, 'system.disk.io')).toHaveLength(2);
  });

  test('has the number of disks that other drivers serve, by driver', async () => {
    await host.attachDisk(1, { name: 'xvdb', source: '/b', kind: 'qdisk', format: 'qcow2' });
    while (set.unsupported.length === 0) await turn();
    const drivers = points(await collect(), 'xen.disk.unsupported');
    expect(drivers).toHaveLength(4);
    expect(drivers).toContainEqual([1, { 'xen.disk.driver': 'qemu' }]);
    expect(drivers).toContainEqual([0, { 'xen.disk.driver': 'tap' }]);
  });

  test('observes up as 0 once after a disk was removed', async () => {
    await collect();
    await host.detachDisk(1, 'xvda');
    while (set.disks.length !== 1) await once(set, 'remove');
    expect(ofWeb1(await collect(), 'xen.disk.up')).toEqual([[0, web1]]);
    // the same disk of the same guest, restarted, is up again under the same attributes
    await host.removeGuest(1);
    await host.addGuest({ name: 'web1', uuid, disks: [{ name: 'xvda', source: '/dev/a' }] });
    const isUp = () => set.disks.length === 2 && set.sample().errors.size === 0;
    while (!isUp()) await turn();
    expect(ofWeb1(await collect(), 'xen.disk.up')).toEqual([[1, web1]]);
  });

  test('has the domid of a domain whose UUID is not known', async () => {
    await host.remove('/local/domain/2/vm');
    // the set watches the name, not the UUID
    await host.write('/local/domain/2/name', 'db');
    const isKnown = () => set.disks.length < 2 || set.disks[1]?.uuid !== undefined;
    while (isKnown()) await turn();
    const [, db] = points(await collect(), 'xen.disk.up') ?? [];
    expect(db).toEqual([
      1,
      { 'system.device': 'sda1', 'xen.domain.id': 2, 'xen.domain.name': 'db' },
    ]);
  });

  test('observes up as 0 for every disk after the set is closed', async () => {
    await collect();
    set.close();
    const metrics = await collect();
    expect(points(metrics, 'xen.disk.up')?.map(([value]) => value)).toEqual([0, 0]);
  });

  test('does not sample the set after the observation has ended', async () => {
    stop();
    set.close();
    expect(await collect()).toEqual([]);
  });

  describe('with disks of tapdisk and QEMU', () => {
    let impatient: Connection;
    let all: DiskSet;

    beforeEach(async () => {
      stop();
      const counters = { rd_ns: 1_500_000_000, wr_ns: 250_000_000, errors: 2 };
      const tapdisk = { kind: 'vbd3', format: 'vhd', sectorSize: 4096, counters } as const;
      await host.attachDisk(1, { name: 'xvdb', source: '/srv/b.vhd', ...tapdisk });
      const qemu = { kind: 'qdisk', format: 'qcow2', sectorSize: 4096, counters } as const;
      await host.attachDisk(1, { name: 'xvdc', source: '/srv/c.qcow2', ...qemu });
      impatient = connect({ ...host.connectOptions, timeoutMs: 200 });
      all = await impatient.diskSet({ kinds: ['vbd', 'vbd3', 'qdisk'] });
      stop = observeDiskSet(provider.getMeter('test'), all);
    });
    afterEach(() => {
      impatient.close();
    });

    const ofDisk = (metrics: readonly MetricData[], name: string, disk: string) =>
      ofWeb1(metrics, name)?.flatMap(([value, attributes]) =>
        (attributes as typeof web1)['system.device'] === disk ? [value] : [],
      );

    test('has the size of each disk in bytes, also with sectors of 4096 bytes', async () => {
      const limits = ofWeb1(await collect(), 'system.disk.limit');
      expect(limits?.map(([value]) => value)).toEqual([2 ** 30, 2 ** 30, 2 ** 30]);
    });

    test('has the times and the errors that the backend counts', async () => {
      const metrics = await collect();
      expect(metrics.map(({ descriptor: { name, unit } }) => `${name} ${unit}`.trim())).toEqual(
        expect.arrayContaining(['system.disk.operation_time s', 'xen.disk.io_errors {request}']),
      );
      expect(ofWeb1(metrics, 'system.disk.operation_time')).toEqual(
        ['xvdb', 'xvdc'].flatMap((disk) => [
          [1.5, { ...web1, 'system.device': disk, 'disk.io.direction': 'read' }],
          [0.25, { ...web1, 'system.device': disk, 'disk.io.direction': 'write' }],
        ]),
      );
      expect(ofWeb1(metrics, 'xen.disk.io_errors')).toEqual([
        [2, { ...web1, 'system.device': 'xvdb' }],
        [2, { ...web1, 'system.device': 'xvdc' }],
      ]);
      const monotonic = metrics.filter((it) => 'isMonotonic' in it && it.isMonotonic);
      expect(monotonic.map(({ descriptor }) => descriptor.name)).toEqual(
        expect.arrayContaining(['system.disk.operation_time', 'xen.disk.io_errors']),
      );
    });

    test('observes up as 0 and no new values for a disk whose QEMU hangs', async () => {
      await collect();
      await host.faults.holdQemu(1);
      await host.io(1, 'xvdb', { reads: 1, readBytes: 512 });
      await host.io(1, 'xvdc', { reads: 1, readBytes: 512 });
      const held = await collect();
      expect(points(held, 'xen.disk.up')?.map(([value]) => value)).toEqual([1, 1, 0, 1]);
      expect(ofDisk(held, 'system.disk.operations', 'xvdb')).toEqual([1, 0]);
      expect(ofDisk(held, 'system.disk.operations', 'xvdc')).toEqual([0, 2]);
      await host.faults.clear();
      // QEMU is asked again a second after the timeout
      const isUp = async () => ofDisk(await collect(), 'xen.disk.up', 'xvdc')?.[0] === 1;
      while (!(await isUp())) await delay(50);
      expect(ofDisk(await collect(), 'system.disk.operations', 'xvdc')).toEqual([1, 2]);
    });

    test('observes up as 0 for every disk when the set is closed while QEMU is asked', async () => {
      await collect();
      await host.faults.holdQemu(1);
      const collected = collect();
      await turn();
      impatient.close();
      const metrics = await collected;
      expect(points(metrics, 'xen.disk.up')?.map(([value]) => value)).toEqual([0, 0, 0, 0]);
    });
  });
});
