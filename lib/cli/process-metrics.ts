import { readFileSync, readdirSync, statSync } from 'node:fs';
import type { Family } from '../metrics/prometheus/family';

/** The metrics of this process, with the names that Prometheus' client libraries give them. */
const FAMILIES: readonly (Family & { readonly value: () => number })[] = [
  {
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    type: 'counter',
    value: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory size in bytes.',
    type: 'gauge',
    value: () => readNumber('status', /^VmRSS:\s*(\d+) kB$/m) * 1024,
  },
  {
    name: 'process_virtual_memory_bytes',
    help: 'Virtual memory size in bytes.',
    type: 'gauge',
    value: () => readNumber('status', /^VmSize:\s*(\d+) kB$/m) * 1024,
  },
  {
    name: 'process_open_fds',
    help: 'Number of open file descriptors.',
    type: 'gauge',
    // the size of the directory is the number since Linux 6.2, and 0 before; readdir opens one more
    value: () => statSync('/proc/self/fd').size || readdirSync('/proc/self/fd').length - 1,
  },
  {
    name: 'process_max_fds',
    help: 'Maximum number of open file descriptors.',
    type: 'gauge',
    value: () => readNumber('limits', /^Max open files\s*(\d+) /m),
  },
  {
    name: 'process_start_time_seconds',
    help: 'Start time of the process since unix epoch in seconds.',
    type: 'gauge',
    value: () => performance.timeOrigin / 1000,
  },
];

/** Returns the metrics of this process in Prometheus' text format, without those that cannot be read. */
export function formatProcessMetrics(): Buffer {
  const lines = FAMILIES.map(({ name, help, type, value }) => {
    try {
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${name} ${value()}\n`;
    } catch {
      // the process has no descriptors left
      return '';
    }
  });
  return Buffer.from(lines.join(''));
}

/** Returns the number that the pattern's group matches in a file of `/proc/self`; NaN if there is none. */
function readNumber(file: string, pattern: RegExp): number {
  return Number(pattern.exec(readFileSync(`/proc/self/${file}`, 'latin1'))?.[1]);
}
