export { SimulatedHost } from './host';
export type { Counter, Counters, Io } from './counters';
export type { Faults } from './faults';
export type {
  CounterOptions,
  DiskOptions,
  GuestOptions,
  HostOptions,
  WorkloadOptions,
} from './options';
export type { DiskSpec, Toolstack } from './toolstack';
export type { Workload } from './workload';
