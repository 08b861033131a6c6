#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { connect, type Connection, type SectorSize } from '..';
import { startDemoHost } from './demo';
import { devid } from './devid';
import { list } from './list';
import { serve } from './serve';
import { stat } from './stat';
import { top } from './top/top';
import { UsageError } from './usage-error';

const USAGE = `Usage: xen-block-stats <command> [options]

Commands:
  list [domain]           the running domains with their disks
  stat <domain> [disk]    a disk's counters, as virsh domblkstat prints them;
                          without a disk, the sum over all disks of the domain
  top                     what the disks that blkback serves do, live
  devid <name>...         the numbers of disk names
  serve                   the metrics of all disks, for Prometheus to scrape

A domain is given by its name, domid or UUID; a disk by its name (xvda), its
number (51712) or its source (/dev/vg/web1-root).

Options:
  --human                 stat: in sentences, as virsh --human
  --sector-size <size>    stat: physical (the default) for libvirt's bytes, 512
                          for true ones
  --by <what>             top: one line a disk (the default) or a domain
  --sort <heading>        top: kB/s (the default), domain, disk, r/s ...
  --filter <text>         top: only disks with this in their or their domain's name
  --interval <seconds>    top: how long between two samples; default: 1
  --count <number>        top: end after so many samples
  --batch                 top: print reports, one after the other
  --json                  print JSON
  --listen <address>      serve: where; the default is 127.0.0.1:9788
  --names <names>         serve: xen (the default), or libvirt for the metrics'
                          names in libvirt's exporters
  --demo                  talk to a simulated host, started for this command
  --xenstore <socket>     the socket of xenstored (for tests and simulators)
  --sysfs <folder>        the folder in place of /sys (for tests and simulators)
  -h, --help              print this
  -V, --version           print the version
`;

const OPTIONS = {
  human: { type: 'boolean' },
  'sector-size': { type: 'string' },
  by: { type: 'string' },
  sort: { type: 'string' },
  filter: { type: 'string' },
  interval: { type: 'string' },
  count: { type: 'string' },
  batch: { type: 'boolean' },
  json: { type: 'boolean' },
  listen: { type: 'string' },
  names: { type: 'string' },
  demo: { type: 'boolean' },
  xenstore: { type: 'string' },
  sysfs: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const satisfies ParseArgsConfig['options'];

/** How long a live command may take to find all disks: 0.5 ms each, on a host of thousands. */
const LIVE_TIMEOUT_MS = 10_000;

/** The options, as they were given. */
export type Values = ReturnType<
  typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>
>['values'];

/** What a command prints in the end. */
type Output = string;

/** What a command asks a host. */
type Asking = (xen: Connection) => Output | Promise<Output>;

interface HostCommand {
  /** Takes what was given on the command line, so that wrong usage is known before a host is asked. */
  readonly prepare: (operands: string[], values: Values) => Asking;
  /** How many operands it takes. */
  readonly least: number;
  readonly most: number;
  /** Whether it shows what moves: the guests of `--demo` use their disks then. */
  readonly isLive?: boolean;
}

const HOST_COMMANDS: Record<string, HostCommand> = {
  list: { prepare: list, least: 0, most: 1 },
  stat: { prepare: stat, least: 1, most: 2 },
  serve: { prepare: serve, least: 0, most: 0, isLive: true },
  top: { prepare: top, least: 0, most: 0, isLive: true },
};

async function run(args: string[]): Promise<Output> {
  const { values, positionals } = parse(args);
  if (values.help === true) return USAGE;
  if (values.version === true) return `${version()}\n`;

  const [name, ...operands] = positionals;
  if (name === undefined) throw new UsageError('which command?');
  if (name === 'devid') {
    if (operands.length === 0) throw new UsageError('devid needs a disk name');
    return devid(operands, values);
  }
  const command = HOST_COMMANDS[name];
  if (command === undefined) throw new UsageError(`there is no command ${name}`);
  if (operands.length < command.least) throw new UsageError(`${name} needs a domain`);
  if (operands.length > command.most) throw new UsageError(`${name} takes no ${operands.at(-1)}`);
  return withConnection(values, command.isLive === true, command.prepare(operands, values));
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message.split('.')[0]);
  }
}

function version(): string {
  const file = join(__dirname, '..', '..', 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

async function withConnection(values: Values, isLive: boolean, ask: Asking): Promise<Output> {
  const forBytes = sectorSize(values['sector-size']);
  const demo = values.demo === true ? await startDemoHost(isLive) : undefined;
  try {
    const xen = connect({
      xenstore: values.xenstore,
      sysfs: values.sysfs,
      ...demo?.connectOptions,
      sectorSize: forBytes,
      timeoutMs: isLive ? LIVE_TIMEOUT_MS : undefined,
    });
    try {
      return await ask(xen);
    } finally {
      xen.close();
    }
  } finally {
    await demo?.stop();
  }
}

function sectorSize(text: string | undefined): SectorSize | undefined {
  switch (text) {
    case undefined:
    case 'physical':
      return text;
    case '512':
      return 512;
    default:
      throw new UsageError(`--sector-size is physical or 512, not ${text}`);
  }
}

// whoever reads us may have had enough: head, less
process.stdout.on('error', () => process.exit());
// Node's own form of a warning is for programmers
process.removeAllListeners('warning');
process.on('warning', ({ message }) => {
  process.stderr.write(`xen-block-stats: ${message}\n`);
});

run(process.argv.slice(2)).then(
  (output) => {
    process.stdout.write(output);
  },
  (error: unknown) => {
    const { message } = error as Error;
    process.stderr.write(`xen-block-stats: ${message}\n`);
    if (error instanceof UsageError) process.stderr.write(`\n${USAGE}`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);
