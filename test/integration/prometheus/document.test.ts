import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
import { ROOT, promtool } from './programs';

/* What docs/prometheus.md says, held against what is there. */

jest.setTimeout(60_000);

const DOCUMENT = readFileSync(join(ROOT, 'docs/prometheus.md'), 'utf8');

/** The section below a heading. */
function section(heading: string): string {
  const [, text = ''] = DOCUMENT.split(`\n## ${heading}\n`);
  return text.split('\n## ')[0] ?? '';
}

/** The fenced blocks of a language. */
function blocks(language: string, text = DOCUMENT): string[] {
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? '');
}

/** The rows of a section's table, by cells. */
function table(heading: string): string[][] {
  return section(heading)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

const unquoted = (cell = '') => cell.replaceAll('`', '');
const quotedNames = (cell = '') => [...cell.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? '');

describe('docs/prometheus.md', () => {
  const project = mkdtempSync(join(tmpdir(), 'prometheus-document-'));
  let host: SimulatedHost;
  let xen: Connection;

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] }],
    });
    xen = connect(host.connectOptions);
    mkdirSync(join(project, 'node_modules'));
    symlinkSync(ROOT, join(project, 'node_modules/xen-block-stats'));
    for (const name of ['prom-client', '@opentelemetry']) {
      symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
    }
    // as npm installs it
    const main = join(ROOT, 'dist/cli/main.js');
    const program = `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`;
    writeFileSync(join(project, 'xen-block-stats'), program, { mode: 0o755 });
  });
  afterAll(async () => {
    xen.close();
    await host.stop();
    rmSync(project, { recursive: true });
  });

  /** The types and labels of all metrics, as they are given. */
  function given(names: MetricNames) {
    const text = new MetricsText(xen.diskSet(), { names }).scrape().toString();
    return [...text.matchAll(/^# TYPE (\w+) (\w+)\n(\w+)(?:\{(.*)\})? /gm)].map(
      ([, name = '', type = '', , labels = '']) => ({
        name,
        type,
        labels: [...labels.matchAll(/(\w+)="/g)].map((match) => match[1]),
      }),
    );
  }
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);

  test('has every metric, with its type and labels', () => {
    const ofDisk = quotedNames(/The labels of a disk are ([^.]*)\./.exec(DOCUMENT)?.[1]).filter(
      (name) => name !== 'vbd',
    );
    const said = table('Metrics').map(([name, type, labels = '']) => ({
      name: unquoted(name),
      type,
      labels: [...(labels.startsWith('of the disk') ? ofDisk : []), ...quotedNames(labels)],
    }));
    expect(said.sort(byName)).toEqual(given('xen').sort(byName));
  });

  test('has every metric of --names libvirt, with its type, its labels and what it replaces', () => {
    const rows = table('The names of libvirt’s exporters'.replace('’', "'"));
    const said = rows.map(([name, type, labels]) => ({
      name: unquoted(name),
      type,
      labels: quotedNames(labels),
    }));
    const libvirt = given('libvirt');
    const added = libvirt.filter(({ name }) => name.startsWith('libvirt_'));
    expect(said.sort(byName)).toEqual([...added].sort(byName));
    const names = new Set(libvirt.map(({ name }) => name));
    const replaced = given('xen').filter(({ name }) => !names.has(name));
    expect(
      rows
        .map((cells) => unquoted(cells[3]))
        .filter((name) => name !== '')
        .sort(),
    ).toEqual(replaced.map(({ name }) => name).sort());
  });

  test('has every instrument of OpenTelemetry, with its unit', async () => {
    const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
    const provider = new MeterProvider({ readers: [reader] });
    observeDiskSet(provider.getMeter('test'), xen.diskSet());
    await provider.forceFlush();
    const there = exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
      .map(({ descriptor: { name, unit } }) => [name, unit]);
    await provider.shutdown();
    const said = table('OpenTelemetry').map(([name, , unit]) => [unquoted(name), unquoted(unit)]);
    expect(said.sort()).toEqual(there.sort());
  });

  test('names the rules that there are', () => {
    const rules = ['recording', 'alerts']
      .map((name) => readFileSync(join(ROOT, `prometheus/${name}.yml`), 'utf8'))
      .join('');
    const names = [...rules.matchAll(/- (?:record|alert): (\S+)/g)].map((match) => match[1]);
    const said = [...section('Rules').matchAll(/`([\w:]+:\w+:\w+|XenBlock\w+)`/g)];
    expect(said.map((match) => match[1]).sort()).toEqual(names.sort());
  });

  test('has a configuration and queries that Prometheus takes', () => {
    const [yaml = ''] = blocks('yaml');
    const file = join(project, 'prometheus.yml');
    writeFileSync(file, yaml.replace('/etc/prometheus/xen-block-stats', join(ROOT, 'prometheus')));
    const checked = promtool(['check', 'config', file]);
    expect(checked).toContain('2 rule files found');
    expect(checked).toContain('is valid prometheus config file syntax');

    const [queries = ''] = blocks('promql');
    const rules = queries
      .trim()
      .split('\n')
      .map((expr, i) => ({ record: `query:${i}`, expr }));
    expect(rules).toHaveLength(3);
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    expect(promtool(['check', 'rules', file])).toContain('3 rules found');
  });

  /** The environment, the folder and the /sys in which commands are those of the simulated host. */
  const onHost = (...command: string[]): [string, string[], object] => [
    'unshare',
    [
      // a network of its own: the ports in the document may be anybody's
      ...['--mount', '--net', 'sh', '-c'],
      'ip link set lo up && mount --bind "$0" /sys && exec "$@"',
      host.connectOptions.sysfs,
      ...command,
    ],
    {
      cwd: project,
      env: {
        ...process.env,
        PATH: `${project}:${process.env['PATH'] ?? ''}`,
        XENSTORED_PATH: host.connectOptions.xenstore,
      },
    },
  ];

  test.each([
    ...blocks('sh').map((text) => [text.trim()]),
    ...blocks('ini').map((text) => [/^ExecStart=(.*)$/m.exec(text)?.[1] ?? '']),
  ])('has a command that serves: %s', async (command) => {
    const [program, args, options] = onHost('sh', '-c', `exec ${command}`);
    const child = spawn(program, args, options);
    const ended = once(child, 'exit');
    const [line] = (await Promise.race([once(child.stdout, 'data'), ended])) as unknown[];
    const port = command.includes('9177') ? 9177 : 9788;
    expect(String(line)).toBe(`listening on http://127.0.0.1:${port}\n`);
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });

  test.each(blocks('js').map((text) => [/from '(.*)';\n\n/.exec(text)?.[1] ?? '', text]))(
    'has a program that works, with %s',
    (_, text) => {
      const file = join(project, 'program.mjs');
      writeFileSync(file, text);
      const [program, args, options] = onHost(process.execPath, file);
      const { stdout, stderr, status } = spawnSync(program, args, { ...options, timeout: 20_000 });
      expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
      expect(stdout.toString()).toMatch(/^(xen_block_up\{.*\}|xen\.disk\.up) 1/m);
    },
  );
});
