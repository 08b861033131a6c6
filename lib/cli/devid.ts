import type { Command } from 'commander';
import { parseDiskName } from '../disk-name';
import { toJson } from './json';
import { printError } from './print-error';

export function define(program: Command): void {
  program
    .command('devid')
    .description('print the numbers of disk names')
    .argument('<name...>', 'names such as xvda, sda1 or d536p37')
    .option('--json', 'print JSON')
    .action((names: string[], { json }: { json?: true }) => {
      const disks = names.flatMap(parse);
      const lines = disks.map(({ name, devid }) => `${name} ${devid}\n`);
      process.stdout.write(json === true ? toJson(disks) : lines.join(''));
    });
}

/** Returns a disk name with its devid. Prints an error if the name is invalid, and returns nothing. */
function parse(name: string): { name: string; devid: number }[] {
  try {
    return [{ name, devid: parseDiskName(name) }];
  } catch (error) {
    printError((error as Error).message);
    return [];
  }
}
