import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { connect, parseDiskName, type ConnectOptions, type DiskSet } from 'xen-block-stats';
import { diskName } from '../lib/disk-name';
import {
  connectedNodes,
  diskNodes,
  guestNodes,
  placeDisk,
  type DiskSpec,
  type Node,
} from '../lib/simulator/toolstack';
import { isGranted } from '../test/support/needs';
import { Qemu } from '../test/support/qemu';
import { RealXenstored } from '../test/support/real-xenstored';
import { Tapdisk } from '../test/support/tapdisk';
import { Floor } from './floor';
import { timed, timedAsync, type Row } from './measure';

/*
 * The rows of disks of tapdisk and of QEMU, and of backing devices. Each backend has a real xenstored of its
 * own, so that the requests of other rows stay the same.
 */

/** The numbers of disks of a guest. Each disk of tapdisk has a process of its own. */
const TAPDISKS = 100;
const QEMU_DISKS = 26;

/** The reads and the queries of a measurement: some hundredths of a second. */
const READS = 10_000;
const QUERIES = 50;

const DOMID = 1;

/** Rows that only some machines can have. */
export interface OptionalRows {
  readonly rows: readonly Row[];
  /** A sentence that says why there are none, if so. */
  readonly omission?: string;
}

/** Returns the configuration of the disks xvda, xvdb and so on. */
function disksOf(count: number, kind: 'vbd3' | 'qdisk'): DiskSpec[] {
  return Array.from({ length: count }, (_, i) => {
    const name = diskName(i < 16 ? 51712 + 16 * i : 2 ** 28 + 256 * i);
    const format = kind === 'qdisk' ? 'qcow2' : 'vhd';
    return { name, kind, format, source: `/srv/${name}.${format}`, backendDomid: 0 };
  });
}

/**
 * Starts a xenstored with one guest. Returns the path of its socket.
 *
 * @param pids - the tapdisk of each disk.
 */
async function startXenstored(
  disks: readonly DiskSpec[],
  pids: readonly number[] = [],
): Promise<string> {
  const xenstored = new RealXenstored();
  await xenstored.start();
  const uuid = '00000000-0000-4000-8000-000000000001';
  await xenstored.write([
    ...guestNodes('xl', { domid: DOMID, name: 'web1', uuid }),
    ...disks.flatMap((disk) => [...diskNodes('xl', DOMID, disk), ...connectedNodes(DOMID, disk)]),
    ...pids.map((pid, i): Node => {
      const { backend } = placeDisk('xl', DOMID, disks[i] as DiskSpec);
      return [`${backend}/kthread-pid`, String(pid)];
    }),
  ]);
  return xenstored.socket;
}

/** Samples the set, and checks that it has read this number of disks. */
function checkSample(set: DiskSet, count: number): void {
  const read = [...set.sample()].filter(({ stats }) => stats !== undefined).length;
  if (read !== count) throw new Error(`${read} disks were read instead of ${count}`);
}

/**
 * Returns the rows of disks of tapdisk.
 *
 * @param program - the compiled test/support/tapdisk.c.
 * @param shm - the directory of the statistics.
 */
export async function tapdiskRows(
  floorProgram: string,
  program: string,
  shm: string,
): Promise<Row[]> {
  const disks = disksOf(TAPDISKS, 'vbd3');
  const devids = disks.map(({ name }) => parseDiskName(name));
  const tapdisks = await Promise.all(
    devids.map((devid) => Tapdisk.start(program, shm, DOMID, devid)),
  );
  const pids = tapdisks.map(({ pid }) => pid);
  const files = devids.map((devid, i) => join(shm, `td3-${pids[i]}/vbd-${DOMID}-${devid}`));
  const xen = connect({ xenstore: await startXenstored(disks, pids), shm });
  const disk = xen.domain('web1').disk('xvda');
  const set = await xen.diskSet();
  checkSample(set, TAPDISKS);
  const row = new Float64Array(12);
  const floor = new Floor(floorProgram, 'tapdisk', ...files);
  return [
    {
      name: 'disk.readInto(array), of tapdisk',
      floor: () => floor.mean(1, 0, READS),
      once: () =>
        timed(() => {
          disk.readInto(row);
        }),
    },
    {
      name: `set.sample(), ${TAPDISKS} disks of tapdisk`,
      floor: () => floor.mean(TAPDISKS, 0, READS),
      once: () => timed(() => set.sample()) / TAPDISKS,
    },
  ];
}

