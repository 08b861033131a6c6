import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Connection } from '..';
import { MetricsText, type MetricNames } from '../metrics/prometheus';
import { UsageError } from './usage-error';

const DEFAULT_LISTEN = '127.0.0.1:9788';

/** How long answers that are under way may take when it ends. */
const GRACE_MS = 1000;

const PAGE = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>xen-block-stats</title></head>
<body>
<h1>xen-block-stats</h1>
<p>Block statistics of the Xen guests on this host, for Prometheus.</p>
<ul>
<li><a href="/metrics">/metrics</a>: the metrics</li>
<li><a href="/-/healthy">/-/healthy</a>: whether this program is alive</li>
</ul>
</body>
</html>
`;

/** `serve` */
export function serve(
  _operands: string[],
  { listen = DEFAULT_LISTEN, names = 'xen' }: { listen?: string; names?: string },
): (xen: Connection) => Promise<string> {
  const address = parseAddress(listen);
  const options = { names: parseNames(names) };
  return async (xen) => {
    const set = await xen.diskSet();
    const server = createServer(answer(new MetricsText(set, options)));
    const ended = signal();
    await open(server, address);
    process.stdout.write(`listening on http://${format(server.address() as AddressInfo)}\n`);
    await ended;
    await close(server);
    set.close();
    return '';
  };
}

interface Address {
  readonly host: string;
  readonly port: number;
  /** As it was given. */
  readonly text: string;
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new UsageError(`--listen is an address and a port, as ${DEFAULT_LISTEN}, not ${text}`);
  }
  return { host, port, text };
}

function parseNames(text: string): MetricNames {
  if (text === 'xen' || text === 'libvirt') return text;
  throw new UsageError(`--names is xen or libvirt, not ${text}`);
}

function answer(metrics: MetricsText): RequestListener {
  const paths = new Map<string, () => [type: string, body: string | Buffer]>([
    ['/', () => ['text/html; charset=utf-8', PAGE]],
    ['/metrics', () => [MetricsText.contentType, metrics.scrape()]],
    ['/-/healthy', () => ['text/plain; charset=utf-8', 'healthy\n']],
  ]);
  return ({ method = '', url = '' }, response) => {
    const make = paths.get(url.split('?')[0] ?? '');
    if (make === undefined) {
      response.writeHead(404).end();
    } else if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else {
      const [type, body] = make();
      response.writeHead(200, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    }
  };
}

async function open(server: Server, { host, port, text }: Address): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'another program listens there' : (cause as Error).message;
    throw new Error(`cannot listen on ${text}: ${why}`, { cause });
  }
}

function format({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The first signal that asks to end; the next one ends the process at once. */
async function signal(): Promise<void> {
  await new Promise<void>((resolve) => {
    const stop = () => {
      process.off('SIGTERM', stop);
      process.off('SIGINT', stop);
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const timer = setTimeout(() => {
    server.closeAllConnections();
  }, GRACE_MS);
  await closed;
  clearTimeout(timer);
}
