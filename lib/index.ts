export { connect, type Connection, type ConnectOptions } from './connection';
export type {
  BlockStats,
  BlockStatsFlagsOptions,
  BlockStatsOptions,
  BlockStatsParameters,
  Domain,
  SkippedDisk,
} from './domain';
export type { DiskSample, DiskSet, DiskSetEvents, DiskSetOptions, SetValues } from './disk-set';
export type { SetDisk } from './set-disk';
export type { DiskRates } from './rates';
export { DISK_COLUMNS, type Disk, type DiskStats } from './disk';
export type { DiskInfo } from './disk-info';
export type { DiskDriver, DiskKind } from './backend';
export type { SectorSize } from './sector-size';
export {
  VIR_TYPED_PARAM_LLONG,
  VIR_TYPED_PARAM_STRING_OKAY,
  type TypedParameter,
} from './typed-params';
export { diskName, parseDiskName } from './vdev';
export { XenError, type XenErrorCode, type XenErrorDetails } from './errors';
