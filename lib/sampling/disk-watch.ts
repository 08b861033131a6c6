import { setTimeout as delay } from 'node:timers/promises';
import { callAfter } from '../deadline';
import { XenError } from '../errors';
import type { Host } from '../host';
import type { VbdSet } from '../native';
import { timeoutError } from '../xenstore/client';
import type { DiskInfo } from '../xenstore/disks';
import { WatchingClient } from '../xenstore/watching-client';
import { DiskScanner } from './disk-scanner';

/** The delay of a retry after a failed scan, in milliseconds. It doubles with each failure, up to the longest. */
const FIRST_RETRY_MS = 10;
const MAX_RETRY_MS = 1000;

/**
 * Tracks the disks that this domain serves. Scans all of them at its start, and afterwards the
 * domains of watch events. The requests run on a thread, so that the event loop never waits for xenstored.
 * Reconnects when the connection is lost, and scans everything again.
 */
export class DiskWatch {
  readonly #timeoutMs: number;
  readonly #client: WatchingClient;
  readonly #scanner: DiskScanner;
  readonly #onScan: (disks: DiskInfo[]) => void;
  readonly #onCurrent: (isCurrent: boolean) => void;
  #scanEverything = true;
  /** Whether everything is watched and has been scanned on the present connection, or is being scanned. */
  #state: 'stale' | 'scanning' | 'current' = 'stale';
  /** What the owner last knew of {@link DiskWatch.isCurrent}. */
  #wasCurrent = false;
  #isScanning = false;
  #retryMs = FIRST_RETRY_MS;
  #retry: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * @param vbds - takes the statistics of the disks that are found.
   * @param filter - returns whether a disk is wanted.
   * @param onScan - called after each scan with all disks, in the order of domid and devid. Must not throw.
   * @param onCurrent - called when {@link DiskWatch.isCurrent} has changed. Must not throw.
   */
  constructor(
    host: Host,
    vbds: VbdSet,
    filter: (disk: DiskInfo) => boolean,
    onScan: (disks: DiskInfo[]) => void,
    onCurrent: (isCurrent: boolean) => void,
  ) {
    this.#timeoutMs = host.timeoutMs;
    this.#onScan = onScan;
    this.#onCurrent = onCurrent;
    const ref = new WeakRef(this);
    this.#client = new WatchingClient(host, (changed, lost) => {
      const self = ref.deref();
      if (self !== undefined) self.#onEvents(changed, lost);
    });
    this.#scanner = new DiskScanner(host.ownDomid, this.#client, vbds, filter);
  }

  /**
   * Scans everything for the first time. Keeps the process alive meanwhile.
   *
   * @throws XenError if the scan fails or exceeds the connection's timeout; errors of the filter.
   */
  async start(): Promise<void> {
    const timeoutMs = this.#timeoutMs;
    let cancel: (() => void) | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      cancel = callAfter(timeoutMs, () => {
        reject(timeoutError(timeoutMs));
      });
    });
    this.#isScanning = true;
    try {
      await Promise.race([deadline, this.#scanFirst()]);
    } finally {
      cancel?.();
      this.#isScanning = false;
    }
    this.#client.checkOpen();
    const filterError = this.#scanner.takeFilterError();
    if (filterError !== undefined) throw filterError.error;
    this.#wasCurrent = this.isCurrent;
    this.#scanNext();
  }

  /** Whether everything is watched and has been scanned, and xenstored responds. */
  get isCurrent(): boolean {
    return this.#state === 'current' && !this.#client.isHung;
  }

  /** Scans these domains again. */
  scan(domids: Iterable<number>): void {
    for (const domid of domids) this.#scanner.changed.add(domid);
    this.#scanNext();
  }

  /** Sets whether the watch keeps the process alive. */
  keepAlive(alive: boolean): void {
    this.#client.keepAlive(alive);
  }

  close(): void {
    this.#isClosed = true;
    this.#client.close();
    clearTimeout(this.#retry);
  }

  #onEvents(changed: readonly string[], lost: boolean): void {
    for (const path of changed) if (!this.#scanner.addChanged(path)) this.#scanEverything = true;
    if (lost) this.#setStale();
    this.#reportCurrent();
    this.#scanNext();
  }

  #reportCurrent(): void {
    if (this.#isClosed || this.isCurrent === this.#wasCurrent) return;
    this.#wasCurrent = this.isCurrent;
    this.#onCurrent(this.#wasCurrent);
  }

  /** Requires a scan of everything, because watch events may have been missed. */
  #setStale(): void {
    this.#scanEverything = true;
    this.#state = 'stale';
  }

  /** Begins the next scan, unless one is running or a retry is scheduled. */
  #scanNext(): void {
    if (this.#isScanning || this.#retry !== undefined || this.#isClosed) return;
    if (this.#scanEverything) {
      void this.#run(() => this.#scanAll());
    } else if (this.#scanner.changed.size > 0) {
      void this.#run(() => this.#scanChanged());
    }
  }

  /** Runs a scan, and schedules a retry if it fails. */
  async #run(scan: () => Promise<void>): Promise<void> {
    this.#isScanning = true;
    let hasFailed = false;
    try {
      await scan();
    } catch (error) {
      if (!(error instanceof XenError)) throw error;
      hasFailed = true;
      this.#setStale();
    } finally {
      this.#isScanning = false;
    }
    if (this.#isClosed) return;
    this.#reportCurrent();
    const filterError = this.#scanner.takeFilterError();
    if (!hasFailed && filterError === undefined) this.#retryMs = FIRST_RETRY_MS;
    else this.#scheduleRetry();
    this.#scanNext();
    if (filterError !== undefined) throwUncaught(filterError.error);
  }

  #scheduleRetry(): void {
    const ref = new WeakRef(this);
    this.#retry = setTimeout(() => {
      const self = ref.deref();
      if (self === undefined) return;
      self.#retry = undefined;
      self.#scanNext();
    }, this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS);
  }

  async #scanAll(): Promise<void> {
    this.#scanEverything = false;
    if (this.#state === 'stale') this.#state = 'scanning';
    await this.#scanner.scanAll();
    this.#onScan(this.#scanner.disks);
    // stale again if the connection was lost meanwhile
    if (this.#state === 'scanning') this.#state = 'current';
  }

  async #scanChanged(): Promise<void> {
    await this.#scanner.scan([...this.#scanner.changed]);
    this.#onScan(this.#scanner.disks);
  }

  /**
   * Scans everything. Repeats that while xenstored does not respond ({@link DiskWatch.start} has a deadline), and
   * once after a lost connection.
   */
  async #scanFirst(): Promise<void> {
    for (let isRetry = false; ;) {
      try {
        await this.#scanAll();
        return;
      } catch (error) {
        const code = error instanceof XenError ? error.code : undefined;
        const isLost = code === 'ERR_XENSTORE_IO';
        if (code !== 'ERR_XENSTORE_TIMEOUT' && (!isLost || isRetry)) throw error;
        isRetry ||= isLost;
      }
      await delay(FIRST_RETRY_MS);
    }
  }
}

/** Throws an error of a listener or filter as an uncaught exception, as EventEmitter does in a callback. */
export function throwUncaught(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
