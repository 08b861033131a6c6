import { setTimeout as delay } from 'node:timers/promises';
import { loadNative, type NativeXenstoreClient, type XenstoreEvents } from '../../lib/native';
import { RealXenstored } from '../support/real-xenstored';

/*
 * Tests the order of events of the addon's client. Other tests check how lib/ uses the client.
 */

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

  test('keeps its connection and its watch if it watches a path twice', async () => {
    await post('watch', ['/local']);
    expect(await post('watch', ['/local'])).toMatchObject({ lost: false, response: [17] });
    await xenstored.write([['/local/domain/1/name', 'web1']]);
    await untilNotified();
    expect(client.take().changed).toContain('/local/domain/1/name');
  });
});
