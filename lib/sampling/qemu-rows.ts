import { noNodeError } from '../backends/statistics-error';
import { XenError } from '../errors';
import type { DiskAnswer, Host } from '../host';
import { Column, ROW_LENGTH, monotonicTime } from '../native';
import type { DiskInfo } from '../xenstore/disks';

/** A disk of QEMU, and its row in the set. */
interface QemuRow {
  readonly disk: DiskInfo;
  readonly index: number;
  /** When the set got the disk. QEMU may have been asked about another one, or none, before. */
  readonly since: bigint;
  /** The times of the answers of the last two samples, in nanoseconds; 0 if there was none. */
  last: bigint;
  beforeLast: bigint;
}

/** The last answer of a domain's QEMU, and why it did not answer since then, if so. */
interface Asked {
  readonly answer?: DiskAnswer | undefined;
  readonly error?: XenError | undefined;
}

/**
 * The rows of a set's disks that QEMU serves. A sample has the numbers of the last answer, until that is too
 * old.
 */
export class QemuRows {
  readonly #host: Host;
  /** The columns that the set does not read. */
  readonly #others: readonly number[];
  readonly #maxAgeMs: number;
  #rows: readonly QemuRow[] = [];
  /** By {@link domainKey}: a domain with the domid of an ended one has another key. */
  #asked = new Map<string, Asked>();

  /**
   * @param columns - the columns that are read.
   * @param maxAgeMs - the age from which an answer is an error.
   */
  constructor(host: Host, columns: readonly (keyof typeof Column)[], maxAgeMs: number) {
    this.#host = host;
    this.#others = Object.entries(Column).flatMap(([name, column]) =>
      columns.includes(name as keyof typeof Column) ? [] : [column],
    );
    this.#maxAgeMs = maxAgeMs;
  }

  get length(): number {
    return this.#rows.length;
  }

  /** Replaces the disks of the set. */
  update(disks: readonly DiskInfo[]): void {
    const now = monotonicTime();
    const known = new Map(this.#rows.map((row) => [row.disk.backend, row]));
    this.#rows = disks.flatMap((disk, index) => {
      if (disk.kind !== 'qdisk') return [];
      const { since = now, last = 0n, beforeLast = 0n } = known.get(disk.backend) ?? {};
      return [{ disk, index, since, last, beforeLast }];
    });
    const keys = new Set(this.#rows.map(({ disk }) => domainKey(disk)));
    this.#asked = new Map([...this.#asked].filter(([key]) => keys.has(key)));
  }

  /** Asks the QEMU of every domain that has rows. Resolves when each one has answered, or has not in time. */
  async ask(): Promise<void> {
    const domains = new Map(this.#rows.map(({ disk }) => [domainKey(disk), disk.domid]));
    const queries = [...domains].map(async ([key, domid]) => {
      const { answer, error = pendingError(domid) } = this.#asked.get(key) ?? {};
      this.#asked.set(key, { answer, error });
      let asked: Asked;
      try {
        asked = { answer: await this.#host.qemu.query(domid) };
      } catch (error) {
        if (!(error instanceof XenError)) throw error;
        asked = { answer: this.#asked.get(key)?.answer, error };
      }
      // the domain may have lost its disks meanwhile
      if (this.#rows.some(({ disk }) => domainKey(disk) === key)) this.#asked.set(key, asked);
    });
    await Promise.all(queries);
  }

  /** Fills the rows from the last answers, or with -1. Returns the errors, by the disk's backend. */
  fill(values: Float64Array | BigInt64Array): ReadonlyMap<string, XenError> {
    const errors = new Map<string, XenError>();
    const now = monotonicTime();
    for (const row of this.#rows) {
      row.beforeLast = row.last;
      row.last = 0n;
      const offset = row.index * ROW_LENGTH;
      try {
        const answer = this.#answerFor(row, now);
        if (!answer.fill(row.disk, values, offset)) throw noNodeError(row.disk);
        for (const column of this.#others) fillUnknown(values, offset + column, 1);
        row.last = answer.timestamp;
      } catch (error) {
        if (!(error instanceof XenError)) throw error;
        fillUnknown(values, offset, ROW_LENGTH);
        errors.set(row.disk.backend, error);
      }
    }
    return errors;
  }

  /** Sets the times of the rows, in nanoseconds; 0 for a row without numbers. */
  setTimestamps(timestamps: BigInt64Array): void {
    for (const { index, last } of this.#rows) timestamps[index] = last;
  }

  /** Sets the time between the last two answers, in seconds; undefined if there was no new one. */
  setIntervals(intervals: (number | undefined)[]): void {
    for (const { index, last, beforeLast } of this.#rows) {
      const isNew = beforeLast > 0n && last > beforeLast;
      intervals[index] = isNew ? Number(last - beforeLast) / 1e9 : undefined;
    }
  }

  /** @throws XenError if there is no answer, or if it is too old. */
  #answerFor({ disk, since }: QemuRow, now: bigint): DiskAnswer {
    const { answer, error } = this.#asked.get(domainKey(disk)) ?? {};
    const isAbout = answer !== undefined && answer.askedAt > since;
    const ageMs = isAbout ? Number(now - answer.timestamp) / 1e6 : Infinity;
    if (isAbout && ageMs <= this.#maxAgeMs) return answer;
    throw error ?? staleError(disk, ageMs);
  }
}

function domainKey({ domid, uuid = '' }: DiskInfo): string {
  return `${domid}/${uuid}`;
}

function fillUnknown(values: Float64Array | BigInt64Array, offset: number, length: number): void {
  if (values instanceof BigInt64Array) values.fill(-1n, offset, offset + length);
  else values.fill(-1, offset, offset + length);
}

function pendingError(domid: number): XenError {
  const message = `QEMU of domain ${domid} has not answered yet`;
  return new XenError('ERR_XEN_STATS_UNAVAILABLE', message, { domid });
}

function staleError({ domid, name }: DiskInfo, ageMs: number): XenError {
  const why = Number.isFinite(ageMs)
    ? `was asked ${(ageMs / 1000).toFixed(1)} s ago`
    : 'was not asked';
  return new XenError(
    'ERR_XEN_STATS_UNAVAILABLE',
    `QEMU of domain ${domid} ${why}: call sampleAsync() (disk ${name})`,
    { domid, disk: name },
  );
}
