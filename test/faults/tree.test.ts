import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { XenstoredProxy } from '../support/xenstored-proxy';

/*
 * The tree changes between two requests of one call. The proxy holds a response back meanwhile, so the call
 * blocks a worker thread.
 */

describe('during a call, the tree gets', () => {
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
    const [result] = (await once(client, 'message')) as unknown[];
    return result;
  };

  /** Runs a program, and changes the host between the response about a node and its arrival. */
  async function change(program: string, path: string, by: () => Promise<unknown>) {
    await proxy.requests();
    await proxy.hold({ path, times: 1 });
    const result = run(program);
    while (!(await proxy.requests()).some((request) => request.path.startsWith(path)));
    await by();
    await proxy.clear();
    return result;
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
  ])('another domain with the same domid and disk: %s', async (program) => {
    expect(await change(program, BACKEND, another)).toBe('ERR_XEN_DOMAIN_NOT_RUNNING');
    expect(await run(program)).toBe('ERR_XEN_DOMAIN_NOT_RUNNING');
    expect(await run("xen.domain('web2').blockStats('xvda').rdReq")).toBe(777);
  });

  test('another disk of the same name', async () => {
    const program =
      "(() => { const disk = web.disk('xvda'); return [disk.info.source, disk.read().rdReq] })()";
    const swap = async () => {
      await host.detachDisk(1, 'xvda');
      await host.attachDisk(1, { name: 'xvda', source: '/dev/b', counters: { rd_req: 777 } });
    };
    expect(await change(program, `${BACKEND}/params`, swap)).toEqual(['/dev/b', 777]);
  });

  test('another disk, after the disk of a source was found', async () => {
    const swap = async () => {
      await host.detachDisk(1, 'xvda');
      await host.attachDisk(1, { name: 'xvda', source: '/dev/b', counters: { rd_req: 777 } });
    };
    const program = "web.blockStats('/dev/a').rdReq";
    expect(await change(program, `${BACKEND}/params`, swap)).toBe('ERR_XEN_INVALID_DISK');
    expect(await run("web.blockStats('/dev/b').rdReq")).toBe(777);
  });

  test('another disk, in a directory that is listed in parts', async () => {
    const directory = '/local/domain/0/backend/vbd/1';
    for (let i = 0; i < 500; i++) await host.write(`${directory}/no-disk-number-${i}`, '');
    await proxy.requests();
    // the first response is the error E2BIG, the second one the first part
    await proxy.hold({ path: directory, skip: 1, times: 1 });
    const result = run('web.disks().map(({ name }) => name)');
    const parts = async () => (await proxy.requests()).some(({ type }) => type === 'directoryPart');
    while (!(await parts()));
    await host.attachDisk(1, { name: 'xvdb', source: '/dev/b' });
    await proxy.clear();
    expect(await result).toEqual(['xvda', 'xvdb']);
  });
});
