import { XenError } from './errors';
import type { Native } from './native';
import { openVbd } from './vbd';

/** The folder of a disk's backend in xenstore: which kind of backend serves it. */
export type DiskKind = 'vbd' | 'vbd3' | 'qdisk' | 'tap' | 'virtio_disk';

/** What serves a disk, in libvirt's words, and `standalone` (libxl's word) for virtio. */
export type DiskDriver = 'phy' | 'tap' | 'qemu' | 'standalone';

/** A disk whose counters are open. */
export interface Reader {
  /**
   * Fills the addon's row with these counters, see `Counter` and `counterSet` in native.ts.
   *
   * @returns undefined if it did; else why not, for {@link Reader.error}.
   */
  read(counters: number): number | undefined;
  /** The error for a failure of {@link Reader.read}. */
  error(failure: number): XenError;
  /** Gives back what it holds. */
  close(): void;
}

/** Which disk to open. */
export interface ReaderTarget {
  readonly native: Native;
  /** The folder that has `bus/xen-backend/devices`. */
  readonly sysfs: string;
  readonly domid: number;
  readonly devid: number;
  /** The disk's name, for errors. */
  readonly disk: string;
}

/** A kind of backend. Another one whose statistics can be read is another object in the list below. */
export interface BackendKind {
  readonly kind: DiskKind;
  readonly driver: DiskDriver;
  /** Opens the counters of a disk; a kind without this has none that we can read. */
  readonly open?: (target: ReaderTarget) => Reader;
}

/** All kinds, in the order in which they are asked for a disk. */
export const BACKEND_KINDS: readonly BackendKind[] = [
  { kind: 'vbd', driver: 'phy', open: openVbd },
  { kind: 'vbd3', driver: 'tap' },
  { kind: 'qdisk', driver: 'qemu' },
  { kind: 'tap', driver: 'tap' },
  { kind: 'virtio_disk', driver: 'standalone' },
];

/** The kind with this name, if it is one. */
export function backendKind(kind: string): BackendKind | undefined {
  return BACKEND_KINDS.find((candidate) => candidate.kind === kind);
}
