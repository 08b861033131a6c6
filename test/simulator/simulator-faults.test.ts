import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { SimulatedHost, type Faults } from 'xen-block-stats/simulator';
import { Decoder, MessageType, encode, type Message } from '../../lib/simulator/wire';

let host: SimulatedHost;
let faults: Faults;
let socket: Socket;
let received: Buffer[];

beforeAll(async () => {
  host = await SimulatedHost.start();
  ({ faults } = host);
});
afterAll(() => host.stop());

beforeEach(async () => {
  await faults.clear();
  await open();
});
afterEach(() => {
  socket.destroy();
});

async function open(): Promise<void> {
  received = [];
  socket = createConnection(host.connectOptions.xenstore).on('data', (bytes: Buffer) =>
    received.push(bytes),
  );
  await once(socket, 'connect');
}

const NAME = '/local/domain/0/name';

function request(type: number, ...strings: string[]): void {
  const payload = Buffer.from(strings.map((text) => `${text}\0`).join(''));
  socket.write(encode({ type, requestId: 7, transactionId: 0, payload }));
}

const messages = (): Message[] => [...new Decoder().decode(Buffer.concat(received))];

async function responses(count: number): Promise<[type: number, payload: string][]> {
  while (messages().length < count) await once(socket, 'data');
  return messages().map(({ type, payload }) => [type, payload.toString()]);
}

const RESPONSE = [MessageType.read, 'Domain-0'];

test('hold() keeps responses and watch events back until clear()', async () => {
  request(MessageType.watch, '/tool', 'token');
  await responses(2);
  received = [];
  await faults.hold();
  request(MessageType.read, NAME);
  await host.write('/tool/a', '1');
  await delay(50);
  expect(received).toEqual([]);
  await faults.clear();
  expect(new Set(await responses(2))).toEqual(
    new Set([RESPONSE, [MessageType.watchEvent, '/tool/a\0token\0']]),
  );
});

test('slow() delays each response, until clear()', async () => {
  await faults.slow(40);
  const start = performance.now();
  for (let i = 0; i < 3; i++) request(MessageType.read, NAME);
  expect(await responses(3)).toEqual([RESPONSE, RESPONSE, RESPONSE]);
  // timers can be a millisecond early
  expect(performance.now() - start).toBeGreaterThanOrEqual(3 * 39);
  await faults.slow(60_000);
  request(MessageType.read, NAME);
  await delay(20);
  expect(messages()).toHaveLength(3);
  await faults.clear();
  expect(await responses(4)).toHaveLength(4);
});

test('refuse() makes every response EACCES', async () => {
  await faults.refuse();
  request(MessageType.read, NAME);
  request(MessageType.watch, '/tool', 'token');
  const refusal = [MessageType.error, 'EACCES\0'];
  expect(await responses(2)).toEqual([refusal, refusal]);
  await faults.clear();
  request(MessageType.read, NAME);
  expect(await responses(3)).toEqual([refusal, refusal, RESPONSE]);
});

test('down() disconnects clients and removes the socket; clear() serves the same nodes', async () => {
  const closed = once(socket, 'close');
  await faults.down();
  await closed;
  expect(existsSync(host.connectOptions.xenstore)).toBe(false);
  await faults.down();
  expect(await host.read(NAME)).toBe('Domain-0');
  await faults.clear();
  await open();
  request(MessageType.read, NAME);
  expect(await responses(1)).toEqual([RESPONSE]);
});

test('a fault replaces the one before', async () => {
  await faults.hold();
  request(MessageType.read, NAME);
  await faults.refuse();
  request(MessageType.read, NAME);
  const got = await responses(2);
  expect(got).toContainEqual([MessageType.error, 'EACCES\0']);
});

test('slow() refuses a delay that is not more than 0', async () => {
  await expect(faults.slow(0)).rejects.toMatchObject({ code: 'ERR_OUT_OF_RANGE' });
});
