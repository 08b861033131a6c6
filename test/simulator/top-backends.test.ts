import { createInterface } from 'node:readline';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { endChild, execFile, spawn } from '../support/child-process';
import { MAIN } from '../support/paths';

/*
 * `top` and `stat` with disks of blkback, tapdisk and QEMU.
 */

describe('top, with disks of every kind', () => {
  let host: SimulatedHost;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    host = await SimulatedHost.start({
      guests: [
        { name: 'web1', disks: [{ name: 'xvda', source: '/dev/a' }] },
        {
          name: 'mail',
          disks: [{ name: 'xvda', source: '/srv/a.qcow2', kind: 'qdisk', format: 'qcow2' }],
        },
        {
          name: 'files',
          disks: [{ name: 'xvda', source: '/srv/b.vhd', kind: 'vbd3', format: 'vhd' }],
        },
      ],
    });
    const { sysfs, shm, run, xenstore } = host.connectOptions;
    env = { SYSFS_PATH: sysfs, SHM_PATH: shm, XEN_RUN_PATH: run, XENSTORED_PATH: xenstore };
    await host.startWorkload({ intervalMs: 20 });
  });
  afterAll(async () => {
    await host.stop();
  });
  afterEach(async () => {
    await host.faults.clear();
  });

  interface Disk {
    readonly domain: string;
    readonly rPerSec: number | null;
    readonly rAwait: number | null;
    readonly note?: string;
  }

  /** Runs the command, and returns the disks of each sample. */
  async function samples(...args: string[]): Promise<Disk[][]> {
    const { stdout } = await execFile(process.execPath, [MAIN, ...args, '--json'], {
      env: { ...process.env, ...env },
    });
    return stdout.trim().split('\n').map(parse);
  }

  function parse(line: string): Disk[] {
    return (JSON.parse(line) as { disks: Disk[] }).disks;
  }

  const top = (...args: string[]) => samples('top', '--sort', 'domain', ...args);

  test('shows all of them, with the time of a request where it is known', async () => {
    const [disks = []] = await top('--interval', '0.5', '--count', '1');
    expect(disks.map(({ domain }) => domain)).toEqual(['files', 'mail', 'web1']);
    expect(disks.map(({ rAwait }) => rAwait)).toEqual([0.2, 0.2, null]);
    for (const { rPerSec } of disks) expect(rPerSec).toBeGreaterThan(0);
    const [[qemu] = []] = await samples('stat', 'mail', 'xvda', '0.5', '1');
    expect(qemu).toMatchObject({ domain: 'mail', rAwait: 0.2 });
  });

  test('shows a line without figures, and its age, for a QEMU that does not answer', async () => {
    const args = ['top', '--sort', 'domain', '--interval', '0.3', '--json'];
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const next = async () => parse(String((await lines.next()).value));
    const isKnown = ([, mail]: Disk[]) => mail?.rPerSec !== null;
    while (!isKnown(await next()));
    await host.faults.holdQemu(2);
    let disks = await next();
    while (isKnown(disks)) disks = await next();
    const [files, mail, web1] = disks;
    expect(mail).toMatchObject({
      domain: 'mail',
      note: expect.stringMatching(/^no answer for \d\.\d s$/),
    });
    // the others go on
    for (const disk of [files, web1]) expect(disk?.rPerSec).toBeGreaterThan(0);
    await host.faults.clear();
    while (!isKnown(await next()));
    await endChild(child);
  });

  test('says why QEMU does not answer if it never has', async () => {
    await host.faults.holdQemu(2);
    const mail = (await top('--interval', '0.3', '--count', '1'))[0]?.[1];
    expect(mail).toMatchObject({ domain: 'mail', rPerSec: null });
    expect(mail?.note).toBe('QEMU of domain 2 has not answered yet');
  });

  test('leaves QEMU alone with --no-qemu', async () => {
    await host.faults.holdQemu(2);
    const [disks = []] = await top('--interval', '0.2', '--count', '1', '--no-qemu');
    expect(disks.map(({ domain }) => domain)).toEqual(['files', 'web1']);
  });
});
