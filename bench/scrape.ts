import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { dirname, join } from 'node:path';

/** An exporter: `xen-block-stats serve`, in a process of its own. */
export interface Scrape {
  /** Scrapes. Returns nanoseconds from the request to the last byte of the response. */
  once(): Promise<number>;
  /** The body of the last response. */
  readonly text: string;
  stop(): Promise<void>;
}

/** Starts an exporter of the disks of a host. */
export async function startScrape(host: { xenstore: string; sysfs: string }): Promise<Scrape> {
  const root = dirname(require.resolve('xen-block-stats/package.json'));
  const main = join(root, 'dist/cli/main.js');
  const location = ['--xenstore', host.xenstore, '--sysfs', host.sysfs];
  const exporter = spawn(
    process.execPath,
    [main, 'serve', '--listen', '127.0.0.1:0', ...location],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const ended = once(exporter, 'exit');
  const [line] = (await Promise.race([once(exporter.stdout, 'data'), ended])) as unknown[];
  const url = /^listening on (\S+)\n$/.exec(String(line))?.[1];
  if (url === undefined) throw new Error('serve did not start');
  let body: Buffer[] = [];
  return {
    once: async () => {
      const start = process.hrtime.bigint();
      body = await download(`${url}/metrics`);
      return Number(process.hrtime.bigint() - start);
    },
    get text() {
      return Buffer.concat(body).toString();
    },
    stop: async () => {
      exporter.kill();
      await ended;
    },
  };
}

function download(url: string): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    get(url, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => {
        resolve(parts);
      });
    }).on('error', reject);
  });
}
