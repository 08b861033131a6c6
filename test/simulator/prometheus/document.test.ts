import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { connect, type Connection } from 'xen-block-stats';
import { observeDiskSet } from 'xen-block-stats/opentelemetry';
import { MetricsText, type MetricNames } from 'xen-block-stats/prometheus';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { formatProcessMetrics } from '../../../dist/cli/process-metrics';
import { addBackingDevice } from '../../support/backing-files';
import { ROOT } from '../../support/paths';
import { promtool } from '../../support/promtool';
import { needing } from '../../support/needs';

/* Compares docs/prometheus.md and docs/opentelemetry.md with the metrics, rules and commands. documents.test.ts runs its programs. */

const DOCUMENT = readFileSync(join(ROOT, 'docs/prometheus.md'), 'utf8');
const OPENTELEMETRY = readFileSync(join(ROOT, 'docs/opentelemetry.md'), 'utf8');

/** Returns the text of a section. */
function section(heading: string, document = DOCUMENT): string {
  const [, text = ''] = document.split(`\n## ${heading}\n`);
  return text.split('\n## ')[0] ?? '';
}

/** Returns the fenced blocks of a language. */
function blocks(language: string, text = DOCUMENT): string[] {
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? '');
}

/** Returns the cells of the rows of a section's table. */
function table(heading: string, document = DOCUMENT): string[][] {
  return section(heading, document)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

/** The options of a set with every metric. */
const EVERYTHING = { kinds: ['vbd', 'vbd3', 'qdisk'], backing: true } as const;

const unquoted = (cell = '') => cell.replaceAll('`', '');
const quotedNames = (cell = '') => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');

describe('docs/prometheus.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'prometheus-document-'));
  let host: SimulatedHost;
  let xen: Connection;

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        {
          name: 'web1',
          disks: [
            { name: 'xvda', source: '/dev/a' },
            { name: 'xvdb', source: '/b', kind: 'qdisk', format: 'raw' },
          ],
        },
      ],
    });
    addBackingDevice(host.connectOptions.sysfs, 'vbd-1-51712', {});
    xen = connect(host.connectOptions);
  });
  afterAll(async () => {
    xen.close();
    await host.stop();
    rmSync(directory, { recursive: true });
  });

  /** Scrapes all metrics, and returns their types and labels. */
  async function scrape(names: MetricNames) {
    const set = await xen.diskSet(EVERYTHING);
    const text = (await new MetricsText(set, { names }).scrapeAsync()).toString();
    return [...text.matchAll(/^# TYPE (\w+) (\w+)\n(\w+)(?:\{(.*)\})? /gm)].map(
      ([, name = '', type = '', , labels = '']) => ({
        name,
        type,
        labels: [...labels.matchAll(/(\w+)="/g)].map((match) => match[1]),
      }),
    );
  }
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

  test('lists every metric, with its type and labels', async () => {
    const ofDisk = quotedNames(/The labels of a disk are ([^.]*)\./.exec(DOCUMENT)?.[1]).filter(
      (name) => name !== 'vbd',
    );
    const rows = [...table('Metrics'), ...table('Backing devices')];
    const documented = rows.map(([name, type, labels = '']) => ({
      name: unquoted(name),
      type,
      labels: [...(labels.startsWith('of the disk') ? ofDisk : []), ...quotedNames(labels)],
    }));
    expect(documented.sort(byName)).toEqual((await scrape('xen')).sort(byName));
  });

  test('lists every metric of --names libvirt, with its type, its labels and the metric that it replaces', async () => {
    const rows = table('The names of libvirt’s exporters'.replace('’', "'"));
    const documented = rows.map(([name, type, labels]) => ({
      name: unquoted(name),
      type,
      labels: quotedNames(labels),
    }));
    const libvirt = await scrape('libvirt');
    const added = libvirt.filter(({ name }) => name.startsWith('libvirt_'));
    expect(documented.sort(byName)).toEqual([...added].sort(byName));
    const names = new Set(libvirt.map(({ name }) => name));
    const replaced = (await scrape('xen')).filter(({ name }) => !names.has(name));
    expect(
      rows
        .map((cells) => unquoted(cells[3]))
        .filter((name) => name !== '')
        .sort(),
    ).toEqual(replaced.map(({ name }) => name).sort());
  });

  test('lists every instrument of OpenTelemetry, with its unit', async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const provider = new MeterProvider({ readers: [reader] });
    observeDiskSet(provider.getMeter('test'), await xen.diskSet(EVERYTHING));
    await provider.forceFlush();
    const observed = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
      .map(({ descriptor: { name, unit } }) => [name, unit]);
    await provider.shutdown();
    const documented = table('Instruments', OPENTELEMETRY).map(([name, , unit]) => [
      unquoted(name),
      unquoted(unit),
    ]);
    expect(documented.sort()).toEqual(observed.sort());
  });

  test('lists every metric of the exporter’s process, with its type', () => {
    const types = formatProcessMetrics()
      .toString()
      .matchAll(/^# TYPE (\w+) (\w+)$/gm);
    const documented = table('An exporter').map(([name, type]) => [unquoted(name), type]);
    expect(documented.sort()).toEqual([...types].map(([, name, type]) => [name, type]).sort());
  });

  test('lists every rule', () => {
    const rules = ['recording', 'alerts']
      .map((name) => readFileSync(join(ROOT, `prometheus/${name}.yml`), 'utf8'))
      .join('');
    const names = [...rules.matchAll(/- (?:record|alert): (\S+)/g)].map((match) => match[1]);
    const documented = [...section('Rules').matchAll(/`([\w:]+:\w+:\w+|XenBlock\w+)`/g)];
    expect(documented.map((match) => match[1]).sort()).toEqual(names.sort());
  });

  needing('promtool').test('has a configuration and queries that Prometheus accepts', () => {
    const [yaml = ''] = blocks('yaml');
    const file = join(directory, 'prometheus.yml');
    writeFileSync(file, yaml.replace('/etc/prometheus/xen-block-stats', join(ROOT, 'prometheus')));
    const checked = promtool(['check', 'config', file]);
    expect(checked).toContain('2 rule files found');
    expect(checked).toContain('is valid prometheus config file syntax');

    const rules = blocks('promql')
      .flatMap((queries) => queries.trim().split('\n'))
      .map((expr, i) => ({ record: `query:${i}`, expr }));
    expect(rules).toHaveLength(8);
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    expect(promtool(['check', 'rules', file])).toContain('8 rules found');
  });

  test('has a systemd service that runs the documented command', () => {
    const [command = ''] = blocks('sh');
    const [unit = ''] = blocks('ini');
    expect(/^ExecStart=(.*)$/m.exec(unit)?.[1]).toBe(`/usr/bin/env ${command.trim()}`);
  });
});
