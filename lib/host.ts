import type { SectorSize } from './libvirt/sector-size';
import type { Native, VbdPool } from './native';

/** The statistics of a domain's disks at one time (backends/qemu.ts). */
export interface DiskAnswer {
  /** When it was asked for, in nanoseconds on CLOCK_MONOTONIC. */
  readonly askedAt: bigint;
  /** When it arrived. */
  readonly timestamp: bigint;
  /** Fills the row of a disk. Returns false, and writes nothing, if there is no such disk. */
  fill(
    disk: { readonly name: string; readonly format: string },
    array: Float64Array | BigInt64Array,
    offset?: number,
  ): boolean;
}

/** The processes that know the statistics of a domain's disks (backends/qemu.ts). */
export interface DiskMonitors {
  query(domid: number): Promise<DiskAnswer>;
}

/** The addon and the settings that the objects of one connection share. */
export interface Host {
  readonly native: Native;
  /** The open vbds of the connection. */
  readonly vbds: VbdPool;
  /** The directory that contains `bus/xen-backend/devices`. */
  readonly sysfs: string;
  /** The directory of tapdisk's statistics. */
  readonly shm: string;
  /** The monitors of QEMU. The first access makes them. */
  readonly qemu: DiskMonitors;
  /** The path of xenstored's socket; undefined: libxenstore's default. */
  readonly socket: string | undefined;
  /** The timeout of a call that waits for xenstored, in milliseconds. */
  readonly timeoutMs: number;
  /** The default of the option `sectorSize` of `blockStats` and `blockStatsFlags`. */
  readonly sectorSize: SectorSize;
  /** The domid of the domain that this process runs in: 0, or a driver domain's. */
  readonly ownDomid: number;
}
