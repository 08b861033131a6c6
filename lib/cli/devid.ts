import type { Command } from 'commander';
import { parseDiskName } from '../disk-name';
import { toJson } from './json';

export function define(program: Command): void {
  program
    .command('devid')
    .description('print the numbers of disk names')
    .argument('<name...>', 'names such as xvda, sda1 or d536p37')
    .option('--json', 'print JSON')
    .action((names: string[], { json }: { json?: true }) => {
      const devids = names.map((name) => ({ name, devid: parseDiskName(name) }));
      const lines = devids.map((disk) => `${disk.name} ${disk.devid}\n`);
      process.stdout.write(json === true ? toJson(devids) : lines.join(''));
    });
}
