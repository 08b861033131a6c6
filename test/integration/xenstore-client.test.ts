import { setTimeout as delay } from 'node:timers/promises';
import { loadNative, type NativeXenstoreClient, type XenstoreEvents } from '../../lib/native';
import { RealXenstored } from '../support/real-xenstored';

/*
 * Tests the addon's client: what it reads, and the order of its events. Other tests check how lib/ uses it.
 */

const deadline = () => Number(process.hrtime.bigint()) / 1e6 + 1000;

describe('a path of several nodes', () => {
  const ENOENT = 2;
  const xenstored = new RealXenstored();
  let client: NativeXenstoreClient;

  beforeAll(async () => {
    await xenstored.start();
    await xenstored.write([
      ['/disks/a/size', '1'],
      ['/disks/a/mode', 'r'],
      ['/disks/b/size', 'größer'],
      ['/vbds/51712/dev', 'xvda'],
      ['/vbds/5x/dev', 'x'],
      ['/vbds/0', ''],
    ]);
    const { XenstoreClient } = loadNative();
    client = new XenstoreClient(xenstored.socket);
  });
  afterAll(async () => {
    client.close();
    await xenstored.stop();
  });

  test.each([
    ['/disks/*', ['a', 'b']],
    [
      '/disks/*/mode',
      [
        ['a', 'r'],
        ['b', ENOENT],
      ],
    ],
    ['/disks/a/{mode,size,none}', ['r', '1', ENOENT]],
    ['/disks/{b,a}/size', [Buffer.from('größer'), '1']],
    [
      '/disks/*/{size}',
      [
        ['a', ['1']],
        ['b', [Buffer.from('größer')]],
      ],
    ],
    ['/disks/{a,none}/*', [['size', 'mode'], ENOENT]],
    ['/disks/a/size/*', []],
    ['/vbds/#', ['51712', '0']],
    [
      '/vbds/#/{dev}',
      [
        ['51712', ['xvda']],
        ['0', [ENOENT]],
      ],
    ],
    ['/none/*', ENOENT],
    ['/none/*/size', ENOENT],
    ['/none/{a,b}', [ENOENT, ENOENT]],
  ])('%s', (path, answer) => {
    expect(client.request('read', [path], deadline())).toEqual([answer]);
  });
});

describe('a client that watches', () => {
  const xenstored = new RealXenstored();
  let client: NativeXenstoreClient;
  let notified: number;

  beforeEach(async () => {
    await xenstored.start();
    notified = 0;
    const { XenstoreClient } = loadNative();
    client = new XenstoreClient(xenstored.socket, () => (notified += 1));
  });
  afterEach(async () => {
    client.close();
    await xenstored.kill();
  });
  afterAll(() => xenstored.stop());

  async function untilNotified(): Promise<void> {
    while (notified === 0) await delay(1);
    notified = 0;
  }

  /** Posts a request. Resolves to its response, with the events until then. */
  async function post(...args: Parameters<NativeXenstoreClient['post']>): Promise<XenstoreEvents> {
    client.post(...args);
    const all = { changed: new Set<string>(), lost: false };
    for (;;) {
      await untilNotified();
      const { changed, lost, response } = client.take();
      for (const path of changed) all.changed.add(path);
      all.lost ||= lost;
      if (response !== undefined) return { ...all, changed: [...all.changed], response };
    }
  }

  test('reports a lost connection, also if the next request is posted before the events are taken', async () => {
    await post('watch', ['/local']);
    await xenstored.kill();
    await untilNotified();
    await xenstored.start();
    const { lost, response } = await post('read', ['/local/domain/1/name']);
    expect({ lost, response }).toEqual({ lost: true, response: [2] });
    expect(client.take()).toEqual({ changed: [], lost: false });
  });

  test('has one watch if it watches a path twice, and none after one unwatch', async () => {
    await post('watch', ['/local']);
    expect(await post('watch', ['/local'])).toMatchObject({ lost: false, response: [''] });
    await xenstored.write([['/local/domain/1/name', 'web1']]);
    await untilNotified();
    expect(client.take().changed).toContain('/local/domain/1/name');
    await post('unwatch', ['/local', '/local/domain/1']);
    await xenstored.write([['/local/domain/1/name', 'web2']]);
    // the next response comes after every event
    expect(await post('watch', ['/tool'])).toMatchObject({ lost: false, changed: [] });
  });

  test('counts changes: those of watched nodes, and lost connections', async () => {
    const untilMore = async (count: number) => {
      while (client.changes() === count) await delay(1);
      return client.changes();
    };
    const { XenstoreClient } = loadNative();
    client.close();
    client = new XenstoreClient(xenstored.socket); // one that posts nothing
    expect(client.request('read', ['/local/domain/1/name'], deadline())).toEqual([2]);
    expect(client.request('watch', ['/local'], deadline())).toEqual(['']);
    // neither the new connection, which has a handle for watches, nor a watch is a change
    expect(client.request('read', ['/local/domain/1/name'], deadline())).toEqual([2]);
    expect(client.changes()).toBe(0);
    await xenstored.write([['/tool/a', '1']]);
    await xenstored.write([['/local/domain/1/name', 'web1']]);
    const written = await untilMore(0);
    await xenstored.kill();
    const lost = await untilMore(written);
    await xenstored.start();
    expect(client.request('watch', ['/local'], deadline())).toEqual(['']);
    await xenstored.write([['/local/domain/1/name', 'web2']]);
    expect(await untilMore(lost)).toBeGreaterThan(lost);
  });
});
