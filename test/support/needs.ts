import { existsSync, readFileSync } from 'node:fs';
import { findProgram } from './programs';

/** The capabilities that tests need, with their bits in CapEff (capabilities(7), proc(5)). */
const CAPABILITIES = { CAP_SETGID: 6, CAP_SETUID: 7, CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 };

/** The drivers of block devices that tests need, with the files that make a device. */
const DRIVERS = { loop: '/dev/loop-control', zram: '/sys/class/zram-control/hot_add' };

/**
 * What a test needs of the machine: a capability, a driver, or a program that script/bootstrap test
 * installs.
 */
type Need =
  | keyof typeof CAPABILITIES
  | keyof typeof DRIVERS
  | 'fish'
  | 'groff'
  | 'promtool'
  | 'qemu-img'
  | 'qemu-system-x86_64'
  | 'tmux'
  | 'xenstore'
  | 'xenstored'
  | 'zsh';

/** Returns whether this process has a capability, or the machine a driver or a program. */
export function isGranted(need: Need): boolean {
  if (need in DRIVERS) return existsSync(DRIVERS[need as keyof typeof DRIVERS]);
  if (!(need in CAPABILITIES)) return findProgram(need) !== undefined;
  const bit = BigInt(CAPABILITIES[need as keyof typeof CAPABILITIES]);
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*(\S+)/m.exec(status)?.[1] ?? '0'}`);
  return ((effective >> bit) & 1n) === 1n;
}

/**
 * Returns `describe` and `test` for what needs something of the machine. They say it in the title, and skip
 * where the machine does not have it.
 */
export function needing(...needs: readonly Need[]) {
  const isMet = needs.every(isGranted);
  const titled = (title: string) => `${title} (needs ${needs.join(', ')})`;
  return {
    describe: (title: string, tests: () => void) => {
      (isMet ? describe : describe.skip)(titled(title), tests);
    },
    test: (title: string, run: () => unknown, timeoutMs?: number) => {
      (isMet ? test : test.skip)(titled(title), run as () => Promise<void>, timeoutMs);
    },
  };
}
