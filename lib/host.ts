import type { SectorSize } from './libvirt/sector-size';
import type { Native } from './native';

/** What the objects of one connection share. */
export interface Host {
  readonly native: Native;
  /** The directory that has `bus/xen-backend/devices`. */
  readonly sysfs: string;
  /** The path of xenstored's socket; undefined: libxenstore's default. */
  readonly socket: string | undefined;
  /** How long a call may wait for xenstored, in milliseconds. */
  readonly timeoutMs: number;
  /** What libvirt's two calls multiply sectors by, unless they are told. */
  readonly sectorSize: SectorSize;
  /** The domain that this process runs in: 0, or a driver domain. */
  readonly ownDomid: number;
}
