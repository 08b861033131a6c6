import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Connection } from '..';
import type { MetricNames } from '../metrics/prometheus';
import { handleRequests } from './exporter';
import { addHostOptions, withConnection, type HostValues } from './host-command';
import { PeakGauges } from './peak-gauges';
import { parseTime } from './rates/options';
import { describeUnsupported } from './rates/unsupported';

const DEFAULT_LISTEN = '127.0.0.1:9788';

/** The number of connections beyond which new ones are closed. A Prometheus server keeps one open. */
const MAX_CONNECTIONS = 100;

/** Timeout of responses that are unfinished when the command ends, in milliseconds. */
const GRACE_MS = 1000;

interface ServeValues extends HostValues {
  readonly listen: Address;
  readonly names: MetricNames;
  /** The length of the windows of peaks, in milliseconds. */
  readonly peaks?: number;
  /** Whether to ask QEMU. */
  readonly qemu: boolean;
}

export function define(program: Command): void {
  const command = program
    .command('serve')
    .description('serve the metrics of all disks to Prometheus')
    .addOption(
      new Option('--listen <address>', 'the address and port')
        .argParser(parseAddress)
        .default(parseAddress(DEFAULT_LISTEN), DEFAULT_LISTEN),
    )
    .addOption(
      new Option(
        '--names <names>',
        "the names of the metrics: xen, or those of libvirt's exporters",
      )
        .choices(['xen', 'libvirt'])
        .default('xen'),
    )
    .addOption(
      new Option(
        '--peaks <time>',
        'add the highest rates over any window of this length (1ms to 60s) within the last minute',
      ).argParser(parseWindow),
    )
    .option('--no-qemu', 'leave the sockets of QEMU alone; its disks have no metrics then');
  addHostOptions(command).action(async (values: ServeValues) => {
    await withConnection(values, { isLive: true }, (xen) => serve(xen, values));
  });
}

/** Serves the metrics of all disks by HTTP, until SIGTERM or SIGINT. */
async function serve(
  xen: Connection,
  { listen, names, peaks: windowMs, qemu }: ServeValues,
): Promise<void> {
  const kinds = ['vbd', 'vbd3', ...(qemu ? (['qdisk'] as const) : [])] as const;
  const set = await xen.diskSet({ kinds, backing: true });
  const peaks = windowMs === undefined ? undefined : await PeakGauges.start(xen, windowMs);
  const server = createServer(handleRequests(set, { names }, peaks));
  server.maxConnections = MAX_CONNECTIONS;
  const ended = endSignal();
  await startListening(server, listen);
  const url = `http://${formatAddress(server.address() as AddressInfo)}`;
  const hidden = describeUnsupported(set.unsupported);
  process.stdout.write(`listening on ${url}\n${hidden === '' ? '' : `${hidden}\n`}`);
  await ended;
  await closeServer(server);
  peaks?.stop();
  set.close();
}

/** The value of `--listen`. */
interface Address {
  readonly host: string;
  readonly port: number;
  /** Its text, for errors. */
  readonly text: string;
}

/** Returns the length of a window of peaks, in milliseconds. */
function parseWindow(text: string): number {
  const milliseconds = parseTime(text);
  if (milliseconds >= 1 && milliseconds <= 60_000) return milliseconds;
  throw new InvalidArgumentError('It must be 1ms to 60s.');
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new InvalidArgumentError(`It must be an address and a port, as ${DEFAULT_LISTEN}.`);
  }
  return { host, port, text };
}

async function startListening(server: Server, { host, port, text }: Address): Promise<void> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    const reason =
      code === 'EADDRINUSE' ? 'another program listens there' : (cause as Error).message;
    throw new Error(`cannot listen on ${text}: ${reason}`, { cause });
  }
}

function formatAddress({ address, family, port }: AddressInfo): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Resolves at the first SIGTERM or SIGINT. The next one ends the process at once. */
async function endSignal(): Promise<void> {
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

/** Closes the server after its unfinished responses, or after {@link GRACE_MS}. */
async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const timer = setTimeout(() => {
    server.closeAllConnections();
  }, GRACE_MS);
  await closed;
  clearTimeout(timer);
}
