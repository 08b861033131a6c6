/*
 * Measures the time of each call, and prints it beside its floor. Each round measures every row once, right
 * after its floor, in slices of some hundredths of a second, so that other load on the machine affects
 * both. The figures are medians over the rounds. The counters are those of a network device, behind
 * symbolic links. --write writes the figures into bench/ and the documents.
 */
import { mkdtempSync, openSync, promises, readFileSync, readSync, rmSync } from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import koffi from 'koffi';
import { onExit } from 'signal-exit';
import { DISK_COLUMNS, connect, parseDiskName, type DiskSet } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { RealXenstored } from '../test/support/real-xenstored';
import { backingRows, qemuRows, tapdiskRows } from './backends';
import { figures, percentiles, recorders, write, type Results } from './documents';
import { DiscoveryHost } from './discovery';
import { Floor } from './floor';
import { CALLS, latenciesOf, measureCalls } from './latency';
import { timed, timedAsync, timedOnce, type Row } from './measure';
import { measureRecorder } from './recorder';
import { makeLinkedDisks, type LinkedDisk } from '../test/support/linked-disks';
import { execFileSync } from '../test/support/child-process';
import { Exporter } from '../test/support/exporter';
import { MAIN, ROOT } from '../test/support/paths';

const { values: options } = parseArgs({ options: { write: { type: 'boolean' } } });

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 25);

/** Each round with a recorder takes six seconds. */
const RECORDER_ROUNDS = Math.min(ROUNDS, 5);

const OPEN_FILES = Number(execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }));

/** The disks of a large host; fewer if the limit of open files is too low to hold all their files open. */
const MANY = Math.min(10_000, Math.floor((OPEN_FILES - 3500) / 700) * 100);

/** The number of disks of the exporter, at least: beyond its descriptor budget it opens files at each read. */
const SCRAPED = 5000;

// all files are here, and are removed however the process ends; its children end with it
const directory = mkdtempSync(join(tmpdir(), 'xen-bench-'));
process.env['TMPDIR'] = directory;
// those of tapdisk are in a tmpfs, as on a real host
const shm = mkdtempSync('/dev/shm/xen-bench-');
onExit(() => {
  for (const it of [directory, shm]) rmSync(it, { recursive: true, force: true });
});

const sysfs = join(directory, 'sys');
const devices = join(sysfs, 'bus/xen-backend/devices');
const floorProgram = join(directory, 'floor');
const floorLibrary = join(directory, 'floor.so');
const libvirtWay = join(directory, 'libvirt_way');
const discoveryProgram = join(directory, 'discovery');
const tapdiskProgram = join(directory, 'tapdisk');

function build(): void {
  const source = (name: string) => join(ROOT, 'bench', name);
  const floor = ['floor.c', 'floor_tapdisk.c', 'floor_qemu.c'].map(source);
  execFileSync('gcc', ['-O2', '-o', floorProgram, ...floor, '-lpthread']);
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', floorLibrary, ...floor]);
  execFileSync('gcc', ['-O2', '-o', libvirtWay, source('libvirt_way.c'), '-lxenstore']);
  execFileSync('gcc', ['-O2', '-o', discoveryProgram, source('discovery.c'), '-lxenstore']);
  const tapdisk = join(ROOT, 'test/support/tapdisk.c');
  execFileSync('gcc', ['-O1', '-o', tapdiskProgram, tapdisk]);
}

function run(program: string, args: (string | number)[], env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(program, args.map(String), {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    cwd: ROOT,
  });
}

