/** Prints an error in one line. The exit status becomes 1, unless it has another value than 0 already. */
export function printError(message: string): void {
  process.stderr.write(`xen-block-stats: ${message}\n`);
  process.exitCode ||= 1;
}
