/*
 * Measures the time of each call, and its ratio to the floor. Each round measures every row once, right
 * after its floor, in slices of some hundredths of a second, so that other load on the machine affects
 * both. The figures are medians over the rounds. The counters are those of a network device, behind
 * symbolic links.
 */
import {
  closeSync,
  mkdtempSync,
  openSync,
  promises,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { connect, parseDiskName } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { RealXenstored } from '../test/support/real-xenstored';
import { drawChart, type Result } from './chart';
import { writeDocuments } from './documents';
import { DiscoveryHost } from './discovery';
import { startFloor } from './floor';
import { makeLinkedDisks, type LinkedDisk } from '../test/support/linked-disks';
import { execFileSync } from '../test/support/child-process';
import { Exporter } from '../test/support/exporter';
import { MAIN, ROOT } from '../test/support/paths';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 25);

const OPEN_FILES = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));

/** The disks of a large host; fewer if the limit of open files is too low to hold all their files open. */
const MANY = Math.min(10_000, Math.floor((OPEN_FILES - 2000) / 700) * 100);

/** The number of disks of the exporter, at least: beyond its descriptor budget it opens files at each read. */
const SCRAPED = 5000;

/** The least duration of a measurement, in nanoseconds. */
const SLICE = 20e6;

/** A row of the table. */
interface Row {
  readonly name: string;
  /** The row that it is compared with. */
  readonly floor: Row | undefined;
  /** Measures once. Returns nanoseconds for one disk. */
  readonly once: () => Promise<number> | number;
}

const directory = mkdtempSync(join(tmpdir(), 'xen-bench-'));
const sysfs = join(directory, 'sys');
const devices = join(sysfs, 'bus/xen-backend/devices');
const floorProgram = join(directory, 'floor');
const floorLibrary = join(directory, 'floor.so');
const libvirtWay = join(directory, 'libvirt_way');
const discoveryProgram = join(directory, 'discovery');

function build(): void {
  const source = (name: string) => join(ROOT, 'bench', name);
  execFileSync('gcc', ['-O2', '-o', floorProgram, source('floor.c'), '-lpthread']);
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', floorLibrary, source('floor.c')]);
  execFileSync('gcc', ['-O2', '-o', libvirtWay, source('libvirt_way.c'), '-lxenstore']);
  execFileSync('gcc', ['-O2', '-o', discoveryProgram, source('discovery.c'), '-lxenstore']);
}

function run(program: string, args: (string | number)[], env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(program, args.map(String), {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    cwd: ROOT,
  });
}

/** Returns the nanoseconds of a call, in a loop as long as a slice. Shorter loops before it warm up. */
function timed(call: () => unknown): number {
  for (let calls = 1; ; calls *= 2) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    const elapsed = Number(process.hrtime.bigint() - start);
    if (elapsed > SLICE) return elapsed / calls;
  }
}

/** Returns the nanoseconds of one call, for calls that take milliseconds. */
function timedOnce(call: () => unknown): number {
  const start = process.hrtime.bigint();
  call();
  return Number(process.hrtime.bigint() - start);
}

