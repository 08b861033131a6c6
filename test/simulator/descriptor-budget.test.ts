import { readdirSync, readlinkSync } from 'node:fs';
import { connect, diskName, parseDiskName, type Connection } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { evaluate } from '../support/program';

/** Returns the number of files of a disk of the domain 1 that this process holds open for reading. */
function heldFiles(name: string): number {
  const directory = `/vbd-1-${parseDiskName(name)}/statistics/`;
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the descriptor of /proc/self/fd itself
    }
  });
  return links.filter((link) => link.includes(directory)).length;
}

describe('the descriptor budget of a connection', () => {
  const NAMES = ['xvda', 'xvdb', 'xvdc', 'xvdd'];
  let host: SimulatedHost;
  let xen: Connection;
  /** The files that the host itself holds open. */
  let before: number[];

  beforeAll(async () => {
    const disks = NAMES.map((name) => ({ name, source: `/dev/${name}` }));
    host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
    before = NAMES.map(heldFiles);
  });
  afterAll(() => host.stop());
  afterEach(() => {
    xen.close();
  });

  const held = () => NAMES.map((name, i) => heldFiles(name) - (before[i] ?? 0));

  test('counts a disk once, that handles, a domain’s sum and sets read', async () => {
    xen = connect(host.connectOptions);
    const web = xen.domain('web1');
    const disk = web.disk('xvda');
    const sets = [await xen.diskSet(), await xen.diskSet({ bigint: true })];
    web.blockStats('');
    for (const set of sets) set.sample();
    expect(held()).toEqual([7, 7, 7, 7]);
    sets[0]?.close();
    web.disk('xvdb').close();
    expect(held()).toEqual([7, 7, 7, 7]);
    sets[1]?.close();
    expect(held()).toEqual([7, 0, 7, 7]);
    expect(disk.read().rdReq).toBe(0);
  });

  test('is filled in the order in which disks are opened, and stays so while all are read as often', async () => {
    xen = connect({ ...host.connectOptions, maxOpenFiles: 16 });
    const set = await xen.diskSet();
    for (let i = 0; i < 100; i++) expect(set.sample().errors.size).toBe(0);
    expect(held()).toEqual([7, 7, 0, 0]);
    const handles = NAMES.map((name) => xen.domain(1).disk(name));
    const readAll = () => handles.map((handle) => handle.read());
    readAll();
    const first = held();
    for (let i = 0; i < 100; i++) readAll();
    expect(held()).toEqual(first);
  });

  test('goes to the disks that are read most often', async () => {
    xen = connect({ ...host.connectOptions, maxOpenFiles: 16 });
    const set = await xen.diskSet();
    const busy = xen.domain(1).disk('xvdd');
    for (let i = 0; i < 5; i++) {
      set.sample();
      for (let j = 0; j < 20; j++) busy.read();
    }
    expect(held()[3]).toBe(7);
    expect(held().reduce((sum, files) => sum + files)).toBe(14);
    expect(set.sample().errors.size).toBe(0);
  });

  test('of 0 reads every disk', async () => {
    xen = connect({ ...host.connectOptions, maxOpenFiles: 0 });
    const web = xen.domain('web1');
    expect(NAMES.map((name) => web.disk(name).read().rdReq)).toEqual([0, 0, 0, 0]);
    expect(web.blockStats('').rdReq).toBe(0);
    expect((await xen.diskSet()).sample().errors.size).toBe(0);
    expect(held()).toEqual([0, 0, 0, 0]);
  });

  test.each<[unknown, string]>([
    ['7', 'ERR_INVALID_ARG_TYPE'],
    [-1, 'ERR_OUT_OF_RANGE'],
    [0.5, 'ERR_OUT_OF_RANGE'],
    [NaN, 'ERR_OUT_OF_RANGE'],
  ])('of %p is refused', (maxOpenFiles, code) => {
    const options = { ...host.connectOptions, maxOpenFiles: maxOpenFiles as number };
    expect(() => connect(options)).toThrow(expect.objectContaining({ code }));
  });
});

test('a process that may have 1,024 open files can open 300 of its own beside 800 disks', async () => {
  const disks = Array.from({ length: 800 }, (_, i) => ({
    name: diskName((1 << 28) | ((i + 16) << 8)),
    source: `/dev/${i}`,
    counters: { rd_req: 1 },
  }));
  const host = await SimulatedHost.start({ guests: [{ name: 'web1', disks }] });
  const result = await evaluate(
    `const { openSync } = require('node:fs');
     const xen = xbs.connect({ ...options, timeoutMs: 60_000 });
     const set = await xen.diskSet();
     const web = xen.domain('web1');
     const handles = web.disks().map(({ name }) => web.disk(name));
     const own = Array.from({ length: 300 }, () => openSync('/dev/null'));
     const read = handles.filter((disk) => disk.read().rdReq === 1);
     const { rdReq } = web.blockStats('');
     console.log(JSON.stringify({ own: own.length, read: read.length, rdReq, errors: set.sample().errors.size }));
     xen.close();`,
    { options: host.connectOptions },
    { under: ['prlimit', '--nofile=1024:1024'] },
  );
  expect(result).toEqual({ own: 300, read: 800, rdReq: 800, errors: 0 });
  await host.stop();
}, 120_000);
