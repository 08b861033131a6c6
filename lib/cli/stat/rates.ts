import type { Connection, Domain } from '../..';
import { diskFilter } from '../domain';
import { toUnit, type UnitValues } from '../rates/options';
import {
  kindsFor,
  printSamples,
  withDiskSet,
  type Printing,
  type Schedule,
} from '../rates/sampling';

/** Prints the rates of a disk, or of all disks of a domain, until a signal or the count ends it. */
export async function printRates(
  xen: Connection,
  domain: Domain,
  path: string,
  schedule: Schedule,
  values: UnitValues & { readonly json?: true },
): Promise<void> {
  const filter = diskFilter(domain, path);
  const printing: Printing = {
    format: values.json === true ? 'json' : 'text',
    selection: { by: 'disk', sort: 'disk', isReversed: false, filter: '' },
    unit: toUnit(values),
  };
  const options = { filter, kinds: kindsFor({}), backing: true };
  await withDiskSet(xen, options, (set, end) => printSamples(set, schedule, printing, end));
}
