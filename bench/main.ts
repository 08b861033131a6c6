/*
 * What one answer costs, as ratios to the floor of the same run. The rows take turns, round by round, so
 * that whatever else the machine does meets them all; each row is the median over the rounds. The
 * counters are the kernel's own: network devices' counters, behind links.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  promises,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { measure } from 'mitata';
import { connect } from 'xen-block-stats';
import { RealXenstored } from '../test/integration/hosts/real-xenstored';
import { drawChart, type Result } from './chart';

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 9);

const FILES = {
  rd_req: 'rx_packets',
  rd_sect: 'rx_bytes',
  wr_req: 'tx_packets',
  wr_sect: 'tx_bytes',
  f_req: 'rx_errors',
  ds_req: 'tx_errors',
  oo_req: 'rx_dropped',
};

/** A row of the table. */
interface Row {
  readonly name: string;
  /** How many counters the floor reads that it is held against. */
  readonly counters: 5 | 6 | 7;
  /** Nanoseconds for one answer, measured once. */
  readonly once: () => Promise<number> | number;
  readonly rounds?: number;
}

const root = join(__dirname, '..', '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'xen-bench-'));
const statistics = join(folder, 'sys/bus/xen-backend/devices/vbd-1-51712/statistics');
const floor = join(folder, 'floor');
const floorLibrary = join(folder, 'floor.so');
const libvirtWay = join(folder, 'libvirt_way');

function build(): void {
  const source = (name: string) => join(root, 'bench', name);
  execFileSync('gcc', ['-O2', '-o', floor, source('floor.c'), '-lpthread']);
  execFileSync('gcc', ['-O2', '-shared', '-fPIC', '-o', floorLibrary, source('floor.c')]);
  execFileSync('gcc', ['-O2', '-o', libvirtWay, source('libvirt_way.c'), '-lxenstore']);
}

function run(program: string, args: (string | number)[], env: NodeJS.ProcessEnv = {}): string {
  return execFileSync(program, args.map(String), {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    cwd: root,
  });
}

/** Nanoseconds of a call, as mitata measures it. */
async function timed(call: () => unknown, samples = 500): Promise<number> {
  const { avg } = await measure(call, { min_cpu_time: 40e6, min_samples: samples });
  return avg;
}

/** Nanoseconds of what takes milliseconds. */
function timedOnce(call: () => unknown): number {
  const start = process.hrtime.bigint();
  call();
  return Number(process.hrtime.bigint() - start);
}

async function main(): Promise<void> {
  build();
  mkdirSync(statistics, { recursive: true });
  for (const [file, counter] of Object.entries(FILES)) {
    symlinkSync(`/sys/class/net/lo/statistics/${counter}`, join(statistics, file));
  }
  const xenstored = new RealXenstored();
  await xenstored.start();
  const backend = '/local/domain/0/backend/vbd/1/51712';
  await xenstored.write([
    ['/local/domain/1/name', 'web1'],
    ['/local/domain/1/device/vbd/51712/backend', backend],
    [`${backend}/dev`, 'xvda'],
    [`${backend}/params`, '/dev/vg/web1'],
    [`${backend}/physical-sector-size`, '512'],
  ]);
  const options = { xenstore: xenstored.socket, sysfs: join(folder, 'sys') };
  const xen = connect(options);
  const web = xen.domain('web1');
  const disk = web.disk('xvda');
  const row = new Float64Array(9);

  const paths = Object.keys(FILES).map((file) => join(statistics, file));
  const descriptors = paths.map((path) => openSync(path, 'r'));
  const buffer = Buffer.alloc(32);
  const library = koffi.load(floorLibrary);
  const floorOpen = library.func('int floor_open(const char *folder)');
  const floorRead = library.func('int floor_read(int count, uint64_t *values)');
  const koffiValues = new BigUint64Array(7);
  floorOpen(statistics);

  const floorRow = (counters: 5 | 6 | 7): Row => ({
    name: `the floor: a C program, ${counters} counters`,
    counters,
    once: () => Number(run(floor, [statistics, counters, 20000])),
  });
  const inProcess = (program: string) => () =>
    Number(
      run(process.execPath, [
        '-e',
        `const start = process.hrtime.bigint(); ${program}; console.log(Number(process.hrtime.bigint() - start))`,
      ]),
    );

  const rows: Row[] = [
    floorRow(7),
    floorRow(6),
    floorRow(5),
    {
      name: 'disk.readInto(array)',
      counters: 7,
      once: () =>
        timed(() => {
          disk.readInto(row);
        }),
    },
    { name: 'disk.read()', counters: 7, once: () => timed(() => disk.read()) },
    {
      name: 'disk.read({ bigint: true })',
      counters: 7,
      once: () => timed(() => disk.read({ bigint: true })),
    },
    {
      name: "domain.blockStats('xvda')",
      counters: 5,
      once: () => timed(() => web.blockStats('xvda')),
    },
    {
      name: "domain.blockStatsFlags('xvda')",
      counters: 6,
      once: () => timed(() => web.blockStatsFlags('xvda')),
    },
    {
      name: 'koffi, calling the floor',
      counters: 7,
      once: () => timed(() => floorRead(7, koffiValues) as number),
    },
    {
      name: 'fs.readSync, held descriptors',
      counters: 7,
      once: () =>
        timed(() =>
          descriptors.map((descriptor) =>
            Number(buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, 32, 0))),
          ),
        ),
    },
    {
      name: 'fs.readFileSync of each file',
      counters: 7,
      once: () => timed(() => paths.map((path) => Number(readFileSync(path, 'utf8')))),
    },
    {
      name: 'fs.promises.readFile of each file',
      counters: 7,
      once: () =>
        timed(
          async () =>
            (await Promise.all(paths.map((path) => promises.readFile(path, 'utf8')))).map(Number),
          50,
        ),
    },
    {
      name: 'libvirt’s way, in C',
      counters: 7,
      once: () =>
        Number(run(libvirtWay, [statistics, 1, 51712, 500], { XENSTORED_PATH: xenstored.socket })),
    },
    {
      name: 'a process each time: xenstore-read and cat',
      counters: 7,
      once: () =>
        timedOnce(() => {
          const env = { XENSTORED_PATH: xenstored.socket };
          run('xenstore-read', [`${backend}/physical-sector-size`], env);
          run('cat', paths);
        }),
    },
    {
      name: 'domain.disk() of a disk that is not open',
      counters: 7,
      once: () => {
        const own = connect(options);
        const domain = own.domain('web1');
        const nanoseconds = timedOnce(() => domain.disk('xvda'));
        own.close();
        return nanoseconds;
      },
    },
    {
      name: 'connect() to the first number',
      counters: 7,
      once: () =>
        timedOnce(() => {
          const own = connect(options);
          own.domain('web1').blockStats('xvda');
          own.close();
        }),
    },
    {
      name: "require('xen-block-stats')",
      counters: 7,
      once: inProcess("require('xen-block-stats')"),
    },
  ];

  const times = new Map<Row, number[]>(rows.map((it) => [it, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const it of rows) times.get(it)?.push(await it.once());
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
  }
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? NaN;
  const nanoseconds = (it: Row) => median(times.get(it) ?? []);
  const floors = new Map(rows.slice(0, 3).map((it) => [it.counters, nanoseconds(it)]));
  const results: Result[] = rows.map((it) => ({
    name: it.name,
    nanoseconds: Math.round(nanoseconds(it)),
    ratio: Number((nanoseconds(it) / (floors.get(it.counters) ?? NaN)).toFixed(3)),
  }));

  const machine = `${cpus().length} x ${cpus()[0]?.model.trim() ?? 'unknown'}, Linux ${release()}, Node.js ${process.versions.node}`;
  const widest = Math.max(...results.map(({ name }) => name.length));
  console.log(`${machine}; medians of ${ROUNDS} rounds\n`);
  console.log(`${'one answer'.padEnd(widest)}  microseconds  x floor`);
  for (const { name, nanoseconds: ns, ratio } of results) {
    console.log(
      `${name.padEnd(widest)}  ${(ns / 1000).toFixed(2).padStart(12)}  ${ratio.toFixed(2).padStart(7)}`,
    );
  }
  writeFileSync(
    join(root, 'bench', 'results.json'),
    `${JSON.stringify({ machine, rounds: ROUNDS, results }, null, 2)}\n`,
  );
  writeFileSync(join(root, 'bench', 'latency.svg'), drawChart(results, machine));

  xen.close();
  for (const descriptor of descriptors) closeSync(descriptor);
  await xenstored.stop();
  rmSync(folder, { recursive: true });
}

void main();
