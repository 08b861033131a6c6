import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Reads each binary of prebuilds/. script/bootstrap builds that of this machine only, script/prebuilds the
 * others.
 */

const PREBUILDS = join(ROOT, 'prebuilds');

/** The machine in the header of an ELF file (elf(5)), by Node's name of the architecture. */
const MACHINES = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

/** The newest versions of symbols that a binary may need: those of Node.js 20's own minimum. */
const NEWEST: Record<string, string> = {
  GLIBC: '2.28',
  GLIBCXX: '3.4.25',
  CXXABI: '1.3.11',
  GCC: '8.0.0',
};

const binaries = readdirSync(PREBUILDS, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('.node'),
);

test('there is a binary for this machine, and none for an unknown one', () => {
  const known = ['arm64', 'x64'].flatMap((arch) =>
    ['glibc', 'musl'].map((libc) => `linux-${arch}/xen-block-stats.${libc}.node`),
  );
  expect(binaries).toContain(`linux-${process.arch}/xen-block-stats.glibc.node`);
  expect(known).toEqual(expect.arrayContaining(binaries));
});

describe.each(binaries)('%s', (path) => {
  const isMusl = path.includes('.musl.');
  const text = execFileSync(
    'readelf',
    ['--wide', '--file-header', '--dynamic', '--dyn-syms', '--version-info', join(PREBUILDS, path)],
    { encoding: 'utf8' },
  );
  const find = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = '']) => found);

  test('is for the machine of its name', () => {
    const arch = path.startsWith('linux-x64') ? 'x64' : 'arm64';
    expect(find(/Machine: +(.*)/g)).toEqual([MACHINES[arch]]);
  });

  test('needs no other libraries than Node.js does there', () => {
    const needed = find(/\(NEEDED\) +Shared library: \[(.*)\]/g).sort();
    if (isMusl) {
      // musl provides both names itself; the second is that of Alpine
      expect(needed).toHaveLength(1);
      expect(needed[0]).toMatch(/^libc\.(so|musl-(x86_64|aarch64)\.so\.1)$/);
    } else {
      expect(needed).toEqual(['libc.so.6', 'libgcc_s.so.1', 'libstdc++.so.6']);
    }
  });

  test('needs no newer glibc and libstdc++ than Node.js 20 does', () => {
    const versions = find(/Name: ([A-Z]+_[\d.]+) +Flags/g);
    const tooNew = versions.filter((version) => {
      const [library = '', number = ''] = version.split('_');
      return number.localeCompare(NEWEST[library] ?? '', 'en', { numeric: true }) > 0;
    });
    expect(tooNew).toEqual([]);
    expect(versions.some((version) => version.startsWith('GLIBC_'))).toBe(!isMusl);
  });

  test('exports what Node.js looks up, and nothing else', () => {
    // the columns are: number, value, size, type, bind, visibility, section (or UND), name
    const exported = find(/^ *\d+: \w+ +\d+ \w+ +(?:GLOBAL|WEAK|UNIQUE) +\w+ +\d+ (\S+)/gm);
    expect(exported.sort()).toEqual([
      'napi_register_module_v1',
      'node_api_module_get_api_version_v1',
    ]);
  });

  test('calls no function of libuv and V8, which may change with each version of Node.js', () => {
    const imported = find(/ UND (\S+)/g);
    expect(imported).toContain('napi_create_function');
    expect(imported.filter((name) => /^uv_|v8/.test(name))).toEqual([]);
  });

  test('stays in memory, and resolves all symbols when it is loaded', () => {
    expect(find(/\(FLAGS_1\) +Flags: (.*)/g).join()).toMatch(/NOW.*NODELETE/);
  });
});
