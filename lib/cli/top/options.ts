import { UsageError } from '../usage-error';
import { SORT_KEYS, type SortKey } from './rows';
import type { View } from './view';

/** The options, as they were given. */
export interface TopValues {
  by?: string | undefined;
  sort?: string | undefined;
  filter?: string | undefined;
  interval?: string | undefined;
  count?: string | undefined;
  batch?: boolean | undefined;
}

/** The options, checked. */
export interface TopOptions {
  readonly view: View;
  readonly intervalMs: number;
  /** How many times; without an end if nothing was said. */
  readonly count: number;
  readonly isBatch: boolean;
}

const LEAST_SECONDS = 0.1;
const MOST_SECONDS = 86400;

/** Checks the options. */
export function parseTopOptions(values: TopValues): TopOptions {
  const { by = 'disk', filter = '', interval = '1', count, batch = false } = values;
  if (by !== 'disk' && by !== 'domain') {
    throw new UsageError(`--by is disk or domain, not ${by}`);
  }
  const seconds = /^[0-9]*\.?[0-9]+$/.test(interval) ? Number(interval) : NaN;
  if (!(seconds >= LEAST_SECONDS && seconds <= MOST_SECONDS)) {
    throw new UsageError(
      `--interval is ${LEAST_SECONDS} to ${MOST_SECONDS} seconds, not ${interval}`,
    );
  }
  if (count !== undefined && !/^[1-9][0-9]{0,8}$/.test(count)) {
    throw new UsageError(`--count is how many times, from 1, not ${count}`);
  }
  return {
    view: { by, sort: sortKey(values.sort), filter, isTyping: false, isPaused: false, skipped: 0 },
    intervalMs: seconds * 1000,
    count: count === undefined ? Infinity : Number(count),
    isBatch: batch,
  };
}

function sortKey(text = 'kB/s'): SortKey {
  const key = SORT_KEYS.find((it) => it.toLowerCase() === text.toLowerCase());
  if (key === undefined)
    throw new UsageError(`--sort is one of ${SORT_KEYS.join(' ')}, not ${text}`);
  return key;
}
