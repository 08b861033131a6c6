/**
 * What went wrong, as a stable string: the `code` of a {@link XenError}.
 *
 * | code | when |
 * |---|---|
 * | `ERR_XEN_NO_DOMAIN` | no domain has this domid, name or uuid |
 * | `ERR_XEN_DOMAIN_NOT_RUNNING` | the domain went away |
 * | `ERR_XEN_INVALID_DISK` | the domain has no such disk, or it is not a disk's name |
 * | `ERR_XEN_UNSUPPORTED_DRIVER` | the disk is not served by blkback in this domain |
 * | `ERR_XEN_UNSUPPORTED_FORMAT` | the disk is served by blkback, but is not raw |
 * | `ERR_XEN_UNSUPPORTED_PLATFORM` | this is not Linux |
 * | `ERR_XEN_UNSUPPORTED_FLAGS` | a flag that the call does not know |
 * | `ERR_XEN_STATS_UNAVAILABLE` | the kernel has no statistics of the disk, or they cannot be read |
 * | `ERR_XEN_NO_LIBXENSTORE` | libxenstore is not installed on this machine |
 * | `ERR_XENSTORE_CONNECT` | no xenstored answers, or not to this user |
 * | `ERR_XENSTORE_TIMEOUT` | xenstored did not answer in time |
 * | `ERR_XENSTORE_IO` | the connection to xenstored broke, or it answered nonsense |
 * | `ERR_XEN_CLOSED` | used after `close()` |
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

/** Where an error happened, as far as it is known. */
export interface XenErrorDetails {
  /** The system's error number, positive (2 is ENOENT). */
  errno?: number | undefined;
  /** The call that failed: `open`, `pread`, `connect` ... */
  syscall?: string | undefined;
  /** The file or the xenstore node that it was about. */
  path?: string | undefined;
  /** The domain that it was about. */
  domid?: number | undefined;
  /** The disk that it was about, by its name. */
  disk?: string | undefined;
  /** The error behind this one. */
  cause?: unknown;
}

/** Every error of this package but those for arguments of a wrong type or range. */
export class XenError extends Error {
  override readonly name = 'XenError';
  /** See {@link XenErrorCode}. */
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

/** A TypeError as Node's own: `ERR_INVALID_ARG_TYPE`, naming the argument. */
export function invalidType(argument: string, expected: string, actual: unknown): TypeError {
  const received = actual === null ? 'null' : `type ${typeof actual}`;
  return Object.assign(
    new TypeError(`The "${argument}" argument must be ${expected}. Received ${received}`),
    { code: 'ERR_INVALID_ARG_TYPE' },
  );
}

/** A RangeError as Node's own: `ERR_OUT_OF_RANGE`, naming the argument. */
export function outOfRange(argument: string, expected: string, actual: unknown): RangeError {
  return Object.assign(
    new RangeError(
      `The value of "${argument}" is out of range. It must be ${expected}. Received ${String(actual)}`,
    ),
    { code: 'ERR_OUT_OF_RANGE' },
  );
}
