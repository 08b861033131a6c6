import { InvalidArgumentError, Option, type Command } from 'commander';
import type { HostValues } from '../host-command';
import { parseTime } from '../rates/options';

/** The values of the options of `record`. Times are in milliseconds. */
export interface RecordValues extends HostValues {
  readonly interval: number;
  /** Undefined: until the command is interrupted. */
  readonly duration?: number;
  /** The length of the windows whose highest rates are printed. */
  readonly peaks?: number;
  readonly rates?: true;
  readonly json?: true;
  readonly csv?: true;
}

const MIN_INTERVAL_MS = 0.2;
const MAX_INTERVAL_MS = 3_600_000;

/** Adds the options of `record` to its command. */
export function addRecordOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--interval <time>', 'the time between two samples, from 200us')
        .argParser(parseRecordInterval)
        .default(1, '1ms'),
    )
    .option('--duration <time>', 'end after this time; without it, when interrupted', parseTime)
    .addOption(
      new Option('--peaks <time>', 'print the highest rates over any window of this length')
        .argParser(parseTime)
        .conflicts('rates'),
    )
    .option('--rates', 'print rates in place of counters')
    .addOption(new Option('--json', 'print a line of JSON for each line').conflicts('csv'))
    .option('--csv', 'print CSV');
}

function parseRecordInterval(text: string): number {
  const milliseconds = parseTime(text);
  if (milliseconds >= MIN_INTERVAL_MS && milliseconds <= MAX_INTERVAL_MS) return milliseconds;
  throw new InvalidArgumentError('It must be 200us to 1h.');
}
