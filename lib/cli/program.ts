import { Command } from 'commander';
import { readVersion } from '../version';

/** A module of a command. */
interface CommandModule {
  /** Adds the command, with its arguments and options, to the program. */
  readonly define: (program: Command) => void;
}

/* eslint-disable @typescript-eslint/no-require-imports -- import() takes longer than the command */
/** Loads the module of each command, in the order of the help. */
const MODULES = new Map([
  ['list', () => require('./list') as CommandModule],
  ['stat', () => require('./stat/stat') as CommandModule],
  ['top', () => require('./top/top') as CommandModule],
  ['record', () => require('./record/record') as CommandModule],
  ['devid', () => require('./devid') as CommandModule],
  ['serve', () => require('./serve') as CommandModule],
  ['demo', () => require('./demo') as CommandModule],
  ['completion', () => require('./completion/completion') as CommandModule],
]);
/* eslint-enable @typescript-eslint/no-require-imports */

const HELP = `
A domain is given by its name, domid or UUID; a disk by its name (xvda), its
number (51712) or its source (/dev/vg/web1-root).
`;

/** Creates the program. It has the command that the arguments name; all commands if they name none. */
export function createProgram(args: readonly string[]): Command {
  const program = new Command('xen-block-stats')
    .description('Block statistics of the Xen guests on this host')
    // options after the name of a command are that command's
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ outputError: printError });
  const [first = ''] = args;
  const named = first === 'completion' ? undefined : MODULES.get(first);
  // a command is loaded without the others; the completion scripts have the words of all of them
  for (const load of named === undefined ? MODULES.values() : [named]) load().define(program);
  if (named === undefined) {
    program.version(readVersion(), '-V, --version').addHelpText('after', HELP);
    // without an argument, commander would print the help
    if (args.length === 0) program.action(() => program.error('error: no command given'));
  }
  for (const command of [program, ...program.commands]) {
    command.showHelpAfterError(`try: ${commandLine(command)} --help`);
  }
  return program;
}

/** Returns what a user types to run a command. */
function commandLine(command: Command): string {
  return command.parent === null
    ? command.name()
    : `${commandLine(command.parent)} ${command.name()}`;
}

/** Prints an error of commander in one line; commander prints its suggestions in a second one. */
function printError(text: string, write: (text: string) => void): void {
  const line = text
    .trimEnd()
    .replace(/^error: /, '')
    .replaceAll('\n', ' ');
  write(`xen-block-stats: ${line}\n`);
}
