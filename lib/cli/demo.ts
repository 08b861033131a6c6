import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import type { Command } from 'commander';
import { printError } from './print-error';

/**
 * The signals that end a process unless it handles them. Node.js itself handles SIGPIPE and SIGPROF, and
 * signals of faults (SIGSEGV) cannot be handled.
 */
const END_SIGNALS = [
  ...(['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGABRT', 'SIGUSR1', 'SIGUSR2', 'SIGALRM'] as const),
  ...(['SIGTERM', 'SIGSTKFLT', 'SIGXCPU', 'SIGXFSZ', 'SIGVTALRM', 'SIGIO', 'SIGPWR'] as const),
];

/**
 * Second names of signals. signal-exit, which removes the files of the host, listens to each name, and ends
 * the process if nothing else listens to that name.
 */
const SECOND_NAMES = ['SIGIOT', 'SIGPOLL'] as const;

/** The commands that are shown if no command is given. */
const EXAMPLES = [
  'list',
  'stat web1 xvda',
  'stat db sda1 --human',
  'stat web1 xvdb --sector-size 512 --json',
  'devid xvda xvdaa sda1 d536p37',
  'top --batch --count 3',
];

const HELP = `
The command runs with the environment variables SYSFS_PATH, SHM_PATH,
XEN_RUN_PATH and XENSTORED_PATH of the host, which this package and libxenstore
read. Without a command, demo shows what the other commands print.
`;

export function define(program: Command): void {
  program
    .command('demo')
    .description('run a command on a simulated host, or show examples')
    .usage('[-- command...]')
    .argument('[command...]', 'such as: node app.js')
    .passThroughOptions()
    .addHelpText('after', HELP)
    .action(async (command: string[]) => {
      const { startDemoHost } = await import('./demo-host.js');
      const host = await startDemoHost(true);
      const { sysfs, shm, run: runDirectory, xenstore } = host.connectOptions;
      process.env['SYSFS_PATH'] = sysfs;
      process.env['SHM_PATH'] = shm;
      process.env['XEN_RUN_PATH'] = runDirectory;
      process.env['XENSTORED_PATH'] = xenstore;
      process.exitCode = await (command.length > 0 ? run(command) : showExamples());
      await host.stop();
    });
}

/** Runs the examples until one fails, and returns the status of the last one. */
async function showExamples(): Promise<number> {
  for (const example of EXAMPLES) {
    process.stdout.write(`$ xen-block-stats ${example}\n`);
    // a write that fails ends the process before the example starts
    await setImmediate();
    const status = await run([process.execPath, __filename, ...example.split(' ')]);
    if (status !== 0) return status;
    process.stdout.write('\n');
  }
  return 0;
}

/** Runs a command, passes signals on to it, and returns its exit status as a shell does. */
async function run([file = '', ...args]: string[]): Promise<number> {
  let child: ChildProcess | undefined;
  const pass = (signal: NodeJS.Signals) => {
    if (!isSentByTerminal(signal)) child?.kill(signal);
  };
  // before the command starts: a signal must not end this process alone
  const ignore = () => undefined;
  for (const signal of END_SIGNALS) process.on(signal, pass);
  for (const signal of SECOND_NAMES) process.on(signal, ignore);
  try {
    // throws some errors, and emits others
    child = spawn(file, args, { stdio: 'inherit' });
    const [status, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals];
    return status ?? 128 + constants.signals[signal];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isMissing = code === 'ENOENT' || file === '';
    printError(`cannot run ${file || "''"}: ${isMissing ? 'no such command' : code}`);
    return isMissing ? 127 : 126;
  } finally {
    for (const signal of END_SIGNALS) process.off(signal, pass);
    for (const signal of SECOND_NAMES) process.off(signal, ignore);
  }
}

/** Returns whether a signal comes from the keyboard: the terminal sends it to the child, too. */
function isSentByTerminal(signal: NodeJS.Signals): boolean {
  if (signal !== 'SIGINT' && signal !== 'SIGQUIT') return false;
  // proc(5): after the name in parentheses come the state, ppid, pgrp, session, tty_nr and tpgid
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , pgrp, , , tpgid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return pgrp === tpgid;
}
