export { SimulatedHost } from './host';
export type { Counter, Counters, Io } from './counters';
export type { Faults } from './faults';
export type {
  Answers,
  CounterOptions,
  DiskOptions,
  GuestOptions,
  HeldAnswers,
  HostOptions,
  SlowAnswers,
  WorkloadOptions,
  XenstoreRequest,
} from './options';
export type { DiskSpec, Toolstack } from './toolstack';
export type { Workload } from './workload';