/** Starts a QEMU and its guest. Returns the connection and the floor, which query the same QEMU. */
async function startQemu(floorProgram: string, count: number) {
  const disks = disksOf(count, 'qdisk');
  const qemu = await Qemu.start(
    DOMID,
    disks.map(({ name }) => ({ name, format: 'qcow2' })),
  );
  const xenstore = await startXenstored(disks);
  const xen = connect({ xenstore, run: qemu.directory, timeoutMs: 10_000 });
  return { xen, floor: new Floor(floorProgram, 'qemu', qemu.socket) };
}

/** Returns the rows of disks of QEMU. */
export async function qemuRows(floorProgram: string): Promise<OptionalRows> {
  const programs = ['qemu-system-x86_64', 'qemu-img'] as const;
  const missing = programs.find((name) => !isGranted(name));
  if (missing !== undefined) {
    return { rows: [], omission: `There are no rows of QEMU: ${missing} is not installed.` };
  }
  const [one, many] = [
    await startQemu(floorProgram, 1),
    await startQemu(floorProgram, QEMU_DISKS),
  ] as const;
  const disk = one.xen.domain('web1').disk('xvda');
  const set = await many.xen.diskSet({ kinds: ['qdisk'] });
  checkSample(await set.sampleAsync(), QEMU_DISKS);
  const rows = [
    {
      name: 'await disk.readAsync(), of QEMU',
      floor: () => one.floor.mean(1, 0, QUERIES),
      once: () => timedAsync(() => disk.readAsync(), QUERIES),
    },
    {
      name: `await set.sampleAsync(), ${QEMU_DISKS} disks of QEMU`,
      floor: async () => (await many.floor.mean(1, 0, QUERIES)) / QEMU_DISKS,
      once: async () => (await timedAsync(() => set.sampleAsync(), QUERIES)) / QEMU_DISKS,
    },
  ];
  return { rows };
}

/** The major number of the backing devices that are made here. Linux has none of it. */
const MAJOR = 4095;

/**
 * Makes the backing devices of disks, whose statistics are those of a block device of this machine. Returns
 * their directory, or undefined if this machine has no block device.
 *
 * @param statistics - the directory with the counters of each disk.
 */
function linkBackingDevices(sysfs: string, statistics: readonly string[]): string | undefined {
  const [device] = readdirSync('/sys/dev/block').sort();
  if (device === undefined) return undefined;
  const block = join(sysfs, 'dev/block');
  for (const [i, directory] of statistics.entries()) {
    const number = `${MAJOR.toString(16)}:${i.toString(16)}`;
    writeFileSync(join(dirname(directory), 'physical_device'), `${number}\n`);
    mkdirSync(join(block, `${MAJOR}:${i}`), { recursive: true });
    symlinkSync(`/sys/dev/block/${device}/stat`, join(block, `${MAJOR}:${i}/stat`));
  }
  return block;
}

/**
 * Returns the row of a set with the option `backing`.
 *
 * @param options.statistics - the directory with the counters of each disk. The set has these disks.
 */
export async function backingRows(
  floorProgram: string,
  {
    connectOptions,
    sysfs,
    devices,
    statistics,
    filter,
  }: {
    readonly connectOptions: ConnectOptions;
    readonly sysfs: string;
    readonly devices: string;
    readonly statistics: readonly string[];
    readonly filter: (disk: { readonly devid: number }) => boolean;
  },
): Promise<OptionalRows> {
  const count = statistics.length;
  const block = linkBackingDevices(sysfs, statistics);
  if (block === undefined) {
    return { rows: [], omission: 'There is no row of backing devices: this machine has none.' };
  }
  const set = await connect(connectOptions).diskSet({ backing: true, filter });
  // a sample looks up the devices of a few disks only, and rates need two samples
  for (let i = 0; i < count; i++) checkSample(set, count);
  const found = set.rates().filter((rates) => rates?.backing !== undefined).length;
  if (found !== count) throw new Error(`${found} backing devices instead of ${count}`);
  const floor = new Floor(floorProgram, 'blkback', devices, count, block);
  const rows = [
    {
      name: `set.sample(), ${count} disks and their backing devices`,
      floor: () => floor.mean(count, 8),
      once: () => timed(() => set.sample()) / count,
    },
  ];
  return { rows };
}
