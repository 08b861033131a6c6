import type { DiskKind } from '../xenstore/backend-kinds';
import { CounterFiles } from './blkback';
import { BLKBACK_COUNTERS, TIMED_COUNTERS, type Counter, type DiskStatistics } from './counters';
import type { DiskOptions } from './options';
import { Qemu } from './qemu';
import { TapdiskFile } from './tapdisk';
import { placeDisk } from './toolstack';

/** The directories in which backends publish statistics. */
export interface BackendDirectories {
  /** The directory `bus/xen-backend` of sysfs, which has `devices`. */
  readonly bus: string;
  /** Stands for `/dev/shm`. */
  readonly shm: string;
  /** Stands for `/run/xen`. */
  readonly run: string;
}

/** The counters of the backends that have statistics. */
const COUNTERS_OF_KIND: Readonly<Partial<Record<DiskKind, readonly Counter[]>>> = {
  vbd: BLKBACK_COUNTERS,
  vbd3: TIMED_COUNTERS,
  qdisk: TIMED_COUNTERS,
};

/** Throws an error unless the backends of this kind have all of these counters. */
export function checkCountersOfKind(kind: DiskKind = 'vbd', counters: object = {}): void {
  for (const counter of Object.keys(counters)) {
    if (COUNTERS_OF_KIND[kind]?.includes(counter as Counter) === true) continue;
    throw new Error(`the backend ${kind} has no counter ${counter}`);
  }
}

/** The backends of the simulated host's own domain. */
export class Backends {
  readonly #directories: BackendDirectories;
  /** By domid. A domain has a QEMU from its first disk of QEMU on. */
  readonly #qemus = new Map<number, Qemu>();

  constructor(directories: BackendDirectories) {
    this.#directories = directories;
  }

  /** Starts to serve a disk, and returns its counters; undefined if its kind of backend has none. */
  attach(domid: number, disk: DiskOptions): DiskStatistics | undefined {
    const { bus, shm, run } = this.#directories;
    const { devid, kind } = placeDisk('xl', domid, disk);
    if (kind === 'vbd') return new CounterFiles(bus, `vbd-${domid}-${devid}`, disk.counters);
    if (kind === 'vbd3') return new TapdiskFile(shm, `${domid}-${devid}`, disk.counters);
    if (kind !== 'qdisk') return undefined;
    const qemu = this.#qemus.get(domid) ?? new Qemu(run, domid);
    this.#qemus.set(domid, qemu);
    return qemu.attach(disk, disk.counters);
  }

  /** Waits until the domain's QEMU, if it has one, accepts clients. */
  async untilReady(domid: number): Promise<void> {
    await this.#qemus.get(domid)?.listening;
  }

  /** Stops the domain's QEMU, if it has one. */
  async removeGuest(domid: number): Promise<void> {
    const qemu = this.#qemus.get(domid);
    this.#qemus.delete(domid);
    await qemu?.stop();
  }

  /** Lets the domain's QEMU hang until {@link releaseQemus}. */
  holdQemu(domid: number): void {
    const qemu = this.#qemus.get(domid);
    if (!qemu) throw new Error(`domain ${domid} has no QEMU: none of its disks is a qdisk`);
    qemu.hold();
  }

  releaseQemus(): void {
    for (const qemu of this.#qemus.values()) qemu.release();
  }
}
