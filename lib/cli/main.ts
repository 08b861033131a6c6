#!/usr/bin/env node
import { CommanderError } from 'commander';
import { createProgram } from './program';

// ends quietly when the reader of the pipe (head, less) has ended, with the status that the command has by then
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') fail(`cannot write to stdout: ${error.code ?? error.message}`);
  process.exit();
});
// keeps the exit status when messages cannot be printed
process.stderr.on('error', () => undefined);
// prints warnings in the form of the errors, not in that of Node.js
process.removeAllListeners('warning');
process.on('warning', ({ message }) => {
  process.stderr.write(`xen-block-stats: ${message}\n`);
});

/** Prints an error. The exit status becomes 1, unless the command has set another one already. */
function fail(message: string): void {
  process.stderr.write(`xen-block-stats: ${message}\n`);
  process.exitCode ??= 1;
}

createProgram(process.argv.slice(2))
  .parseAsync()
  .catch((error: unknown) => {
    // commander has printed the help, the version or the error
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else fail((error as Error).message);
  });
