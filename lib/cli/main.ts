#!/usr/bin/env node
import { CommanderError } from 'commander';
import { createProgram } from './program';
import { printError } from './print-error';

// ends at the first write that fails; quietly, with the status so far, if the reader of the pipe has ended
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') printError(`cannot write to stdout: ${error.code ?? error.message}`);
  process.exit();
});
// the exit status does not depend on whether the messages can be printed
process.stderr.on('error', () => undefined);
// prints warnings in the form of the errors, not in that of Node.js
process.removeAllListeners('warning');
process.on('warning', ({ message }) => {
  // the warning about libvirt's bytes names an option of stat
  process.stderr.write(
    `xen-block-stats: ${message.replace('sector size 512', '--sector-size 512')}\n`,
  );
});

createProgram(process.argv.slice(2))
  .parseAsync()
  .catch((error: unknown) => {
    // commander has printed the help, the version or the error
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else printError((error as Error).message);
  });
