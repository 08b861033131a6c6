import type { DiskStats, Domain, SkippedDisk } from '../..';
import { XenError } from '../../errors';
import { toJson } from '../json';

/**
 * The lines of `virsh domblkstat`, in its order: the name of the counter in the interface, virsh's name,
 * virsh's sentence with `--human`, and the field of the typed parameter, for a disk of blkback.
 */
const LINES = [
  ['rdReq', 'rd_req', 'number of read operations:', 'rd_operations'],
  ['rdBytes', 'rd_bytes', 'number of bytes read:', 'rd_bytes'],
  ['wrReq', 'wr_req', 'number of write operations:', 'wr_operations'],
  ['wrBytes', 'wr_bytes', 'number of bytes written:', 'wr_bytes'],
  // libvirt's errors of blkback; those of the other backends are true ones
  ['ooReq', 'errs', 'error count:', 'errs'],
  ['ioErrors', 'errs', 'error count:', undefined],
  ['flushReq', 'flush_operations', 'number of flush operations:', 'flush_operations'],
  ['rdTimeNs', 'rd_total_times', 'total duration of reads (ns):', undefined],
  ['wrTimeNs', 'wr_total_times', 'total duration of writes (ns):', undefined],
] as const;

type Key = (typeof LINES)[number][0];

/** Counters by their names in the interface; those that the backend does not have are missing. */
type Values = ReadonlyMap<Key, bigint>;

/** The width of virsh's sentences, in columns. */
const SENTENCE_WIDTH = 31;

/** The counters of a disk, or their sum over all disks of a domain. */
export interface Counters {
  readonly domid: number;
  readonly domain: string | undefined;
  /** The name of the disk; undefined for the sum. */
  readonly disk: string | undefined;
  /** The disk as it was given; '' for the sum. */
  readonly path: string;
  /** Without the counters that the backend does not have. */
  readonly lines: readonly { name: string; sentence: string; key: string; value: bigint }[];
  /** The disks that are not in the sum. */
  readonly skipped: readonly SkippedDisk[] | undefined;
}

/** Reads the counters that `virsh domblkstat` prints: of disks of blkback as it does, of others with their times. */
export async function readCounters(
  domain: Domain,
  path: string,
  partial: boolean,
): Promise<Counters> {
  const { domid, name } = domain;
  if (path !== '') {
    const disk = domain.disk(path);
    const values = disk.info.kind === 'vbd' ? ofBlkback(domain, path) : await ofOther(domain, path);
    return {
      domid,
      domain: name,
      disk: disk.name,
      path,
      lines: toLines(values),
      skipped: undefined,
    };
  }
  const { params, skipped = [] } = domain.blockStatsFlags('', { bigint: true, partial: true });
  const all = [toValues(params)];
  const rest: SkippedDisk[] = [];
  for (const it of skipped) {
    try {
      // libvirt does not read the disks of tapdisk and QEMU
      if (it.error.code !== 'ERR_XEN_UNSUPPORTED_DRIVER') throw it.error;
      // an empty drive has nothing to sum
      if (domain.disk(it.disk).info.source === undefined) continue;
      all.push(await ofOther(domain, it.disk));
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      rest.push({ disk: it.disk, error });
    }
  }
  const [first] = rest;
  if (first !== undefined && !partial) throw first.error;
  // without any disk of blkback, libvirt's sums are 0
  const isOther = all.length > 1 && skipped.length === domain.disks().length;
  const lines = toLines(sum(isOther ? all.slice(1) : all));
  return { domid, domain: name, disk: undefined, path, lines, skipped: partial ? rest : undefined };
}

function ofBlkback(domain: Domain, path: string): Values {
  return toValues(domain.blockStatsFlags(path, { bigint: true }).params);
}

async function ofOther(domain: Domain, path: string): Promise<Values> {
  const stats: DiskStats<bigint> = await domain.disk(path).readAsync({ bigint: true });
  return new Map(
    LINES.flatMap(([key]): [Key, bigint][] => (stats[key] < 0n ? [] : [[key, stats[key]]])),
  );
}

function toValues(params: readonly { field: string; value: bigint }[]): Values {
  return new Map(
    LINES.flatMap(([key, , , field]): [Key, bigint][] => {
      const value = params.find((param) => param.field === field)?.value;
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

function sum(all: readonly Values[]): Values {
  const total = new Map<Key, bigint>();
  for (const values of all) {
    for (const [key, value] of values) total.set(key, (total.get(key) ?? 0n) + value);
  }
  return total;
}

function toLines(values: Values): Counters['lines'] {
  return LINES.flatMap(([key, name, sentence]) => {
    const value = values.get(key);
    // both are errs; with disks of blkback it is libvirt's
    const isHidden = key === 'ioErrors' && values.has('ooReq');
    return value === undefined || isHidden ? [] : [{ name, sentence, key, value }];
  });
}

/** Formats counters as `virsh domblkstat` does. */
export function formatCounters({ path, lines }: Counters): string {
  return lines.map(({ name, value }) => `${path} ${name} ${value}\n`).join('');
}

/** Formats counters as `virsh domblkstat --human` does. */
export function formatSentences({ path, lines }: Counters): string {
  const sentences = lines.map(
    ({ sentence, value }) => ` ${sentence.padEnd(SENTENCE_WIDTH)} ${value}\n`,
  );
  return `Device: ${path}\n${sentences.join('')}`;
}

/** Formats counters as JSON, with the names of the interface. */
export function formatJson({ domid, domain, disk, lines, skipped }: Counters): string {
  return toJson({
    domid,
    domain,
    disk,
    ...Object.fromEntries(lines.map(({ key, value }) => [key, value])),
    skipped: skipped?.map((it) => ({
      disk: it.disk,
      code: it.error.code,
      message: it.error.message,
    })),
  });
}
