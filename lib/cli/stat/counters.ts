import type { Domain, SkippedDisk } from '../..';
import { toJson } from '../json';

/**
 * The lines of `virsh domblkstat`, in its order: the field of the typed parameter, virsh's name, virsh's
 * sentence with `--human`, and the name of the counter in the interface.
 */
const LINES = [
  ['rd_operations', 'rd_req', 'number of read operations:', 'rdReq'],
  ['rd_bytes', 'rd_bytes', 'number of bytes read:', 'rdBytes'],
  ['wr_operations', 'wr_req', 'number of write operations:', 'wrReq'],
  ['wr_bytes', 'wr_bytes', 'number of bytes written:', 'wrBytes'],
  ['errs', 'errs', 'error count:', 'ooReq'],
  ['flush_operations', 'flush_operations', 'number of flush operations:', 'flushReq'],
] as const;

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

/** Reads the counters that `virsh domblkstat` prints. */
export function readCounters(domain: Domain, path: string, partial: boolean): Counters {
  const { params, skipped } = domain.blockStatsFlags(path, { bigint: true, partial });
  const lines = LINES.flatMap(([field, name, sentence, key]) => {
    const value = params.find((param) => param.field === field)?.value;
    return value === undefined ? [] : [{ name, sentence, key, value }];
  });
  const disk = path === '' ? undefined : domain.disk(path).name;
  return { domid: domain.domid, domain: domain.name, disk, path, lines, skipped };
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
