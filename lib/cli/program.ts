import { Command } from 'commander';
import { VERSION } from '../version';

/** The modules of the commands, in the order of the help. */
const MODULES: Record<string, string> = {
  list: './list',
  stat: './stat/stat',
  top: './top/top',
  devid: './devid',
  serve: './serve',
  demo: './demo',
  completion: './completion/completion',
};

/** A module of a command. */
interface CommandModule {
  /** Adds the command, with its arguments and options, to the program. */
  readonly define: (program: Command) => void;
}

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
  // the completion scripts have the words of all commands
  if (Object.hasOwn(MODULES, first) && first !== 'completion') {
    load(program, first);
  } else {
    for (const name of Object.keys(MODULES)) load(program, name);
    program.version(VERSION, '-V, --version').addHelpText('after', HELP);
    // without an argument, commander would print the help
    if (args.length === 0) program.action(() => program.error('error: no command given'));
  }
  for (const command of [program, ...program.commands]) {
    command.showHelpAfterError(`try: ${commandLine(command)} --help`);
  }
  return program;
}

/** Loads one command: the others would make it start more slowly. */
function load(program: Command, name: string): void {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- import() takes longer than the command
  const { define } = require(MODULES[name] ?? '') as CommandModule;
  define(program);
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
