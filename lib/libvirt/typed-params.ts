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

/** The parameters in libvirt's order, with the counter that each is read from. */
const PARAMETERS = [
  { field: 'wr_bytes', from: 'wrBytes', counter: Counter.wrSectors },
  { field: 'wr_operations', from: 'wrReq', counter: Counter.wrReq },
  { field: 'rd_bytes', from: 'rdBytes', counter: Counter.rdSectors },
  { field: 'rd_operations', from: 'rdReq', counter: Counter.rdReq },
  { field: 'flush_operations', from: 'flushReq', counter: Counter.flushReq },
  { field: 'errs', from: 'errs', counter: Counter.outOfRequests },
] as const;

/** How many there are. */
export const PARAMETER_COUNT = PARAMETERS.length;

/** The counters that the first of them are read from. */
export function countersOf(nparams: number): number {
  return PARAMETERS.reduce((set, { counter }, i) => (i < nparams ? set | counter : set), 0);
}

/** The first of them that the backend has: one that is -1 is left out, as in libvirt. */
export function toTypedParameters(
  counters: BlockCounters<number> | BlockCounters<bigint>,
  nparams: number,
): TypedParameter<number | bigint>[] {
  const params: TypedParameter<number | bigint>[] = [];
  for (const { field, from } of PARAMETERS) {
    const value = counters[from];
    if (value >= 0) params.push({ field, type: VIR_TYPED_PARAM_LLONG, value });
    if (params.length === nparams) break;
  }
  return params;
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
