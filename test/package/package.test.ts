import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Tests the package as users install it: the tarball with the prebuilt binary, installed without
 * scripts into an empty project.
 */

function run(command: string, args: string[], cwd: string, env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

describe('the packed package', () => {
  const project = mkdtempSync(join(tmpdir(), 'xen-project-'));
  let size: number;
  let files: string[];
  let tarballPath: string;

  const node = (...args: string[]) => run(process.execPath, args, project);
  const installed = join(project, 'node_modules', 'xen-block-stats');

  beforeAll(() => {
    const pack = run('npm', ['pack', '--json', '--silent', '--pack-destination', project], ROOT);
    const [tarball] = JSON.parse(pack) as {
      filename: string;
      size: number;
      files: { path: string }[];
    }[];
    if (tarball === undefined) throw new Error('npm pack created no tarball');
    size = tarball.size;
    files = tarball.files.map(({ path }) => path);
    tarballPath = `./${tarball.filename}`;
    writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true }');
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarballPath], project);
  }, 60_000);
  afterAll(() => {
    rmSync(project, { recursive: true });
  });

  test('has no script that npm runs at installation', () => {
    const { scripts, gypfile } = JSON.parse(
      readFileSync(join(installed, 'package.json'), 'utf8'),
    ) as { scripts: Record<string, string>; gypfile?: boolean };
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish']) {
      expect(scripts).not.toHaveProperty(name);
    }
    expect(gypfile).not.toBe(true);
    expect(files).not.toContain('binding.gyp');
  });

  test('contains the binary, the program, its types, sources and documents, and nothing else', () => {
    const topLevel = [...new Set(files.map((path) => path.split('/')[0]))].sort();
    expect(topLevel).toEqual([
      'CHANGELOG.md',
      'CMakeLists.txt',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'bench',
      'binding',
      'dashboards',
      'dist',
      'docs',
      'examples',
      'lib',
      'package.json',
      'prebuilds',
      'prometheus',
      'script',
    ]);
    const binaries = files.filter((path) => path.endsWith('.node'));
    expect(binaries).toContain(`prebuilds/linux-${process.arch}/xen-block-stats.glibc.node`);
    expect(files.filter((path) => path.startsWith('prebuilds/')).sort()).toEqual([
      'prebuilds/README.md',
      ...binaries.sort(),
    ]);
    expect(files.filter((path) => /^(dashboards|prometheus)\//.test(path)).sort()).toEqual([
      'dashboards/grafana.json',
      'prometheus/alerts.yml',
      'prometheus/recording.yml',
    ]);
    expect(files.filter((path) => /^(bench|script)\//.test(path)).sort()).toEqual([
      'bench/latency.svg',
      'script/build.cjs',
    ]);
    expect(files.filter((path) => /^docs\/(?![\w-]+\.md$)/.test(path))).toEqual([
      'docs/pictures/dashboard.svg',
      'docs/pictures/top.svg',
    ]);
  });

  test('is smaller than 2 MB', () => {
    expect(size).toBeLessThan(2e6);
  });

  test('installs its manual page, if it is installed globally', () => {
    const prefix = join(project, 'global');
    const options = ['--ignore-scripts', '--no-audit', '--no-fund'];
    run('npm', ['install', '--global', '--prefix', prefix, ...options, tarballPath], project);
    const page = readFileSync(join(prefix, 'share/man/man1/xen-block-stats.1'), 'utf8');
    expect(page).toMatch(/^\.TH XEN/);
  }, 60_000);

  test('has every file and directory that its documents link to', () => {
    const documents = files.filter((path) => path.endsWith('.md'));
    const missing = documents.flatMap((document) => {
      const text = readFileSync(join(installed, document), 'utf8');
      return [...text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
        .map(([, link = '']) => join(document, '..', link))
        .filter((path) => !existsSync(join(installed, path)))
        .map((path) => `${document}: ${path}`);
    });
    expect(documents).toContain('README.md');
    expect(missing).toEqual([]);
  });

  test('installs two dependencies: for the binary, and the simulator’s files', () => {
    const modules = readdirSync(join(project, 'node_modules')).filter((it) => !it.startsWith('.'));
    expect(modules.sort()).toEqual(['node-gyp-build', 'signal-exit', 'xen-block-stats']);
  });

  test('has the command line in one file, with the license of what is bundled there', () => {
    expect(files.filter((path) => path.startsWith('dist/cli/'))).toEqual([]);
    const command = readFileSync(join(installed, 'dist/xen-block-stats.js'), 'utf8');
    const license = readFileSync(join(ROOT, 'node_modules/commander/LICENSE'), 'utf8');
    expect(command).toContain(license);
    const bundled = [...command.matchAll(/^\/\/ node_modules\/([^/]+)\//gm)].map(
      ([, name]) => name,
    );
    expect([...new Set(bundled)]).toEqual(['commander']);
  });

  const PROGRAM = `
    const host = await SimulatedHost.start({
      guests: [{ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 42 } }] }],
    });
    const xen = connect(host.connectOptions);
    console.log(xen.domain('web1').blockStats('xvda').rdReq, parseDiskName('xvda'));
    xen.close();
    await host.stop();
  `;

  test('works from CommonJS', () => {
    const source = `
      const { connect, parseDiskName } = require('xen-block-stats');
      const { SimulatedHost } = require('xen-block-stats/simulator');
      (async () => { ${PROGRAM} })();
    `;
    expect(node('-e', source)).toBe('42 51712\n');
  });

  test('works from ESM', () => {
    writeFileSync(
      join(project, 'program.mjs'),
      `import { connect, parseDiskName } from 'xen-block-stats';
       import { SimulatedHost } from 'xen-block-stats/simulator';
       ${PROGRAM}`,
    );
    expect(node('program.mjs')).toBe('42 51712\n');
  });

  test('has types that TypeScript checks', () => {
    mkdirSync(join(project, 'src'), { recursive: true });
    const check = (program: string) => {
      writeFileSync(join(project, 'src', 'program.mts'), program);
      const options = ['--strict', '--noEmit', '--module', 'node20', '--target', 'es2022'];
      const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules', '@types')];
      const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
      return node(tsc, ...options, ...types, 'src/program.mts');
    };
    check(`
      import { connect, parseDiskName, type BlockStats, type DiskStats } from 'xen-block-stats';
      import { SimulatedHost } from 'xen-block-stats/simulator';
      const web = connect().domain('web1');
      const numbers: BlockStats = web.blockStats('xvda');
      const bigints: BlockStats<bigint> = web.blockStats('xvda', { bigint: true });
      const disk: DiskStats<bigint> = web.disk('xvda').read({ bigint: true });
      const value: number | undefined = web.blockStatsFlags('xvda').params[0]?.value;
      console.log(numbers, bigints, disk, value);
      ${PROGRAM}
    `);
    // without prom-client
    check(`
      import { connect } from 'xen-block-stats';
      import { MetricsText, registerDiskSet, type MetricRegistry } from 'xen-block-stats/prometheus';
      const registry: MetricRegistry = { registerMetric() {}, removeSingleMetric() {} };
      const set = await connect().diskSet();
      console.log(new MetricsText(set).scrape(), registerDiskSet(registry, set));
    `);
    symlinkSync(join(ROOT, 'node_modules/prom-client'), join(project, 'node_modules/prom-client'));
    symlinkSync(
      join(ROOT, 'node_modules/@opentelemetry'),
      join(project, 'node_modules/@opentelemetry'),
    );
    check(`
      import { metrics } from '@opentelemetry/api';
      import { Registry, register } from 'prom-client';
      import { connect } from 'xen-block-stats';
      import { observeDiskSet } from 'xen-block-stats/opentelemetry';
      import { MetricsText, registerDiskSet } from 'xen-block-stats/prometheus';
      const set = await connect().diskSet();
      const text: Buffer = new MetricsText(set, { names: 'libvirt' }).scrape();
      const ends: (() => void)[] = [
        registerDiskSet(register, set),
        registerDiskSet(new Registry(), set, { names: 'xen' }),
        observeDiskSet(metrics.getMeter('agent'), set),
      ];
      console.log(text, ends);
    `);
    expect(() =>
      check(`
        import { connect } from 'xen-block-stats';
        const notANumber: bigint = connect().domain('web1').blockStats('xvda').rdReq;
      `),
    ).toThrow();
  }, 90_000);

  test('provides metrics without the optional prom-client and OpenTelemetry', () => {
    const source = `
      const { connect } = require('xen-block-stats');
      const { MetricsText } = require('xen-block-stats/prometheus');
      const { observeDiskSet } = require('xen-block-stats/opentelemetry');
      const { SimulatedHost } = require('xen-block-stats/simulator');
      (async () => {
        const host = await SimulatedHost.start();
        const xen = connect(host.connectOptions);
        const text = new MetricsText(await xen.diskSet()).scrape().toString();
        console.log(/^xen_block_disks .*$/m.exec(text)[0], typeof observeDiskSet);
        xen.close();
        await host.stop();
      })();
    `;
    expect(node('-e', source)).toBe('xen_block_disks 0 function\n');
  });

  test('installs its command line', () => {
    const bin = join(project, 'node_modules', '.bin', 'xen-block-stats');
    expect(run(bin, ['stat', 'web1', 'xvda', '--demo'], project)).toContain('xvda rd_req 1204\n');
  });
});
