import { Option, type Command } from 'commander';
import type { Connection } from '..';
import { findDomain } from './domain';
import { addHostOptions, withConnection, type HostValues } from './host-command';
import { toJson } from './json';

/**
 * The lines of `virsh domblkstat`, in its order: the field of the typed parameter, virsh's name, and
 * virsh's sentence with `--human`.
 */
const LINES = [
  { field: 'rd_operations', name: 'rd_req', sentence: 'number of read operations:' },
  { field: 'rd_bytes', name: 'rd_bytes', sentence: 'number of bytes read:' },
  { field: 'wr_operations', name: 'wr_req', sentence: 'number of write operations:' },
  { field: 'wr_bytes', name: 'wr_bytes', sentence: 'number of bytes written:' },
  { field: 'errs', name: 'errs', sentence: 'error count:' },
  { field: 'flush_operations', name: 'flush_operations', sentence: 'number of flush operations:' },
] as const;

/** The width of virsh's sentences, in columns. */
const SENTENCE_WIDTH = 31;

interface StatValues extends HostValues {
  readonly sectorSize: 'physical' | '512';
  readonly human?: true;
  readonly json?: true;
}

export function define(program: Command): void {
  const command = program
    .command('stat')
    .description("print a disk's counters, as virsh domblkstat does")
    .argument('<domain>')
    .argument('[disk]', 'without it, the sum over all disks of the domain is printed')
    .option('--human', 'print sentences, as virsh --human')
    .addOption(
      new Option('--sector-size <size>', "print libvirt's bytes (physical) or the true ones (512)")
        .choices(['physical', '512'])
        .default('physical'),
    )
    .option('--json', 'print JSON');
  addHostOptions(command).action(
    async (domain: string, disk: string | undefined, values: StatValues) => {
      const sectorSize = values.sectorSize === '512' ? 512 : 'physical';
      await withConnection(values, { sectorSize }, (xen) => {
        process.stdout.write(stat(xen, domain, disk, values));
      });
    },
  );
}

/** Returns the counters of a disk, or their sum over all disks. */
function stat(xen: Connection, domainText: string, disk = '', { human, json }: StatValues): string {
  const domain = findDomain(xen, domainText);
  const { params } = domain.blockStatsFlags(disk, { bigint: true });
  // virsh prints no line for a counter that the backend does not have
  const counted = LINES.flatMap(({ field, name, sentence }) => {
    const value = params.find((param) => param.field === field)?.value;
    return value === undefined ? [] : [{ name, sentence, value }];
  });
  if (json === true) {
    const { domid, name } = domain;
    const counters = Object.fromEntries(counted.map((line) => [line.name, line.value]));
    return toJson({ domid, domain: name, disk: disk === '' ? undefined : disk, ...counters });
  }
  if (human === true) {
    const lines = counted.map((line) => ` ${line.sentence.padEnd(SENTENCE_WIDTH)} ${line.value}\n`);
    return `Device: ${disk}\n${lines.join('')}`;
  }
  return counted.map((line) => `${disk} ${line.name} ${line.value}\n`).join('');
}
