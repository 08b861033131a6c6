import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

/**
 * Counts the files and directories of statistics below a directory that are open for reading in this process.
 * A host of the tests opens them for writing.
 */
export function countOpenStatistics(sysfs: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      const flags = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      return (
        /^flags:\s\d*[04]$/m.test(flags) &&
        readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${sysfs}/`)
      );
    } catch {
      return false; // the descriptor of /proc/self/fd itself
    }
  }).length;
}
