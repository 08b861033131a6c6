import { Option, type Command } from 'commander';
import type { Connection } from '../..';
import { findDomain } from '../domain';
import { addHostOptions, withConnection, type HostValues } from '../host-command';
import { addUnitOptions, parseCount, parseInterval, type UnitValues } from '../rates/options';
import type { Schedule } from '../rates/sampling';
import { formatCounters, formatJson, formatSentences, readCounters } from './counters';

/** The smallest devid of a disk's name, that of hda. A smaller number after the domain is an interval. */
const MIN_DEVID = 768;

const HELP = `
A number below ${MIN_DEVID} directly after the domain is an interval, not a disk.
`;

interface StatValues extends HostValues, UnitValues {
  readonly partial?: true;
  readonly sectorSize: 'physical' | '512';
  readonly json?: true;
}

/** The operands after the domain. */
interface Operands {
  /** The disk, '' for all disks. */
  readonly path: string;
  /** Undefined for the counters. */
  readonly schedule: Schedule | undefined;
}

export function define(program: Command): void {
  const command = program
    .command('stat')
    .description("print a disk's counters as virsh domblkstat does, or its rates as iostat does")
    .argument('<domain>')
    .argument('[disk]', "without it, or '', the sum over all disks of the domain is printed")
    .argument('[interval]', 'print rates, each time after this many seconds')
    .argument('[count]', 'end after this many intervals')
    .option('--partial', 'leave disks that cannot be read out of the sum')
    .addOption(
      new Option('--sector-size <size>', "print libvirt's bytes (physical) or the true ones (512)")
        .choices(['physical', '512'])
        .default('physical'),
    );
  addUnitOptions(command, 'print the sentences of virsh --human, or each rate with its unit');
  command.addOption(
    new Option('--json', 'print JSON, and a line for each interval').conflicts([
      'megabytes',
      'human',
    ]),
  );
  command.addHelpText('after', HELP);
  addHostOptions(command).action(
    async (
      domain: string,
      disk: string | undefined,
      interval: string | undefined,
      count: string | undefined,
      values: StatValues,
    ) => {
      const { path, schedule } = parseOperands(command, [disk, interval, count]);
      if (schedule !== undefined) {
        refuse(command, ['partial', 'sectorSize'], 'is not for rates');
        const { printRates } = await import('./rates.js');
        await withConnection(values, { isLive: true }, (xen) =>
          printRates(xen, findDomain(xen, domain), path, schedule, values),
        );
        return;
      }
      refuse(command, ['kilobytes', 'megabytes'], 'is for rates: give an interval');
      if (path !== '') refuse(command, ['partial'], 'is for the sum over all disks');
      const sectorSize = values.sectorSize === '512' ? 512 : 'physical';
      await withConnection(values, { sectorSize }, (xen) =>
        printCounters(xen, domain, path, values),
      );
    },
  );
}

/** Prints the counters of a disk, or their sum over all disks. */
async function printCounters(
  xen: Connection,
  domainText: string,
  path: string,
  { partial, human, json }: StatValues,
): Promise<void> {
  const counters = await readCounters(findDomain(xen, domainText), path, partial === true);
  if (json === true) {
    process.stdout.write(formatJson(counters));
    return;
  }
  process.stdout.write(human === true ? formatSentences(counters) : formatCounters(counters));
  for (const { disk, error } of counters.skipped ?? []) {
    process.stderr.write(`xen-block-stats: ${disk} is not in the sum: ${error.message}\n`);
  }
}

/** Parses the operands after the domain: a disk, unless the first one is an interval. */
function parseOperands(command: Command, given: readonly (string | undefined)[]): Operands {
  const isInterval = /^[0-9.]+$/.test(given[0] ?? '') && Number(given[0]) < MIN_DEVID;
  const [path = '', interval, count, excess] = isInterval ? ['', ...given] : given;
  if (excess !== undefined) command.error(`error: too many arguments: ${excess}`);
  if (interval === undefined) return { path, schedule: undefined };
  const parse = (name: string, text: string, parser: (text: string) => number) => {
    try {
      return parser(text);
    } catch (error) {
      return command.error(`error: ${name} '${text}' is invalid. ${(error as Error).message}`);
    }
  };
  return {
    path,
    schedule: {
      intervalMs: parse('the interval', interval, parseInterval),
      count: count === undefined ? Infinity : parse('the count', count, parseCount),
    },
  };
}

/** Ends with an error if one of these options is given. */
function refuse(command: Command, names: readonly string[], reason: string): void {
  for (const option of command.options) {
    const name = option.attributeName();
    if (names.includes(name) && command.getOptionValueSource(name) === 'cli') {
      command.error(`error: option '${option.long}' ${reason}`);
    }
  }
}
