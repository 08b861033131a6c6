import { InvalidArgumentError, Option, type Command } from 'commander';
import type { HostValues } from '../host-command';
import {
  addUnitOptions,
  parseCount,
  parseInterval,
  toUnit,
  type UnitValues,
} from '../rates/options';
import { SORT_KEYS, type SortKey } from '../rates/rows';
import type { DiskSetOptions } from '../..';
import { kindsFor, type Printing } from '../rates/sampling';
import type { Unit } from '../rates/units';
import type { View } from './view';

/** The options that do not apply to JSON and CSV, which have kilobytes. */
const UNITS = ['megabytes', 'human'];

/** The values of the options of `top`. */
export interface TopValues extends HostValues, UnitValues {
  readonly by: 'disk' | 'domain';
  readonly sort: SortKey;
  readonly filter: string;
  /** In milliseconds. */
  readonly interval: number;
  readonly count?: number;
  readonly batch?: true;
  readonly qemu: boolean;
  readonly json?: true;
  readonly csv?: true;
}

/** How `top` runs. */
export interface TopOptions {
  readonly view: View;
  readonly unit: Unit;
  /** The number of samples; Infinity by default. */
  readonly count: number;
  /** What is printed in place of the screen; undefined for the screen, if there is a terminal. */
  readonly format: Printing['format'] | undefined;
  readonly kinds: DiskSetOptions['kinds'];
}

/** Adds the options of `top` to its command. */
export function addTopOptions(command: Command): Command {
  command
    .addOption(
      new Option('--by <what>', 'show one line for each disk or domain')
        .choices(['disk', 'domain'])
        .default('disk'),
    )
    .addOption(
      new Option('--sort <column>', 'sort by this column')
        .choices(SORT_KEYS)
        .argParser(parseSortKey)
        .default('kB/s'),
    )
    .option(
      '--filter <text>',
      "show only disks with this text in their name or their domain's name",
      '',
    )
    .addOption(
      new Option('--interval <seconds>', 'the time between two samples')
        .argParser(parseInterval)
        .default(1000, '1'),
    )
    .option('--count <number>', 'end after this many samples', parseCount)
    .option('--no-qemu', 'do not ask QEMU: its disks are not shown');
  return addUnitOptions(command, 'print each figure with its unit: 19.1 GB/s')
    .addOption(
      new Option('--batch', 'print reports, one after the other').conflicts(['json', 'csv']),
    )
    .addOption(
      new Option('--json', 'print a line of JSON for each sample').conflicts(['csv', ...UNITS]),
    )
    .addOption(new Option('--csv', 'print CSV, a line for each disk and sample').conflicts(UNITS));
}

export function toTopOptions(values: TopValues): TopOptions {
  const { by, sort, filter, interval, count = Infinity } = values;
  return {
    view: {
      by,
      sort,
      isReversed: false,
      filter,
      intervalMs: interval,
      isTyping: false,
      isPaused: false,
      isHelpShown: false,
      skipped: 0,
    },
    unit: toUnit(values),
    count,
    format: toFormat(values),
    kinds: kindsFor(values),
  };
}

function toFormat({ batch, json, csv }: TopValues): TopOptions['format'] {
  if (json === true) return 'json';
  if (csv === true) return 'csv';
  return batch === true ? 'text' : undefined;
}

/** Returns a sort key. Its case does not matter, and `MB/s` is `kB/s`. */
function parseSortKey(text: string): SortKey {
  const wanted = text.toLowerCase().replace(/mb(?=\/s)/, 'kb');
  const key = SORT_KEYS.find((it) => it.toLowerCase() === wanted);
  if (key !== undefined) return key;
  throw new InvalidArgumentError(`Allowed choices are ${SORT_KEYS.join(', ')}.`);
}
