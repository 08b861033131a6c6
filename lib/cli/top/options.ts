import { UsageError } from '../usage-error';
import { SORT_KEYS, type SortKey } from '../rates/rows';
import type { Printing } from '../rates/sampling';
import type { Unit } from '../rates/units';
import type { View } from './view';

/** The options of `top`, unchecked. */
export interface TopValues {
  by?: string | undefined;
  sort?: string | undefined;
  filter?: string | undefined;
  interval?: string | undefined;
  count?: string | undefined;
  batch?: boolean | undefined;
}

/** The options of `top`, checked. */
export interface TopOptions {
  readonly view: View;
  /** The number of samples; Infinity by default. */
  readonly count: number;
  readonly isBatch: boolean;
  readonly format: Printing['format'];
  readonly unit: Unit;
}

const MIN_SECONDS = 0.1;
const MAX_SECONDS = 86400;

/** Checks the options of `top`. Throws a {@link UsageError}. */
export function parseTopOptions(values: TopValues): TopOptions {
  const { by = 'disk', filter = '', interval = '1', count, batch = false } = values;
  if (by !== 'disk' && by !== 'domain') {
    throw new UsageError(`--by is disk or domain, not ${by}`);
  }
  const seconds = /^[0-9]*\.?[0-9]+$/.test(interval) ? Number(interval) : NaN;
  if (!(seconds >= MIN_SECONDS && seconds <= MAX_SECONDS)) {
    throw new UsageError(`--interval is ${MIN_SECONDS} to ${MAX_SECONDS} seconds, not ${interval}`);
  }
  if (count !== undefined && !/^[1-9][0-9]{0,8}$/.test(count)) {
    throw new UsageError(`--count is a whole number from 1, not ${count}`);
  }
  return {
    view: {
      by,
      sort: parseSortKey(values.sort),
      isReversed: false,
      filter,
      intervalMs: seconds * 1000,
      isTyping: false,
      isPaused: false,
      isHelpShown: false,
      skipped: 0,
    },
    count: count === undefined ? Infinity : Number(count),
    isBatch: batch,
    format: 'text',
    unit: 'kB',
  };
}

function parseSortKey(text = 'kB/s'): SortKey {
  const key = SORT_KEYS.find((it) => it.toLowerCase() === text.toLowerCase());
  if (key === undefined)
    throw new UsageError(`--sort is one of ${SORT_KEYS.join(' ')}, not ${text}`);
  return key;
}
