import { XenError } from '../errors';
import { Counter } from '../native';
import type { Options } from '../options';
import type { BlockCounters } from './block-stats';

/** libvirt's `VIR_TYPED_PARAM_LLONG`: a signed 64-bit integer. */
export const VIR_TYPED_PARAM_LLONG = 3;

/** libvirt's `VIR_TYPED_PARAM_STRING_OKAY`: a flag that is accepted and has no effect. */
export const VIR_TYPED_PARAM_STRING_OKAY = 4;

/** libvirt's `virTypedParameter`. */
export interface TypedParameter<N extends number | bigint = number> {
  /** libvirt's name of the parameter: `wr_bytes`, `wr_operations`, `rd_bytes` ... */
  readonly field: string;
  /** Always {@link VIR_TYPED_PARAM_LLONG}. */
  readonly type: typeof VIR_TYPED_PARAM_LLONG;
  readonly value: N;
}

/** The counter of each parameter, in libvirt's order. */
const COUNTERS = [
  Counter.wrSectors,
  Counter.wrReq,
  Counter.rdSectors,
  Counter.rdReq,
  Counter.flushReq,
  Counter.ooReq,
];

/** The number of parameters. */
export const PARAMETER_COUNT = COUNTERS.length;

/** Returns the counters of the first parameters, as a set of bits of {@link Counter}. */
export function countersOf(nparams: number): number {
  return COUNTERS.slice(0, nparams).reduce((bits, counter) => bits | counter, 0);
}

/** Returns the first parameters that the backend has. Omits a counter that is -1, as libvirt does. */
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

/** Returns the option `nparams`, the wanted number of parameters. The default is all. */
export function readParameterCount(options: Options): number {
  return Math.min(options.integer('nparams', 0) ?? PARAMETER_COUNT, PARAMETER_COUNT);
}

/**
 * Checks the option `flags`.
 *
 * @throws {@link XenError} `ERR_XEN_UNSUPPORTED_FLAGS` if it contains a flag that the call does not support.
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
