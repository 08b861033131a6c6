import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Unit } from './units';

const MIN_SECONDS = 0.1;
const MAX_SECONDS = 86400;

/** The units of times, in milliseconds. */
const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

/** The values of the options of {@link addUnitOptions}. */
export interface UnitValues {
  readonly kilobytes?: true;
  readonly megabytes?: true;
  readonly human?: true;
}

/**
 * Adds the options for the unit of throughput, with the letters of iostat.
 *
 * @param human - what the command prints with `--human`.
 */
export function addUnitOptions(command: Command, human: string): Command {
  const option = (flags: string, description: string, others: string[]) =>
    new Option(flags, description).conflicts(others);
  return command
    .helpOption('--help', 'display help for command')
    .addOption(option('-k, --kilobytes', 'print kB/s (the default)', ['megabytes', 'human']))
    .addOption(option('-m, --megabytes', 'print MB/s', ['kilobytes', 'human']))
    .addOption(option('-h, --human', human, ['kilobytes', 'megabytes']));
}

export function toUnit({ megabytes, human }: UnitValues): Unit {
  if (human === true) return 'human';
  return megabytes === true ? 'MB' : 'kB';
}

/** Returns an interval in milliseconds. */
export function parseInterval(text: string): number {
  const seconds = /^[0-9]*\.?[0-9]+$/.test(text) ? Number(text) : NaN;
  if (seconds >= MIN_SECONDS && seconds <= MAX_SECONDS) return Math.round(seconds * 1000);
  throw new InvalidArgumentError(`It must be ${MIN_SECONDS} to ${MAX_SECONDS} seconds.`);
}

/** Returns a time with a unit, in milliseconds. */
export function parseTime(text: string): number {
  const [, number, unit = ''] = /^([0-9]*\.?[0-9]+)(us|ms|s|min|h)$/.exec(text) ?? [];
  const milliseconds = Number(number) * (UNITS[unit] ?? NaN);
  if (milliseconds > 0 && milliseconds < 2 ** 53) return milliseconds;
  throw new InvalidArgumentError('It must be a time with a unit, such as 500us, 1ms, 2s or 5min.');
}

/** Returns a number of samples. */
export function parseCount(text: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1.');
}
