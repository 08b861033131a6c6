import { inspect } from 'node:util';

/**
 * The `code` of a {@link XenError}: a stable string that identifies the kind of error.
 *
 * | code | meaning |
 * |---|---|
 * | `ERR_XEN_NO_DOMAIN` | no domain has this domid, name or uuid |
 * | `ERR_XEN_DOMAIN_NOT_RUNNING` | the domain has ended |
 * | `ERR_XEN_INVALID_DISK` | the domain has no such disk, or the disk name is invalid |
 * | `ERR_XEN_UNSUPPORTED_DRIVER` | the disk is served by a driver or a domain that the call cannot read |
 * | `ERR_XEN_UNSUPPORTED_FORMAT` | the disk is served by blkback, but is not raw |
 * | `ERR_XEN_UNSUPPORTED_PLATFORM` | the package has no binary for this machine, or it cannot be loaded |
 * | `ERR_XEN_UNSUPPORTED_FLAGS` | `flags` has a flag that the call does not support |
 * | `ERR_XEN_STATS_UNAVAILABLE` | the kernel, tapdisk or QEMU has no statistics of the disk, or they cannot be read |
 * | `ERR_XEN_NO_LIBXENSTORE` | libxenstore is not installed on this machine |
 * | `ERR_XENSTORE_CONNECT` | xenstored cannot be reached, or refuses the request |
 * | `ERR_XENSTORE_TIMEOUT` | xenstored did not respond before the deadline |
 * | `ERR_XENSTORE_IO` | the connection to xenstored was lost, and so was a second one |
 * | `ERR_XEN_CLOSED` | the object was used after `close()` |
 */
export type XenErrorCode =
  | 'ERR_XEN_NO_DOMAIN'
  | 'ERR_XEN_DOMAIN_NOT_RUNNING'
  | 'ERR_XEN_INVALID_DISK'
  | 'ERR_XEN_UNSUPPORTED_DRIVER'
  | 'ERR_XEN_UNSUPPORTED_FORMAT'
  | 'ERR_XEN_UNSUPPORTED_PLATFORM'
  | 'ERR_XEN_UNSUPPORTED_FLAGS'
  | 'ERR_XEN_STATS_UNAVAILABLE'
  | 'ERR_XEN_NO_LIBXENSTORE'
  | 'ERR_XENSTORE_CONNECT'
  | 'ERR_XENSTORE_TIMEOUT'
  | 'ERR_XENSTORE_IO'
  | 'ERR_XEN_CLOSED';

/** The circumstances of an error, as far as they are known. */
export interface XenErrorDetails {
  /** The system's error number, positive (2 is `ENOENT`). */
  errno?: number | undefined;
  /** The system call that failed: `open`, `pread`, `connect` ... */
  syscall?: string | undefined;
  /** The path of the file or the xenstore node. */
  path?: string | undefined;
  /** The domid of the domain. */
  domid?: number | undefined;
  /** The name of the disk. */
  disk?: string | undefined;
  /** The error that caused this one. */
  cause?: unknown;
}

/** An error of this package. For arguments of a wrong type or range, it throws TypeError and RangeError. */
export class XenError extends Error {
  override readonly name = 'XenError';
  /** The kind of error. */
  readonly code: XenErrorCode;
  /** {@inheritDoc XenErrorDetails.errno} */
  declare readonly errno?: number;
  /** {@inheritDoc XenErrorDetails.syscall} */
  declare readonly syscall?: string;
  /** {@inheritDoc XenErrorDetails.path} */
  declare readonly path?: string;
  /** {@inheritDoc XenErrorDetails.domid} */
  declare readonly domid?: number;
  /** {@inheritDoc XenErrorDetails.disk} */
  declare readonly disk?: string;

  /** @internal */
  constructor(code: XenErrorCode, message: string, { cause, ...details }: XenErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    for (const [key, value] of Object.entries(details)) {
      if (value !== undefined) Object.assign(this, { [key]: value });
    }
  }
}

/** Creates a TypeError like Node's own, with the code `ERR_INVALID_ARG_TYPE` and the argument's name. */
export function invalidType(argument: string, expected: string, actual: unknown): TypeError {
  const received = actual === null ? 'null' : `type ${typeof actual}`;
  return Object.assign(
    new TypeError(`The "${argument}" argument must be ${expected}. Received ${received}`),
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
}

/** Creates a RangeError like Node's own, with the code `ERR_OUT_OF_RANGE` and the argument's name. */
export function outOfRange(argument: string, expected: string, actual: unknown): RangeError {
  return Object.assign(
    new RangeError(
      `The value of "${argument}" is out of range. It must be ${expected}. Received ${String(actual)}`,
    ),
    { code: 'ERR_OUT_OF_RANGE' },
  );
}

/** Creates a TypeError like Node's own, with the code `ERR_INVALID_ARG_VALUE` and the argument's name. */
export function invalidValue(
  argument: string,
  known: readonly string[],
  actual: unknown,
): TypeError {
  return Object.assign(
    new TypeError(
      `The argument "${argument}" must be one of: ${known.join(', ')}. Received ${inspect(actual)}`,
    ),
    { code: 'ERR_INVALID_ARG_VALUE' },
  );
}
