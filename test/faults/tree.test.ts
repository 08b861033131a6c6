import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { XenstoredProxy } from '../support/xenstored-proxy';

/*
 * A tree that changes between two reads of one call: the call is held in the middle, which only a
 * thread of its own can bear.
 */

describe('in the middle of a call there is', () => {
  let host: SimulatedHost;
  let proxy: XenstoredProxy;
  let client: Worker;

  beforeEach(async () => {
    host = await SimulatedHost.start();
    await host.addGuest({
      name: 'web1',
      domid: 1,
      disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 100 } }],
    });
    proxy = await XenstoredProxy.start(host);
    client = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       const xen = require('xen-block-stats').connect({ ...workerData, timeoutMs: 5000 });
       const web = xen.domain('web1');
       parentPort.on('message', (program) => {
         try {
           parentPort.postMessage(new Function('xen', 'web', 'return ' + program)(xen, web));
         } catch ({ code }) {
           parentPort.postMessage(code);
         }
       });
       parentPort.postMessage('ready');`,
      { eval: true, workerData: proxy.connectOptions },
    );
    await once(client, 'message');
  });
  afterEach(async () => {
    await client.terminate();
    await proxy.stop();
    await host.stop();
  });

  const run = async (program: string) => {
    client.postMessage(program);
    const [answer] = (await once(client, 'message')) as unknown[];
    return answer;
  };

  /** Runs it, and changes the host while the answer about this node is on its way. */
  async function change(program: string, path: string, by: () => Promise<unknown>) {
    await proxy.requests();
    await proxy.hold({ path, times: 1 });
    const answer = run(program);
    while (!(await proxy.requests()).some((request) => request.path.startsWith(path)));
    await by();
    await proxy.clear();
    return answer;
  }

  const BACKEND = '/local/domain/0/backend/vbd/1/51712';
  const another = async () => {
    await host.removeGuest(1);
    await host.addGuest({
      name: 'web2',
      domid: 1,
      disks: [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 777 } }],
    });
  };

  test.each([
    "web.disk('xvda').read().rdReq",
    "web.blockStats('xvda').rdReq",
    "web.blockStats('').rdReq",
  ])('another domain with its domid and its disk: %s', async (program) => {
    expect(await change(program, BACKEND, another)).toBe('ERR_XEN_DOMAIN_NOT_RUNNING');
    expect(await run(program)).toBe('ERR_XEN_DOMAIN_NOT_RUNNING');
    expect(await run("xen.domain('web2').blockStats('xvda').rdReq")).toBe(777);
  });

  test('another disk with its name', async () => {
    const program =
      "(() => { const disk = web.disk('xvda'); return [disk.info.source, disk.read().rdReq] })()";
    const swap = async () => {
      await host.detachDisk(1, 'xvda');
      await host.attachDisk(1, { name: 'xvda', source: '/dev/b', counters: { rd_req: 777 } });
    };
    expect(await change(program, `${BACKEND}/params`, swap)).toEqual(['/dev/b', 777]);
  });

  test('another disk, in a folder that is listed in parts', async () => {
    const folder = '/local/domain/0/backend/vbd/1';
    for (let i = 0; i < 500; i++) await host.write(`${folder}/no-disk-number-${i}`, '');
    await proxy.requests();
    // the first answer is that it is too long, the second the first part
    await proxy.hold({ path: folder, skip: 1, times: 1 });
    const answer = run('web.disks().map(({ name }) => name)');
    const parts = async () => (await proxy.requests()).some(({ type }) => type === 'directoryPart');
    while (!(await parts()));
    await host.attachDisk(1, { name: 'xvdb', source: '/dev/b' });
    await proxy.clear();
    expect(await answer).toEqual(['xvda', 'xvdb']);
  });
});
