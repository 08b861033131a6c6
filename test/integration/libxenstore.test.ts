import { mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { XenstoredProxy } from '../support/xenstored-proxy';
import { RealHost } from '../support/real-host';
import { execFileSync, spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Records the calls of libxenstore and counts the requests to xenstored.
 */

describe('libxenstore', () => {
  const directory = mkdtempSync(join(tmpdir(), 'libxenstore-'));
  const record = join(directory, 'record');
  let host: RealHost;

  beforeAll(async () => {
    host = await RealHost.start();
    await host.addGuest({ name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] });
  });
  afterAll(async () => {
    await host.stop();
    rmSync(directory, { recursive: true });
  });

  /** Runs the body of an async function. The libraries of the directory precede those of the system. */
  function run(program: string): string {
    const source = `
      const xbs = require('xen-block-stats');
      (async () => { ${program} })();`;
    const { stdout, stderr, status } = spawnSync(process.execPath, ['-e', source], {
      cwd: ROOT,
      encoding: 'utf8',
      env: {
        ...process.env,
        LD_LIBRARY_PATH: directory,
        REAL: realLibrary(),
        RECORD: record,
        SYSFS_PATH: host.connectOptions.sysfs,
        XENSTORED_PATH: host.connectOptions.xenstore,
      },
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return stdout;
  }

  test('makes every request, and none for a read of an open disk', () => {
    const library = join(directory, 'libxenstore.so.4');
    const source = join(__dirname, 'recording_libxenstore.c');
    execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
    const output = run(`
      const { readFileSync } = require('node:fs');
      const calls = () => readFileSync(process.env.RECORD, 'utf8').trim().split('\\n');
      const xen = xbs.connect();
      const web = xen.domain(1);
      web.blockStats('xvda');
      const first = calls();
      const set = await xen.diskSet();
      const disk = web.disk('xvda');
      set.sample();
      const before = calls().length;
      for (let i = 0; i < 1000; i++) { web.blockStats('xvda'); web.disk('xvda'); disk.read(); set.sample(); }
      // the client's heartbeat, and its wait for watch events
      const isIdle = (call) => call === 'xs_read domid' || call.startsWith('xs_fileno');
      const made = calls().slice(before).filter((call) => !isIdle(call));
      xen.close();
      console.log(JSON.stringify({ first, made }));`);
    const { first, made } = JSON.parse(output) as { first: string[]; made: string[] };
    const nodes = [
      ...['dev', 'params', 'tapdisk-params', 'mode', 'device-type', 'state'],
      ...['sectors', 'sector-size', 'physical-sector-size'],
    ];
    expect(first).toEqual([
      'xs_daemon_open_readonly ',
      'xs_read domid',
      'xs_read /local/domain/1/name',
      'xs_read /local/domain/1/vm',
      ...nodes.map((node) => `xs_read /local/domain/0/backend/vbd/1/51712/${node}`),
      'xs_read /local/domain/1/name',
      'xs_read /local/domain/1/vm',
    ]);
    expect(made).toEqual([]);
    expect(readFileSync(record, 'utf8')).toContain('xs_watch /local/domain/0/backend\n');
  });

  test('is reported with the names of its packages if it is missing', () => {
    // invalid libraries stand for missing ones
    for (const name of ['libxenstore.so.4', 'libxenstore.so.3.0', 'libxenstore.so']) {
      writeFileSync(join(directory, name), '');
    }
    const output = run(`
      try { xbs.connect() } catch ({ code, message }) { console.log(code + ': ' + message) }
      console.log(xbs.parseDiskName('xvda'));`);
    expect(output).toMatch(
      /^ERR_XEN_NO_LIBXENSTORE: libxenstore is not installed: install libxenstore4 .*xen-libs.*\n51712\n$/,
    );
  });
});

/** Returns the path of the libxenstore that the dynamic linker finds. */
function realLibrary(): string {
  const cache = execFileSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  const path = /libxenstore\.so\.4 .*=> (\S+)/.exec(cache)?.[1];
  if (path === undefined)
    throw new Error('libxenstore is not installed: run script/bootstrap test');
  return realpathSync(path);
}

describe('the number of requests', () => {
  const GUESTS = 20;
  const DISKS = ['xvda', 'xvdb'];
  let host: SimulatedHost;
  let proxy: XenstoredProxy;

  beforeAll(async () => {
    host = await SimulatedHost.start();
    for (let i = 1; i <= GUESTS; i++) {
      const disks = DISKS.map((name) => ({ name, source: `/dev/vg/${i}-${name}` }));
      await host.addGuest({ name: `guest${i}`, domid: i, disks });
    }
    proxy = await XenstoredProxy.start(host);
  });
  afterAll(async () => {
    await proxy.stop();
    await host.stop();
  });

  test('of the first blockStats on a new connection is 14', async () => {
    await proxy.requests();
    const xen = connect(proxy.connectOptions);
    xen.domain(1).blockStats('xvda');
    expect(await proxy.requests()).toHaveLength(14);
    xen.close();
  });

  test('of repeated calls is none while xenstored tells no change, and the next call sees a change', async () => {
    const xen = connect(proxy.connectOptions);
    const calls = () => {
      const { rdReq } = xen.domain('guest3').blockStats('');
      const { params } = xen.domain(4).blockStatsFlags('', { bigint: true });
      return { rdReq, rdOperations: params.find(({ field }) => field === 'rd_operations')?.value };
    };
    await proxy.requests();
    calls();
    const once = (await proxy.requests()).length;
    // called again, the domain and its disks are watched
    calls();
    const paths = (await proxy.requests()).filter(({ type }) => type === 'watch');
    expect(paths.map(({ path }) => path)).toEqual([
      ...['/local/domain/0/backend', '/libxl', '/local/domain/3/name', '/local/domain/3/vm'],
      ...['/local/domain/4/name', '/local/domain/4/vm'],
    ]);
    for (let i = 0; i < 100; i++) calls();
    expect(await proxy.requests()).toEqual([]);

    const counters = { rd_req: 7 };
    await host.attachDisk(3, { name: 'xvdz', source: '/dev/vg/z', counters });
    while (calls().rdReq !== 7) await delay(1);
    await host.attachDisk(4, { name: 'xvdz', source: '/dev/vg/y', counters });
    while (calls().rdOperations !== 7n) await delay(1);
    await proxy.requests();
    for (let i = 0; i < 100; i++) calls();
    const more = (await proxy.requests()).length;
    expect(more).toBeLessThan(2 * once); // the guest's connecting is one more change
    await host.detachDisk(3, 'xvdz');
    await host.detachDisk(4, 'xvdz');
    expect(calls().rdReq).toBe(0);
    xen.close();
  });

  test('of a set is one for each node, a directory and a watch for each domain, and three more', async () => {
    const xen = connect(proxy.connectOptions);
    await proxy.requests();
    const set = await xen.diskSet();
    const each = 2 + 2 + 9 * DISKS.length; // directory and watch; name and uuid; nodes of the disks
    expect(await proxy.requests()).toHaveLength(3 + GUESTS * each);
    // a network device is no disk
    await host.write('/local/domain/0/backend/vif/1/0/state', '4');
    await host.attachDisk(2, { name: 'xvdz', source: '/dev/vg/z' });
    while (set.disks.length === GUESTS * DISKS.length) await delay(1);
    const paths = (await proxy.requests()).map(({ path }) => path);
    expect(paths.filter((path) => path.includes('/1/'))).toEqual([]);
    await host.detachDisk(2, 'xvdz');
    xen.close();
  });

  test('of domains() and disks() is one for each node, and five for each domain', async () => {
    const xen = connect(proxy.connectOptions);
    await proxy.requests();
    for (const domain of xen.domains()) domain.disks();
    const domains = 1 + 2 * (GUESTS + 1);
    const running = 2; // name and uuid, to check that the domain is the same
    const listings = 1 + 2; // the disks of blkback; two directories of libxl
    const guests = GUESTS * (running + listings + 9 * DISKS.length);
    const dom0 = running + listings + 1; // libxl lists none: the kinds of backends
    expect(await proxy.requests()).toHaveLength(domains + guests + dom0);
    xen.close();
  });
});