async function main(): Promise<void> {
  build();
  const disks = makeLinkedDisks(sysfs, Math.max(MANY, SCRAPED));
  const [first] = disks as [LinkedDisk];
  const { name, statistics, files, backend } = first;
  const xenstored = new RealXenstored();
  await xenstored.start();
  await xenstored.write([['/local/domain/1/name', 'web1'], ...first.nodes]);
  const options = { xenstore: xenstored.socket, sysfs };
  const xen = connect(options);
  const web = xen.domain('web1');
  const disk = web.disk(name);
  const row = new Float64Array(9);

  const descriptors = files.map((path) => openSync(path, 'r'));
  const buffer = Buffer.alloc(32);
  const library = koffi.load(floorLibrary);
  const floorOpen = library.func('int floor_open(const char *devices, int disks)');
  const floorRead = library.func('int floor_read(int disk, int count, uint64_t *values)');
  const koffiValues = new BigUint64Array(7);
  floorOpen(devices, 1);

  // a set requests nodes only when it is created, so the simulated xenstored is fast enough for many disks
  const host = await SimulatedHost.start();
  await host.write('/local/domain/1/name', 'web1');
  for (const [path, value] of disks.flatMap(({ nodes }) => nodes)) await host.write(path, value);
  const many = connect({ xenstore: host.connectOptions.xenstore, sysfs, timeoutMs: 60_000 });
  const upTo = (count: number, maxOpenFiles?: number) => {
    const last = parseDiskName(disks[count - 1]?.name ?? '');
    return many.diskSet({ filter: ({ devid }) => devid <= last, maxOpenFiles });
  };
  const exporter = await Exporter.start({ xenstore: host.connectOptions.xenstore, sysfs });

  const floor = startFloor(floorProgram, devices, MANY);
  const floorOf = (counters: 5 | 6 | 7, count: number): Row => ({
    name:
      count === 1
        ? `the floor: a C program, ${counters} counters`
        : `the floor, a disk of ${count}`,
    floor: undefined,
    once: () => floor.measure(count, counters),
  });
  const [floor7, floor6, floor5] = [floorOf(7, 1), floorOf(6, 1), floorOf(5, 1)];
  const [floor16, floor100, floorMany] = [floorOf(7, 16), floorOf(7, 100), floorOf(7, MANY)];
  const setRow = async (name: string, floorRow: Row, count: number, maxOpenFiles?: number) => {
    const set = await upTo(count, maxOpenFiles);
    if (set.disks.length !== count) {
      throw new Error(`${set.disks.length} disks instead of ${count}`);
    }
    return { name, floor: floorRow, once: () => timed(() => set.sample()) / count };
  };
  const listed = await DiscoveryHost.start(discoveryProgram, directory, 500);
  const watched = await DiscoveryHost.start(discoveryProgram, directory, 1000);
  const discoveryFloor = (it: DiscoveryHost, what: 'disks' | 'set'): Row => ({
    name: `libxenstore in C: the nodes of ${what === 'set' ? 'a set' : 'all disks'}, a disk of ${it.disks}`,
    floor: undefined,
    once: () => it.floor(what),
  });
  const [listedFloor, watchedFloor] = [
    discoveryFloor(listed, 'disks'),
    discoveryFloor(watched, 'set'),
  ];
  const inNewProcess = (program: string) => () =>
    Number(
      run(process.execPath, [
        '-e',
        `const start = process.hrtime.bigint(); ${program}; console.log(Number(process.hrtime.bigint() - start))`,
      ]),
    );

  const nodeFloor: Row = {
    name: 'a process each time: node -e 0',
    floor: undefined,
    once: () => timedOnce(() => run(process.execPath, ['-e', '0'])),
  };

  const rows: Row[] = [
    floor7,
    floor6,
    floor5,
    {
      name: 'disk.readInto(array)',
      floor: floor7,
      once: () =>
        timed(() => {
          disk.readInto(row);
        }),
    },
    { name: 'disk.read()', floor: floor7, once: () => timed(() => disk.read()) },
    {
      name: 'disk.read({ bigint: true })',
      floor: floor7,
      once: () => timed(() => disk.read({ bigint: true })),
    },
    {
      name: `domain.blockStats('${name}')`,
      floor: floor5,
      once: () => timed(() => web.blockStats(name)),
    },
    {
      name: `domain.blockStatsFlags('${name}')`,
      floor: floor6,
      once: () => timed(() => web.blockStatsFlags(name)),
    },
    floor16,
    await setRow('set.sample(), a disk of 16', floor16, 16),
    floor100,
    await setRow('set.sample(), a disk of 100', floor100, 100),
    floorMany,
    await setRow(`set.sample(), a disk of ${MANY}`, floorMany, MANY, OPEN_FILES),
    await setRow('set.sample(), beyond its budget', floor100, 100, 0),
    {
      name: `a scrape of serve, a disk of ${disks.length}`,
      floor: floorMany,
      once: async () => {
        const start = process.hrtime.bigint();
        await exporter.metrics();
        return Number(process.hrtime.bigint() - start) / disks.length;
      },
    },
    listedFloor,
    {
      name: `connect(), domains() and disks(), a disk of ${listed.disks}`,
      floor: listedFloor,
      once: () => listed.describeDisks(),
    },
    watchedFloor,
    {
      name: `connect() and diskSet(), a disk of ${watched.disks}`,
      floor: watchedFloor,
      once: () => watched.makeSet(),
    },
    {
      name: 'koffi, calling the floor',
      floor: floor7,
      once: () => timed(() => floorRead(0, 7, koffiValues) as number),
    },
    {
      name: 'fs.readSync, held descriptors',
      floor: floor7,
      once: () =>
        timed(() =>
          descriptors.map((descriptor) =>
            Number(buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, 32, 0))),
          ),
        ),
    },
    {
      name: 'fs.readFileSync of each file',
      floor: floor7,
      once: () => timed(() => files.map((path) => Number(readFileSync(path, 'utf8')))),
    },
    {
      name: 'fs.promises.readFile of each file',
      floor: floor7,
      once: async () => {
        const start = process.hrtime.bigint();
        for (let i = 0; i < 20; i++) {
          (await Promise.all(files.map((path) => promises.readFile(path, 'utf8')))).map(Number);
        }
        return Number(process.hrtime.bigint() - start) / 20;
      },
    },
    {
      name: 'libvirt’s way, in C',
      floor: floor7,
      once: () =>
        Number(
          run(libvirtWay, [statistics, 1, parseDiskName(name), 500], {
            XENSTORED_PATH: xenstored.socket,
          }),
        ),
    },
    {
      name: 'a process each time: xenstore-read and cat',
      floor: floor7,
      once: () =>
        timedOnce(() => {
          const env = { XENSTORED_PATH: xenstored.socket };
          run('xenstore-read', [`${backend}/physical-sector-size`], env);
          run('cat', [...files]);
        }),
    },
    {
      name: 'domain.disk() of a disk that is not open',
      floor: floor7,
      once: () => {
        const connection = connect(options);
        const domain = connection.domain('web1');
        const nanoseconds = timedOnce(() => domain.disk(name));
        connection.close();
        return nanoseconds;
      },
    },
    {
      name: 'connect() to the first number',
      floor: floor7,
      once: () =>
        timedOnce(() => {
          const connection = connect(options);
          connection.domain('web1').blockStats(name);
          connection.close();
        }),
    },
    {
      name: "require('xen-block-stats')",
      floor: floor7,
      once: inNewProcess("require('xen-block-stats')"),
    },
    nodeFloor,
    {
      name: 'a process each time: xen-block-stats stat',
      floor: nodeFloor,
      once: () =>
        timedOnce(() => {
          const env = { XENSTORED_PATH: xenstored.socket, SYSFS_PATH: sysfs };
          run(process.execPath, [MAIN, 'stat', 'web1', name], env);
        }),
    },
  ];

  const measured = rows.map((it) => ({ row: it, times: [] as number[], ratios: [] as number[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { row: it, times, ratios } of measured) {
      const floorTime = await it.floor?.once();
      const time = await it.once();
      times.push(time);
      ratios.push(time / (floorTime ?? time));
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;
  const results: Result[] = measured.map(({ row: { name }, times, ratios }) => ({
    name,
    nanoseconds: Math.round(median(times)),
    ratio: Number(median(ratios).toFixed(3)),
  }));

  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}, Node.js ${process.versions.node}`;
  const widest = Math.max(...results.map(({ name }) => name.length));
  console.log(`${machine}; medians of ${ROUNDS} rounds\n`);
  console.log(`${'one disk'.padEnd(widest)}  microseconds  x floor`);
  for (const { name, nanoseconds: ns, ratio } of results) {
    console.log(
      `${name.padEnd(widest)}  ${(ns / 1000).toFixed(2).padStart(12)}  ${ratio.toFixed(2).padStart(7)}`,
    );
  }
  console.log(
    `\nthe event loop's longest block while a set of ${watched.disks} disks was made: ${median(watched.blocksMs).toFixed(1)} ms, in the worst round ${Math.max(...watched.blocksMs).toFixed(1)} ms`,
  );
  writeFileSync(
    join(ROOT, 'bench', 'results.json'),
    `${JSON.stringify({ machine, rounds: ROUNDS, results }, null, 2)}\n`,
  );
  writeFileSync(join(ROOT, 'bench', 'latency.svg'), drawChart(results, machine));
  writeDocuments(ROOT);

  await floor.stop();
  await listed.stop();
  await watched.stop();
  await exporter.stop();
  xen.close();
  many.close();
  await host.stop();
  for (const descriptor of descriptors) closeSync(descriptor);
  await xenstored.stop();
  rmSync(directory, { recursive: true });
}

void main();