async function main(): Promise<void> {
  build();
  const disks = makeLinkedDisks(sysfs, Math.max(MANY, SCRAPED));
  const [first] = disks as [LinkedDisk];
  const { name, statistics, files, backend } = first;
  const xenstored = new RealXenstored();
  await xenstored.start();
  await xenstored.write([['/local/domain/1/name', 'web1'], ...first.nodes]);
  const connectOptions = { xenstore: xenstored.socket, sysfs };
  const xen = connect(connectOptions);
  const web = xen.domain('web1');
  const disk = web.disk(name);
  const row = new Float64Array(12);

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
  const manyOptions = { xenstore: host.connectOptions.xenstore, sysfs, timeoutMs: 60_000 };
  const connectMany = (maxOpenFiles: number) => connect({ ...manyOptions, maxOpenFiles });
  const exporter = await Exporter.start({ xenstore: host.connectOptions.xenstore, sysfs });

  const floor = new Floor(floorProgram, 'blkback', devices, MANY);
  const floorOf = (counters: number, count: number) => () => floor.mean(count, counters);
  const [floor7, floor6, floor5] = [floorOf(7, 1), floorOf(6, 1), floorOf(5, 1)];
  const [floor16, floor100, floorMany] = [floorOf(7, 16), floorOf(7, 100), floorOf(7, MANY)];
  /** Returns the filter of the first disks. */
  const firstOf = (count: number) => {
    const last = parseDiskName(disks[count - 1]?.name ?? '');
    return ({ devid }: { readonly devid: number }) => devid <= last;
  };
  const setOf = async (count: number, counters = DISK_COLUMNS, maxOpenFiles = OPEN_FILES) => {
    const set = await connectMany(maxOpenFiles).diskSet({ filter: firstOf(count), counters });
    if (set.disks.length !== count) {
      throw new Error(`${set.disks.length} disks instead of ${count}`);
    }
    return set;
  };
  const sampler = (set: DiskSet) => () => set.sample();
  const sample16 = sampler(await setOf(16));
  const sample100 = sampler(await setOf(100));
  const sampleFour = sampler(await setOf(100, ['rdReq', 'rdBytes', 'wrReq', 'wrBytes']));
  const sampleMany = sampler(await setOf(MANY));
  const sampleBeyond = sampler(await setOf(100, DISK_COLUMNS, 0));
  const recorded = await setOf(50);
  const ofTapdisk = await tapdiskRows(floorProgram, tapdiskProgram, shm);
  const ofQemu = await qemuRows(floorProgram);
  const ofBacking = await backingRows(floorProgram, {
    connectOptions: { ...manyOptions, maxOpenFiles: OPEN_FILES },
    ...{ sysfs, devices, filter: firstOf(100) },
    statistics: disks.slice(0, 100).map((it) => it.statistics),
  });
  const omissions = [ofQemu, ofBacking].flatMap(({ omission }) => omission ?? []);
  for (const omission of omissions) console.error(omission);
  const listed = await DiscoveryHost.start(discoveryProgram, directory, 500);
  const watched = await DiscoveryHost.start(discoveryProgram, directory, 1000);
  const inNewProcess = (program: string) => () =>
    Number(
      run(process.execPath, [
        '-e',
        `const start = process.hrtime.bigint(); ${program}; console.log(Number(process.hrtime.bigint() - start))`,
      ]),
    );

  const readInto = () => {
    disk.readInto(row);
  };
  const read = () => disk.read();
  const blockStats = () => web.blockStats(name);
  const blockStatsAll = () => web.blockStats('');
  const lookUp = () => xen.domain('web1');
  /** Measures single calls, each beside its floor, and the timer alone. */
  const distributions = async () => {
    const calls = [
      ['disk.readInto(array)', readInto, 1, 7],
      ['disk.read()', read, 1, 7],
      [`domain.blockStats('${name}')`, blockStats, 1, 5],
      ['set.sample(), 100 disks', sample100, 100, 7],
    ] as const;
    timed(lookUp);
    const latencies = [
      latenciesOf('nothing: the timer', await measureCalls(() => undefined)),
      // makes no system call, so its floor is the timer
      latenciesOf("connection.domain('web1'), repeated", await measureCalls(lookUp)),
    ];
    for (const [title, call, count, counters] of calls) {
      timed(call);
      latencies.push(latenciesOf(title, await measureCalls(call)));
      latencies.push(latenciesOf('its floor, in C', await floor.calls(count, counters, CALLS)));
    }
    return latencies;
  };
  const rows: Row[] = [
    { name: 'disk.readInto(array)', floor: floor7, once: () => timed(readInto) },
    { name: 'disk.read()', floor: floor7, once: () => timed(read) },
    {
      name: 'disk.read({ bigint: true })',
      floor: floor7,
      once: () => timed(() => disk.read({ bigint: true })),
    },
    { name: `domain.blockStats('${name}')`, floor: floor5, once: () => timed(blockStats) },
    {
      name: `domain.blockStatsFlags('${name}')`,
      floor: floor6,
      once: () => timed(() => web.blockStatsFlags(name)),
    },
    { name: "domain.blockStats(''), one disk", floor: floor5, once: () => timed(blockStatsAll) },
    { name: 'set.sample(), 16 disks', floor: floor16, once: () => timed(sample16) / 16 },
    { name: 'set.sample(), 100 disks', floor: floor100, once: () => timed(sample100) / 100 },
    { name: `set.sample(), ${MANY} disks`, floor: floorMany, once: () => timed(sampleMany) / MANY },
    {
      name: 'set.sample() of four counters, 100 disks',
      floor: floorOf(4, 100),
      once: () => timed(sampleFour) / 100,
    },
    {
      name: 'set.sample(), 100 disks beyond its budget',
      floor: floor100,
      once: () => timed(sampleBeyond) / 100,
    },
    ...ofBacking.rows,
    ...ofTapdisk,
    ...ofQemu.rows,
    {
      name: `a scrape of serve, ${disks.length} disks`,
      floor: floorMany,
      once: async () => {
        const start = process.hrtime.bigint();
        await exporter.metrics();
        return Number(process.hrtime.bigint() - start) / disks.length;
      },
    },
    {
      name: `connect(), domains() and disks(), ${listed.disks} disks`,
      floor: () => listed.floor('disks'),
      once: () => listed.describeDisks(),
    },
    {
      name: `connect() and diskSet(), ${watched.disks} disks`,
      floor: () => watched.floor('set'),
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
      once: () =>
        timedAsync(async () => {
          const texts = await Promise.all(files.map((path) => promises.readFile(path, 'utf8')));
          return texts.map(Number);
        }, 20),
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
        const connection = connect(connectOptions);
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
          const connection = connect(connectOptions);
          connection.domain('web1').blockStats(name);
          connection.close();
        }),
    },
    {
      name: "require('xen-block-stats')",
      floor: floor7,
      once: inNewProcess("require('xen-block-stats')"),
    },
    {
      name: 'xen-block-stats stat, beside node -e 0',
      floor: () => timedOnce(() => run(process.execPath, ['-e', '0'])),
      once: () =>
        timedOnce(() => {
          const env = { XENSTORED_PATH: xenstored.socket, SYSFS_PATH: sysfs };
          run(process.execPath, [MAIN, 'stat', 'web1', name], env);
        }),
    },
  ];

  const measured = rows.map((it) => ({ ...it, times: [] as number[], floors: [] as number[] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { floor, once, times, floors } of measured) {
      floors.push(await floor());
      times.push(await once());
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;
  const results: Results = {
    machine: `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}, Node.js ${process.versions.node}`,
    rounds: ROUNDS,
    results: measured.map(({ name, times, floors }) => ({
      name,
      nanoseconds: Math.round(median(times)),
      floor: Math.round(median(floors)),
    })),
    latencies: await distributions(),
    recorder: await measureRecorder(recorded, floor, 1, RECORDER_ROUNDS),
  };
  const block = `${median(watched.blocksMs).toFixed(1)} ms, in the worst round ${Math.max(...watched.blocksMs).toFixed(1)} ms`;
  console.log(`${figures(results)}\n\n${percentiles(results)}\n\n${recorders(results)}\n
${omissions.map((it) => `${it}\n`).join('')}the event loop's longest block while a set of ${watched.disks} disks was made: ${block}`);
  if (options.write === true) write(ROOT, results);
  process.exit();
}

void main();
