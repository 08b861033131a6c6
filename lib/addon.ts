import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import load from 'node-gyp-build';
import { XenError } from './errors';

const ROOT = join(__dirname, '..');
const PREBUILDS = join(ROOT, 'prebuilds');

/**
 * Loads the addon: the one that was built on this machine, else the binary for it.
 *
 * @throws {@link XenError} `ERR_XEN_UNSUPPORTED_PLATFORM` if there is none, or if it cannot be loaded.
 */
export function loadAddon(): unknown {
  const machine = `${process.platform}-${process.arch}`;
  if (process.platform !== 'linux') {
    throw unsupported(
      `${machine} is not Linux, whose kernel has the statistics; ${listBinaries()}`,
    );
  }
  try {
    return load(ROOT);
  } catch (error) {
    const glibc = glibcVersion();
    const musl = join(PREBUILDS, machine, 'xen-block-stats.musl.node');
    let cause = error as Error;
    // node-gyp-build recognizes musl by the files of Alpine only, and loads the binary for glibc elsewhere
    if (glibc === undefined && existsSync(musl) && !cause.message.includes(musl)) {
      try {
        // eslint-disable-next-line @typescript-eslint/no-require-imports -- an addon has no other way
        return require(musl);
      } catch (muslError) {
        cause = muslError as Error;
      }
    }
    const libc = glibc === undefined ? 'musl' : `glibc ${glibc}`;
    const isMissing = cause.message.startsWith('No native build was found');
    const reason = isMissing ? 'has no binary' : `cannot load the binary: ${cause.message.trim()}`;
    const command = `node ${join(ROOT, 'script/build.cjs')}`;
    throw unsupported(
      `${machine} (${libc}) ${reason}; ${listBinaries()}; to build one: ${command}`,
      cause,
    );
  }
}

function unsupported(reason: string, cause?: unknown): XenError {
  const message = `platform unsupported: ${reason.replaceAll(/\s*\n\s*/g, ' ')}`;
  return new XenError('ERR_XEN_UNSUPPORTED_PLATFORM', message, { cause });
}

/** Returns the version of glibc in this process, or undefined if it has another libc. */
function glibcVersion(): string | undefined {
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime;
}

/** Lists the binaries of the package: `linux-x64 (glibc, musl)`. */
function listBinaries(): string {
  const files = existsSync(PREBUILDS)
    ? readdirSync(PREBUILDS, { recursive: true, encoding: 'utf8' })
    : [];
  const libcs = new Map<string, string[]>();
  for (const file of files.sort()) {
    const [, machine, libc] = /^(.+)\/xen-block-stats\.(\w+)\.node$/.exec(file) ?? [];
    if (machine && libc) libcs.set(machine, [...(libcs.get(machine) ?? []), libc]);
  }
  const binaries = Array.from(libcs, ([machine, names]) => `${machine} (${names.join(', ')})`);
  return `the package has ${binaries.length > 0 ? `binaries for ${binaries.join(', ')}` : 'no binary'}`;
}
