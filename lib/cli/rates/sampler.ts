import type { DiskInfo, DiskRates, DiskSet } from '../..';
import { throughput, toFigures } from './figures';
import { HISTORY_LENGTH, type GuestRow, type History } from './rows';

/** A sample of a set's disks. It does not change with the set. */
export interface Sample {
  readonly time: Date;
  readonly rows: readonly GuestRow[];
  /** The disks that cannot be read. */
  readonly unsupported: readonly DiskInfo[];
}

/** Samples a set, and keeps the histories of its disks. */
export class Sampler {
  readonly #set: DiskSet;
  /** By the disk's backend. */
  readonly #histories = new Map<string, History>();
  /** The backends of the disks of earlier samples. */
  readonly #isKnown = new Set<string>();

  constructor(set: DiskSet) {
    this.#set = set;
    set.on('remove', ({ backend }) => {
      this.#histories.delete(backend);
      this.#isKnown.delete(backend);
    });
  }

  /** Samples the set. Waits half an interval for answers of QEMU: a later one is in the next sample. */
  async sample(intervalMs: number): Promise<Sample> {
    const { disks, errors, timestamp, timestamps } = await this.#set.sampleAsync({
      timeoutMs: intervalMs / 2,
    });
    const time = new Date();
    const rows = this.#set.rates().flatMap((rates, i) => {
      const disk = disks[i];
      if (disk === undefined) return [];
      const last = timestamps[i] ?? 0n;
      const isOld = rates === undefined && this.#isKnown.has(disk.backend) && last < timestamp;
      const age = `no answer for ${(Number(timestamp - last) / 1e9).toFixed(1)} s`;
      this.#isKnown.add(disk.backend);
      return [this.#row(disk, rates, errors.get(disk)?.message ?? (isOld ? age : undefined))];
    });
    return { time, rows, unsupported: this.#set.unsupported };
  }

  #row(disk: DiskInfo, rates: DiskRates | undefined, error: string | undefined): GuestRow {
    // the rates of an interval with a reset are unknown
    const figures = rates === undefined || rates.reset ? undefined : toFigures(rates);
    const past = this.#histories.get(disk.backend) ?? [];
    const history = [...past, figures && throughput(figures)].slice(-HISTORY_LENGTH);
    this.#histories.set(disk.backend, history);
    return {
      domid: disk.domid,
      domain: disk.domain ?? String(disk.domid),
      disk: disk.name,
      figures,
      history,
      note: error ?? (rates?.reset === true ? 'counters were reset' : ''),
    };
  }
}
