import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { dirname, join } from 'node:path';

/** USER_HZ: what /proc counts in a second. */
const CLOCK_TICKS = 100;

/** An exporter that can be scraped: `xen-block-stats serve`, in a process of its own. */
export interface Scrape {
  /** Nanoseconds of one scrape: from the request to the last byte of the answer. */
  once(): Promise<number>;
  /** The processor's time that the exporter has taken so far. */
  cpuSeconds(): number;
  /** What the last scrape got. */
  readonly text: string;
  stop(): Promise<void>;
}

/** Starts an exporter on a host. */
export async function startScrape(host: { xenstore: string; sysfs: string }): Promise<Scrape> {
  const root = dirname(require.resolve('xen-block-stats/package.json'));
  const main = join(root, 'dist/cli/main.js');
  const where = ['--xenstore', host.xenstore, '--sysfs', host.sysfs];
  const exporter = spawn(process.execPath, [main, 'serve', '--listen', '127.0.0.1:0', ...where], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
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
    cpuSeconds: () => {
      // utime and stime, counting from after the program's name
      const stat = readFileSync(`/proc/${exporter.pid}/stat`, 'utf8').split(') ')[1]?.split(' ');
      return (Number(stat?.[11]) + Number(stat?.[12])) / CLOCK_TICKS;
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
