import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

const readJson = (path: string): unknown => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

interface Lock {
  packages: Record<string, { version: string; integrity?: string; resolved?: string }>;
}

interface Bom {
  bomFormat: string;
  metadata: { component: { name: string; version: string } };
  components: { name: string; version: string; hashes: { alg: string }[]; licenses: unknown[] }[];
  dependencies: { ref: string; dependsOn: string[] }[];
}

interface Manifest {
  name: string;
  version: string;
  dependencies: Record<string, string>;
}

const lock = readJson('package-lock.json') as Lock;
const manifest = readJson('package.json') as Manifest;

test('every package of the lock file has a SHA-512 and no address', () => {
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '');
  const wrong = packages.filter(
    ([, { integrity, resolved }]) => !integrity?.startsWith('sha512-') || resolved !== undefined,
  );
  expect(wrong).toEqual([]);
  expect(packages.length).toBeGreaterThan(100);
});

describe('the bill of materials', () => {
  const output = execFileSync(process.execPath, ['script/sbom.cjs'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const bom = JSON.parse(output) as Bom;
  const names = bom.components.map(({ name }) => name).sort();

  test('describes this version, in CycloneDX’s format', () => {
    const { name, version } = bom.metadata.component;
    expect({ name, version }).toEqual({ name: manifest.name, version: manifest.version });
    expect(bom.bomFormat).toBe('CycloneDX');
  });

  test('has each dependency, and what is bundled and compiled in, and nothing else', () => {
    const command = readFileSync(join(ROOT, 'dist/xen-block-stats.js'), 'utf8');
    const bundled = [...command.matchAll(/^\/\/ node_modules\/([^/]+)\//gm)].map(([, it]) => it);
    const headers = ['node-addon-api', 'node-api-headers'];
    const all = [...Object.keys(manifest.dependencies), ...new Set(bundled), ...headers];
    expect(names).toEqual(all.sort());
  });

  test('has the version, a hash and a license of each', () => {
    for (const { name, version, hashes, licenses } of bom.components) {
      expect(version).toBe(lock.packages[`node_modules/${name}`]?.version);
      expect(hashes.map(({ alg }) => alg)).toEqual(['SHA-512']);
      expect(licenses).toHaveLength(1);
    }
  });

  test('has no dependency of a dependency, because there is none', () => {
    for (const name of names) {
      expect(lock.packages[`node_modules/${name}`]).not.toHaveProperty('dependencies');
    }
    const [root, ...others] = bom.dependencies;
    expect(root?.dependsOn).toHaveLength(names.length);
    expect(others.flatMap(({ dependsOn }) => dependsOn)).toEqual([]);
  });
});
