import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { DiskSet } from '..';
import { MetricsText, type MetricsOptions } from '../metrics/prometheus';
import type { PeakGauges } from './peak-gauges';
import { formatProcessMetrics } from './process-metrics';

const PAGE = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>xen-block-stats</title></head>
<body>
<h1>xen-block-stats</h1>
<p>Block statistics of the Xen guests on this host, for Prometheus.</p>
<ul>
<li><a href="/metrics">/metrics</a>: the metrics</li>
<li><a href="/-/healthy">/-/healthy</a>: whether this program is alive</li>
<li><a href="/-/ready">/-/ready</a>: whether new guests and disks are found</li>
</ul>
</body>
</html>
`;

/** The length from which bodies are compressed, in bytes. */
const COMPRESSED_LENGTH = 1024;

/** The fastest level. Its output is only about a sixth longer than the default level's. */
const COMPRESSION = { level: 1 };

/** The longest time to wait for QEMU in a scrape, in milliseconds. */
const QEMU_TIMEOUT_MS = 2000;

/** The time of a scrape that is left for all but QEMU, in milliseconds. */
const RESERVED_MS = 500;

const compress = promisify<Buffer, typeof COMPRESSION, Buffer>(gzip);

interface Content {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

/** Creates the content of a path. */
type GetContent = (request: IncomingMessage) => Content | Promise<Content>;

/** Creates the content of a short text. */
const text = (body: string, status = 200, type = 'text/plain; charset=utf-8'): Content => {
  return { status, type, body: Buffer.from(body) };
};

/** Handles the requests to the exporter of a set, with gauges of peaks if there are any. */
export function handleRequests(
  set: DiskSet,
  options: MetricsOptions,
  peaks?: PeakGauges,
): RequestListener {
  const metrics = new MetricsText(set, options);
  const paths = new Map<string, GetContent>([
    ['/', () => text(PAGE, 200, 'text/html; charset=utf-8')],
    [
      '/metrics',
      async ({ headers }) => {
        const timeoutMs = qemuTimeoutMs(headers['x-prometheus-scrape-timeout-seconds']);
        const parts = [
          await metrics.scrapeAsync({ timeoutMs }),
          ...(peaks ? [peaks.format()] : []),
          formatProcessMetrics(),
        ];
        const body = Buffer.concat(parts);
        return { status: 200, type: MetricsText.contentType, body };
      },
    ],
    ['/-/healthy', () => text('healthy\n')],
    [
      '/-/ready',
      () => (set.watching ? text('ready\n') : text('xenstored does not respond\n', 503)),
    ],
  ]);
  return (request, response) => {
    const { method = '', url = '' } = request;
    const getContent = paths.get(url.split('?')[0] ?? '');
    if (getContent === undefined) {
      response.writeHead(404).end();
    } else if (method !== 'GET' && method !== 'HEAD') {
      response.writeHead(405, { allow: 'GET, HEAD' }).end();
    } else {
      void respond(getContent, request, response);
    }
  };

  async function respond(
    getContent: GetContent,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    try {
      await send(await getContent(request), request, response);
    } catch (error) {
      if (set.isClosed) {
        response.destroy(); // the command ends while a scrape waits for QEMU
        return;
      }
      const { message } = error as Error;
      process.stderr.write(`xen-block-stats: cannot respond to a request: ${message}\n`);
      response.writeHead(500).end();
    }
  }
}

/**
 * Returns how long a scrape may wait for QEMU, in milliseconds.
 *
 * @param header - the timeout of the scrape in seconds, which Prometheus sends.
 */
function qemuTimeoutMs(header: string | string[] | undefined): number {
  const scrapeMs = Number(header) * 1000;
  if (!(scrapeMs > 0)) return QEMU_TIMEOUT_MS;
  return Math.min(Math.max(scrapeMs - RESERVED_MS, scrapeMs / 2), QEMU_TIMEOUT_MS);
}

/** Sends a response, compressed by the thread pool if the request accepts that. */
async function send(
  { status, type, body }: Content,
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let bytes = body;
  if (bytes.length >= COMPRESSED_LENGTH) {
    response.setHeader('vary', 'accept-encoding');
    if (acceptsGzip(accepted)) {
      bytes = await compress(bytes, COMPRESSION);
      response.setHeader('content-encoding', 'gzip');
    }
  }
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length }).end(bytes);
}

/** Whether the value of `Accept-Encoding` has gzip, or else `*`, with a weight other than 0. */
function acceptsGzip(accepted: string): boolean {
  const weights = new Map(
    accepted.split(',').map((it) => {
      const [coding = '', weight = 'q=1'] = it.toLowerCase().split(';');
      return [coding.trim(), Number(weight.trim().replace(/^q=/, ''))];
    }),
  );
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0;
}
