#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { connect, type Connection, type SectorSize } from '..';
import { devid } from './devid';
import { list } from './list';
import { serve } from './serve';
import { stat } from './stat';
import { top } from './top/top';
import { UsageError } from './usage-error';

const USAGE = `Usage: xen-block-stats <command> [options]

Commands:
  list [domain]           print the running domains with their disks
  stat <domain> [disk]    print a disk's counters, as virsh domblkstat does;
                          without a disk, their sum over all disks of the domain
  top                     show the rates of the disks that blkback serves, live
  devid <name>...         print the numbers of disk names
  serve                   serve the metrics of all disks to Prometheus

A domain is given by its name, domid or UUID; a disk by its name (xvda), its
number (51712) or its source (/dev/vg/web1-root).

Options:
  --human                 stat: print sentences, as virsh --human
  --sector-size <size>    stat: physical (the default) prints libvirt's bytes,
                          512 the true ones
  --by <what>             top: one line for each disk (the default) or domain
  --sort <heading>        top: sort by kB/s (the default), domain, disk, r/s ...
  --filter <text>         top: show only disks with this text in their name or
                          their domain's name
  --interval <seconds>    top: the time between two samples; default: 1
  --count <number>        top: end after this many samples
  --batch                 top: print reports, one after the other
  --json                  list, stat, devid: print JSON
  --listen <address>      serve: the address and port; default: 127.0.0.1:9788
  --names <names>         serve: xen (the default), or libvirt for the metric
                          names of libvirt's exporters
  --demo                  use a simulated host, which is started for this command
  --xenstore <socket>     the socket of xenstored (for tests and simulators)
  --sysfs <directory>     the directory in place of /sys (for tests and simulators)
  -h, --help              print this help
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

/**
 * Timeout for finding all disks when a live command starts, in milliseconds. A disk takes 0.5 ms, and
 * a host can have thousands.
 */
const LIVE_TIMEOUT_MS = 10_000;

/** The values of the options, unchecked. */
export type Values = ReturnType<
  typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>
>['values'];

/** The text that a command prints when it ends. */
type Output = string;

/** The part of a command that uses the connection. */
type Action = (xen: Connection) => Output | Promise<Output>;

/** A command that needs a connection. */
interface HostCommand {
  /** Checks the operands and options before a connection is made. Throws a {@link UsageError}. */
  readonly prepare: (operands: string[], values: Values) => Action;
  readonly minOperands: number;
  readonly maxOperands: number;
  /** Whether it runs until it is ended. The guests of `--demo` use their disks then. */
  readonly isLive?: boolean;
}

const HOST_COMMANDS: Record<string, HostCommand> = {
  list: { prepare: list, minOperands: 0, maxOperands: 1 },
  stat: { prepare: stat, minOperands: 1, maxOperands: 2 },
  serve: { prepare: serve, minOperands: 0, maxOperands: 0, isLive: true },
  top: { prepare: top, minOperands: 0, maxOperands: 0, isLive: true },
};

async function run(args: string[]): Promise<Output> {
  const { values, positionals } = parse(args);
  if (values.help === true) return USAGE;
  if (values.version === true) return `${version()}\n`;

  const [name, ...operands] = positionals;
  if (name === undefined) throw new UsageError('no command given');
  if (name === 'devid') {
    if (operands.length === 0) throw new UsageError('devid needs a disk name');
    return devid(operands, values);
  }
  const command = HOST_COMMANDS[name];
  if (command === undefined) throw new UsageError(`unknown command: ${name}`);
  if (operands.length < command.minOperands) throw new UsageError(`${name} needs a domain`);
  if (operands.length > command.maxOperands) {
    throw new UsageError(`${name}: unexpected argument ${operands.at(-1)}`);
  }
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

async function withConnection(values: Values, isLive: boolean, act: Action): Promise<Output> {
  const sectorSize = parseSectorSize(values['sector-size']);
  // loads the simulator only for --demo: other commands run without it
  const demo =
    values.demo === true ? await (await import('./demo.js')).startDemoHost(isLive) : undefined;
  try {
    const xen = connect({
      xenstore: values.xenstore,
      sysfs: values.sysfs,
      ...demo?.connectOptions,
      sectorSize,
      timeoutMs: isLive ? LIVE_TIMEOUT_MS : undefined,
    });
    try {
      return await act(xen);
    } finally {
      xen.close();
    }
  } finally {
    await demo?.stop();
  }
}

function parseSectorSize(text: string | undefined): SectorSize | undefined {
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

// ends quietly when the program at the other end of the pipe (head, less) ends
process.stdout.on('error', () => process.exit());
// prints warnings in the form of the errors, not in that of Node.js
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
