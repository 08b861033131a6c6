import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
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
  await host.requests();
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

function ask(type: number, path: string, requestId = 7): void {
  socket.write(encode({ type, requestId, transactionId: 0, payload: Buffer.from(`${path}\0`) }));
}

const bytes = () => Buffer.concat(received);
const messages = (): Message[] => [...new Decoder().decode(bytes())];

/** Waits until so many bytes have come, and for another answer that shows that there are no more. */
async function bytesSent(count: number): Promise<Buffer> {
  while (bytes().length < count) await once(socket, 'data');
  await host.read('/');
  return bytes();
}

const NAME = '/local/domain/0/name';
const RIGHT = encode({
  type: MessageType.read,
  requestId: 7,
  transactionId: 0,
  payload: Buffer.from('Domain-0'),
});

test('an answer that is held comes when all is well again, and so does what follows', async () => {
  await faults.hold({ bytes: 20, times: 1 });
  ask(MessageType.read, NAME);
  ask(MessageType.read, NAME);
  expect(await bytesSent(20)).toEqual(RIGHT.subarray(0, 20));
  await faults.clear();
  expect(await bytesSent(48)).toEqual(Buffer.concat([RIGHT, RIGHT]));
});

test('an answer is cut off where it was told to be', async () => {
  await faults.hangUp({ bytes: 17 });
  ask(MessageType.read, NAME);
  await once(socket, 'close');
  expect(bytes()).toEqual(RIGHT.subarray(0, 17));
});

test('a slow answer comes byte by byte, and at once when all is well again', async () => {
  await faults.trickle({ intervalMs: 50 });
  ask(MessageType.read, NAME);
  while (bytes().length < 2) await once(socket, 'data');
  expect(bytes().length).toBeLessThan(24);
  expect(bytes()).toEqual(RIGHT.subarray(0, bytes().length));
  await faults.clear();
  expect(await bytesSent(24)).toEqual(RIGHT);
});

test('answers with the error that it was given', async () => {
  await faults.error('EWHAT');
  ask(MessageType.read, NAME);
  await bytesSent(22);
  expect(
    messages().map(({ type, requestId, payload }) => [type, requestId, payload.toString()]),
  ).toEqual([[MessageType.error, 7, 'EWHAT\0']]);
});

test('only the answers that it is about are wrong', async () => {
  await faults.error('EIO', { path: '/local/domain/0', skip: 1, times: 1 });
  for (const path of ['/local', NAME, '/local/domain/0', NAME]) ask(MessageType.read, path);
  while (messages().length < 4) await once(socket, 'data');
  expect(messages().map(({ type }) => type)).toEqual([
    MessageType.read,
    MessageType.read,
    MessageType.error,
    MessageType.read,
  ]);
});

test('one that is down answers nobody, and knows everything when it is up again', async () => {
  const closed = once(socket, 'close');
  await faults.down();
  await closed;
  expect(existsSync(host.connectOptions.xenstore)).toBe(false);
  await faults.down();
  expect(await host.read(NAME)).toBe('Domain-0');
  await faults.clear();
  await open();
  ask(MessageType.read, NAME);
  expect(await bytesSent(24)).toEqual(RIGHT);
});

test('the requests are told once, with the names of their types', async () => {
  ask(MessageType.read, 'name');
  ask(99, 'x');
  while (messages().length < 2) await once(socket, 'data');
  expect(await host.requests()).toEqual([
    { type: 'read', path: 'name' },
    { type: '99', path: 'x' },
  ]);
  expect(await host.requests()).toEqual([]);
});

test.each([
  ['hold', [{ bytes: -1 }], 'ERR_OUT_OF_RANGE'],
  ['hold', [null], 'ERR_INVALID_ARG_TYPE'],
  ['hangUp', [{ path: 5 }], 'ERR_INVALID_ARG_TYPE'],
  ['trickle', [{ intervalMs: 0 }], 'ERR_OUT_OF_RANGE'],
  ['error', [''], 'ERR_OUT_OF_RANGE'],
  ['error', ['EIO', { times: 0.5 }], 'ERR_OUT_OF_RANGE'],
])('%s(...%j) is refused', async (fault, args, code) => {
  const method = Reflect.get(faults, fault) as (...args: unknown[]) => Promise<void>;
  await expect(method.apply(faults, args)).rejects.toMatchObject({ code });
});
