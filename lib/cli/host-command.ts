import { Option, type Command } from 'commander';
import { XenError, connect, type Connection, type ConnectOptions, type SectorSize } from '..';

/**
 * Timeout for finding all disks when a live command starts, in milliseconds. A disk takes 0.5 ms, and
 * a host can have thousands.
 */
const LIVE_TIMEOUT_MS = 10_000;

/** The values of the options that select the host. */
export interface HostValues {
  readonly demo?: true;
  readonly xenstore?: string;
  readonly sysfs?: string;
}

/** Adds the options that select the host to a command. */
export function addHostOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--demo', 'use a simulated host, which is started for this command').conflicts([
        'xenstore',
        'sysfs',
      ]),
    )
    .addOption(new Option('--xenstore <socket>', 'the socket of xenstored').hideHelp())
    .addOption(new Option('--sysfs <directory>', 'the directory in place of /sys').hideHelp());
}

/** How a command uses the host. */
interface Use {
  /** Whether the command runs until it is ended. The guests of `--demo` use their disks then. */
  readonly isLive?: boolean;
  readonly sectorSize?: SectorSize;
}

/** Connects to the host, and closes the connection when the action ends. */
export async function withConnection(
  { demo, xenstore, sysfs }: HostValues,
  { isLive = false, sectorSize }: Use,
  act: (xen: Connection) => Promise<void> | void,
): Promise<void> {
  // loads the simulator only for --demo: other commands run without it
  const host =
    demo === true ? await (await import('./demo-host.js')).startDemoHost(isLive) : undefined;
  try {
    const timeoutMs = isLive ? LIVE_TIMEOUT_MS : undefined;
    const xen = connectOrSuggestDemo({
      xenstore,
      sysfs,
      ...host?.connectOptions,
      sectorSize,
      timeoutMs,
    });
    try {
      await act(xen);
    } finally {
      xen.close();
    }
  } finally {
    await host?.stop();
  }
}

/** Connects to the host. The error for an unreachable xenstored names `--demo`. */
function connectOrSuggestDemo(options: ConnectOptions): Connection {
  try {
    return connect(options);
  } catch (error) {
    // xenstored can also refuse a request after it has accepted the connection
    const isUnreachable = error instanceof XenError && error.syscall === 'connect';
    if (!isUnreachable) throw error;
    throw new Error(`${error.message}; to try the command without Xen: --demo`, { cause: error });
  }
}
