import { setTimeout as delay } from 'node:timers/promises';
import { XenError, connect, type Connection } from 'xen-block-stats';
import { RealHost } from '../support/real-host';
import { XenstoredProxy } from '../support/xenstored-proxy';

/*
 * From the second time on, domain() and blockStats('') make no requests until xenstored tells a change. These
 * tests make every kind of change, and wait until the calls see it.
 */

describe('repeated domain() and blockStats()', () => {
  let host: RealHost;
  let xen: Connection;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({
      name: 'web1',
      uuid: '11111111-2222-4333-8444-555555555555',
      disks: [
        { name: 'xvda', source: '/dev/a', counters: { rd_req: 1 } },
        { name: 'xvdb', source: '/dev/b', counters: { rd_req: 10 } },
      ],
    });
    await host.addGuest({ name: 'db', disks: [] });
    xen = connect(host.connectOptions);
    for (let i = 0; i < 3; i++) {
      expect(xen.domain('web1').blockStats('').rdReq).toBe(11);
      expect(xen.domain(1)).toBe(xen.domain('11111111-2222-4333-8444-555555555555'));
      expect(xen.domain('db').blockStats('').rdReq).toBe(0);
    }
  });
  afterEach(async () => {
    xen.close();
    await host.stop();
  });

  /** The result of a call, or the code of its error. */
  function result(call: () => unknown): unknown {
    try {
      return call();
    } catch (error) {
      if (error instanceof XenError) return error.code;
      throw error;
    }
  }

  /** Waits until a call gives this result or error. */
  async function until(call: () => unknown, expected: unknown): Promise<void> {
    while (result(call) !== expected) await delay(1);
  }

  const sum = () => xen.domain('web1').blockStats('').rdReq;

  test('see counters at once', async () => {
    await host.setCounters(1, 'xvda', { rd_req: 5 });
    expect(sum()).toBe(15);
  });

  test('see a disk that is attached, detached or replaced', async () => {
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c', counters: { rd_req: 100 } });
    await until(sum, 111);
    await host.detachDisk(1, 'xvdb');
    // its counters cannot be read, so the call asks xenstored, whether the event has come or not
    expect(sum()).toBe(101);
    await host.detachDisk(1, 'xvda');
    await host.attachDisk(1, { name: 'xvda', source: '/dev/d', counters: { rd_req: 2000 } });
    expect(sum()).toBe(2100);
    await host.attachDisk(2, { name: 'xvda', source: '/dev/e', counters: { rd_req: 7 } });
    await until(() => xen.domain('db').blockStats('').rdReq, 7);
  });

  test('see a disk that another domain serves', async () => {
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c', backendDomid: 2 });
    await until(sum, 'ERR_XEN_UNSUPPORTED_DRIVER');
    const partial = () => xen.domain(1).blockStats('', { partial: true });
    for (let i = 0; i < 3; i++) {
      const { rdReq, skipped } = partial();
      expect([rdReq, skipped?.map(({ disk }) => disk)]).toEqual([11, ['xvdc']]);
    }
    await host.detachDisk(1, 'xvdc');
    await until(sum, 11);
  });

  test('see a domain that is renamed, ended or replaced', async () => {
    await host.write('/local/domain/1/name', 'web2');
    await until(() => xen.domain('web1'), 'ERR_XEN_NO_DOMAIN');
    expect(xen.domain('web2').name).toBe('web2');
    await host.write('/local/domain/2/name', 'web1');
    expect(xen.domain('web1').domid).toBe(2);

    const former = xen.domain(1);
    await host.removeGuest(1);
    await until(() => xen.domain('web2'), 'ERR_XEN_NO_DOMAIN');
    expect(result(() => former.blockStats(''))).toBe('ERR_XEN_DOMAIN_NOT_RUNNING');
    const uuid = '99999999-2222-4333-8444-555555555555';
    await host.addGuest({ name: 'web2', domid: 1, uuid, disks: [] });
    for (let i = 0; i < 3; i++) {
      expect(xen.domain('web2')).not.toBe(former);
      expect(xen.domain(uuid)).toBe(xen.domain('web2'));
      expect(xen.domain(1).blockStats('').rdReq).toBe(0);
    }
    await host.removeGuest(1);
    await host.addGuest({ name: 'web2', domid: 3, disks: [] });
    await until(() => xen.domain('web2').domid, 3);
  });

  test('need no xenstored, until they notice that it has ended; see what changed meanwhile', async () => {
    host.xenstored.signal('SIGSTOP');
    for (let i = 0; i < 3; i++) expect(sum()).toBe(11);
    host.xenstored.signal('SIGCONT');
    await host.xenstored.kill();
    await until(sum, 'ERR_XENSTORE_CONNECT');
    await host.restartXenstored();
    await host.attachDisk(1, { name: 'xvdc', source: '/dev/c', counters: { rd_req: 100 } });
    for (let i = 0; i < 3; i++) expect(sum()).toBe(111);
    await host.attachDisk(1, { name: 'xvdd', source: '/dev/d', counters: { rd_req: 1000 } });
    await until(sum, 1111);
  });

  test.each([
    ['E2BIG', 2], // the client reconnects once
    ['EACCES', 1],
  ])('make requests as before if xenstored refuses a watch (%s)', async (error, times) => {
    const proxy = await XenstoredProxy.start(host);
    const ofDriverDomain = connect({ ...host.connectOptions, ...proxy.connectOptions });
    const web = ofDriverDomain.domain(1);
    expect(web.blockStats('').rdReq).toBe(11);
    // the next call requests a watch of this node first
    await proxy.error(error, { path: '/local/domain/0/backend', times });
    expect(web.blockStats('').rdReq).toBe(11);
    await proxy.requests();
    expect(web.blockStats('').rdReq).toBe(11);
    const paths = (await proxy.requests()).map(({ path }) => path);
    expect(paths).toContain('/local/domain/0/backend/vbd/1');
    ofDriverDomain.close();
    await proxy.stop();
  });

  test('fail after close()', () => {
    const web = xen.domain('web1');
    xen.close();
    expect(result(() => web.blockStats(''))).toBe('ERR_XEN_CLOSED');
    expect(result(() => xen.domain('web1'))).toBe('ERR_XEN_CLOSED');
  });
});
