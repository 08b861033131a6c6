import { InvalidArgumentError, Option, type Command } from 'commander';
import type { HostValues } from '../host-command';
import { SORT_KEYS, type SortKey } from './rows';
import type { View } from './view';

/** The values of the options of `top`. */
export interface TopValues extends HostValues {
  readonly by: 'disk' | 'domain';
  readonly sort: SortKey;
  readonly filter: string;
  /** In seconds. */
  readonly interval: number;
  readonly count?: number;
  readonly batch?: true;
}

/** How `top` runs. */
export interface TopOptions {
  readonly view: View;
  readonly intervalMs: number;
  /** The number of samples; Infinity by default. */
  readonly count: number;
  readonly isBatch: boolean;
}

const MIN_SECONDS = 0.1;
const MAX_SECONDS = 86400;

/** Adds the options of `top` to its command. */
export function addTopOptions(command: Command): Command {
  return command
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
        .default(1),
    )
    .option('--count <number>', 'end after this many samples', parseCount)
    .option('--batch', 'print reports, one after the other');
}

export function toTopOptions(values: TopValues): TopOptions {
  const { by, sort, filter, interval, count = Infinity, batch = false } = values;
  return {
    view: { by, sort, filter, isTyping: false, isPaused: false, skipped: 0 },
    intervalMs: interval * 1000,
    count,
    isBatch: batch,
  };
}

function parseSortKey(text: string): SortKey {
  const key = SORT_KEYS.find((it) => it.toLowerCase() === text.toLowerCase());
  if (key !== undefined) return key;
  throw new InvalidArgumentError(`Allowed choices are ${SORT_KEYS.join(', ')}.`);
}

function parseInterval(text: string): number {
  const seconds = /^[0-9]*\.?[0-9]+$/.test(text) ? Number(text) : NaN;
  if (seconds >= MIN_SECONDS && seconds <= MAX_SECONDS) return seconds;
  throw new InvalidArgumentError(`It must be ${MIN_SECONDS} to ${MAX_SECONDS} seconds.`);
}

function parseCount(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1.');
}
