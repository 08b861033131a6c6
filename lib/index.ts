export { connect, type Connection, type ConnectOptions } from './connection';
export type {
  BlockStats,
  BlockStatsFlagsOptions,
  BlockStatsOptions,
  BlockStatsParameters,
  Domain,
} from './domain';
export type { SkippedDisk } from './domain-disks';
export type { DiskSample, DiskSet, DiskSetEvents, DiskSetOptions } from './sampling/disk-set';
export type { SetValues } from './native';
export { peaks, type DiskPeaks, type Peak } from './sampling/peaks';
export type { DiskRates } from './sampling/rates';
export type { BackingRates, BackingStats } from './backends/backing-device';
export type { RecordedSamples, Recorder, RecorderOptions } from './sampling/recorder';
export type { Disk } from './disk';
export { DISK_COLUMNS, type DiskStats } from './disk-stats';
export type { DiskInfo } from './xenstore/disks';
export type { DiskDriver, DiskKind } from './xenstore/backend-kinds';
export type { SectorSize } from './libvirt/sector-size';
export {
  VIR_TYPED_PARAM_LLONG,
  VIR_TYPED_PARAM_STRING_OKAY,
  type TypedParameter,
} from './libvirt/typed-params';
export { diskName, parseDiskName } from './disk-name';
export { XenError, type XenErrorCode, type XenErrorDetails } from './errors';
