export { SimulatedHost } from './host';
export type {
  BlkbackCounter,
  Counter,
  CounterOptions,
  Counters,
  Io,
  TimedCounter,
} from './counters';
export type { Faults } from './faults';
export type { DiskOptions, GuestOptions, HostOptions, WorkloadOptions } from './options';
export type { DiskSpec, Toolstack } from './toolstack';
export type { Workload } from './workload';
