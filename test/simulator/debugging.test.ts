import { inspect } from 'node:util';
import { connect } from 'xen-block-stats';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { evaluate, runProgram } from '../support/program';

/* What a person sees who looks for an error: objects on the console, and the requests to xenstored. */

let host: SimulatedHost;

beforeAll(async () => {
  const uuid = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee';
  const disks = [{ name: 'xvda', source: '/dev/vg/web1' }];
  host = await SimulatedHost.start({ guests: [{ name: 'web1', uuid, disks }] });
});
afterAll(() => host.stop());

test('util.inspect shows what each object is, in one line', async () => {
  const xen = connect(host.connectOptions);
  const web = xen.domain('web1');
  const disk = web.disk('xvda');
  const set = await xen.diskSet();
  const { sysfs } = host.connectOptions;
  expect([xen, web, disk, set].map((it) => inspect(it))).toEqual([
    `Connection { sysfs: '${sysfs}', timeoutMs: 1000, isClosed: false }`,
    `Domain { domid: 1, name: 'web1', uuid: '${String(web.uuid)}' }`,
    `Disk { domid: 1, name: 'xvda', devid: 51712, source: '/dev/vg/web1', isClosed: false }`,
    `DiskSet { disks: 1, unsupported: 0, failed: 0, watching: true, isClosed: false }`,
  ]);
  xen.close();
  expect([xen, set].map((it) => inspect(it))).toEqual([
    `Connection { sysfs: '${sysfs}', timeoutMs: 1000, isClosed: true }`,
    `DiskSet { disks: 1, unsupported: 0, failed: 0, watching: false, isClosed: true }`,
  ]);
});

describe('NODE_DEBUG=xen-block-stats', () => {
  const values = () => ({ options: host.connectOptions });

  test('prints each request to xenstored with its time, and the watch events', async () => {
    const program = `
      const xen = xbs.connect(options);
      xen.domain(1).disk('xvda').read();
      const set = (await xen.diskSet()).ref();
      set.on('add', () => xen.close());
      console.error('made');`;
    const lines: string[] = [];
    const onStep = async (line: string) => {
      lines.push(line.replace(/ \d+:/, '').replace(/\d+\.\d{3} ms/, 'N ms'));
      if (line === 'made') await host.attachDisk(1, { name: 'xvdb', source: '/dev/b' });
    };
    const under = ['env', 'NODE_DEBUG=xen-block-stats'];
    const { status } = await runProgram(program, values(), { under, onStep });
    await host.detachDisk(1, 'xvdb');
    expect(status).toBe(0);
    expect(lines[0]).toBe('XEN-BLOCK-STATS read answered after N ms: domid');
    expect(lines).toContain('XEN-BLOCK-STATS read answered after N ms: /local/domain/1/{name,vm}');
    expect(lines).toContain('XEN-BLOCK-STATS watch answered after N ms: /local/domain/0/backend');
    expect(lines).toContain('XEN-BLOCK-STATS watch events: /local/domain/0/backend/vbd/1');
  });

  test('shows that disks() waits for xenstored once, if blkback serves all disks', async () => {
    const program = `
      const web = xbs.connect(options).domain(1);
      console.error('before');
      web.disks();
      console.error('after');`;
    const { stderr } = await runProgram(program, values(), {
      under: ['env', 'NODE_DEBUG=xen-block-stats'],
    });
    const between = /before\n(.*)after\n/s.exec(stderr)?.[1];
    expect(between?.match(/^XEN-BLOCK-STATS/gm)).toHaveLength(1);
  });

  test('prints why a request failed', async () => {
    const program = `try { xbs.connect(options) } catch { console.log('{}') }`;
    const options = { ...host.connectOptions, xenstore: '/nonexistent' };
    const under = ['env', 'NODE_DEBUG=xen-block-stats'];
    const { stderr } = await runProgram(program, { options }, { under });
    expect(stderr).toMatch(/^XEN-BLOCK-STATS \d+: read failed \(connect\) after \S+ ms: domid\n$/);
  });

  test('prints nothing unless it is set', async () => {
    const program = `xbs.connect(options).close(); console.log('true')`;
    expect(await evaluate(program, values())).toBe(true);
  });
});
