import { XenError } from '../errors';
import { Counter } from '../native';
import type { Options } from '../options';
import type { BlockCounters } from './block-stats';

/** libvirt's `VIR_TYPED_PARAM_LLONG`: a signed 64-bit integer. */
export const VIR_TYPED_PARAM_LLONG = 3;

/** libvirt's `VIR_TYPED_PARAM_STRING_OKAY`, which every call may be given and which changes nothing. */
export const VIR_TYPED_PARAM_STRING_OKAY = 4;

/** libvirt's `virTypedParameter`. */
export interface TypedParameter<N extends number | bigint = number> {
  /** libvirt's name of it: `wr_bytes`, `wr_operations`, `rd_bytes` ... */
  readonly field: string;
  /** Always {@link VIR_TYPED_PARAM_LLONG}. */
  readonly type: typeof VIR_TYPED_PARAM_LLONG;
  readonly value: N;
}

/** The counters that the parameters are read from, in libvirt's order. */
const COUNTERS = [
  Counter.wrSectors,
  Counter.wrReq,
  Counter.rdSectors,
  Counter.rdReq,
  Counter.flushReq,
  Counter.outOfRequests,
];

/** How many parameters there are. */
export const PARAMETER_COUNT = COUNTERS.length;

/** The counters that the first parameters are read from. */
export function countersOf(nparams: number): number {
  return COUNTERS.slice(0, nparams).reduce((set, counter) => set | counter, 0);
}

/** The first parameters that the backend has: one that is -1 is left out, as in libvirt. */
export function toTypedParameters(
  counters: BlockCounters<number | bigint>,
  nparams: number,
): TypedParameter<number | bigint>[] {
  const type = VIR_TYPED_PARAM_LLONG;
  const all = [
    { field: 'wr_bytes', type, value: counters.wrBytes },
    { field: 'wr_operations', type, value: counters.wrReq },
    { field: 'rd_bytes', type, value: counters.rdBytes },
    { field: 'rd_operations', type, value: counters.rdReq },
    { field: 'flush_operations', type, value: counters.flushReq },
    { field: 'errs', type, value: counters.errs },
  ] as const;
  return all.filter(({ value }) => value >= 0).slice(0, nparams);
}

/** The option `nparams`: how many parameters are wanted. All of them if it is not given. */
export function readParameterCount(options: Options): number {
  return Math.min(options.integer('nparams', 0) ?? PARAMETER_COUNT, PARAMETER_COUNT);
}

/**
 * Checks the option `flags`.
 *
 * @throws {@link XenError} `ERR_XEN_UNSUPPORTED_FLAGS` if there is one that the call does not know.
 */
export function checkFlags(options: Options): void {
  const flags = options.integer('flags', 0, 0xffffffff) ?? 0;
  const unknown = (flags & ~VIR_TYPED_PARAM_STRING_OKAY) >>> 0;
  if (unknown === 0) return;
  throw new XenError(
    'ERR_XEN_UNSUPPORTED_FLAGS',
    `unsupported flags (0x${unknown.toString(16)}) in function blockStatsFlags`,
  );
}
