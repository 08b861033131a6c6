import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { Decoder, MessageType, encode, type Message } from '../../lib/simulator/wire';
import { XenstoredProxy } from '../support/xenstored-proxy';

/* The proxy that causes faults in test/faults. */

let host: SimulatedHost;
let proxy: XenstoredProxy;
let socket: Socket;
let received: Buffer[];

beforeAll(async () => {
  host = await SimulatedHost.start();
  proxy = await XenstoredProxy.start(host);
});
afterAll(async () => {
  await proxy.stop();
  await host.stop();
});

beforeEach(async () => {
  await proxy.clear();
  await proxy.requests();
  received = [];
  socket = createConnection(proxy.connectOptions.xenstore).on('data', (bytes: Buffer) =>
    received.push(bytes),
  );
  await once(socket, 'connect');
});
afterEach(() => {
  socket.destroy();
});

function request(type: number, path: string): void {
  socket.write(encode({ type, requestId: 7, transactionId: 0, payload: Buffer.from(`${path}\0`) }));
}

const bytes = () => Buffer.concat(received);
const messages = (): Message[] => [...new Decoder().decode(bytes())];

/** Waits for this many bytes, and for the result of another request, which shows that no more come. */
async function bytesSent(count: number): Promise<Buffer> {
  while (bytes().length < count) await once(socket, 'data');
  await proxy.requests();
  return bytes();
}

const NAME = '/local/domain/0/name';
const RESPONSE = encode({
  type: MessageType.read,
  requestId: 7,
  transactionId: 0,
  payload: Buffer.from('Domain-0'),
});

test('hold() holds back a response after some bytes, and what follows, until clear()', async () => {
  await proxy.hold({ bytes: 20, times: 1 });
  request(MessageType.read, NAME);
  request(MessageType.read, NAME);
  expect(await bytesSent(20)).toEqual(RESPONSE.subarray(0, 20));
  await proxy.clear();
  expect(await bytesSent(48)).toEqual(Buffer.concat([RESPONSE, RESPONSE]));
});

test('hangUp() disconnects the client after some bytes', async () => {
  await proxy.hangUp({ bytes: 17 });
  request(MessageType.read, NAME);
  await once(socket, 'close');
  expect(bytes()).toEqual(RESPONSE.subarray(0, 17));
});

test('trickle() sends a response byte by byte, and the rest at clear()', async () => {
  await proxy.trickle({ intervalMs: 50 });
  request(MessageType.read, NAME);
  while (bytes().length < 2) await once(socket, 'data');
  expect(bytes().length).toBeLessThan(24);
  expect(bytes()).toEqual(RESPONSE.subarray(0, bytes().length));
  await proxy.clear();
  expect(await bytesSent(24)).toEqual(RESPONSE);
});

test('error() replaces a response', async () => {
  await proxy.error('EWHAT');
  request(MessageType.read, NAME);
  await bytesSent(22);
  expect(
    messages().map(({ type, requestId, payload }) => [type, requestId, payload.toString()]),
  ).toEqual([[MessageType.error, 7, 'EWHAT\0']]);
});

test('path, skip and times select the responses of a fault', async () => {
  await proxy.error('EIO', { path: '/local/domain/0', skip: 1, times: 1 });
  for (const path of ['/local', NAME, '/local/domain/0', NAME]) request(MessageType.read, path);
  while (messages().length < 4) await once(socket, 'data');
  expect(messages().map(({ type }) => type)).toEqual([
    MessageType.read,
    MessageType.read,
    MessageType.error,
    MessageType.read,
  ]);
});

test('requests() returns each request once, with the name of its type', async () => {
  request(MessageType.read, 'name');
  request(99, 'x');
  while (messages().length < 2) await once(socket, 'data');
  expect(await proxy.requests()).toEqual([
    { type: 'read', path: 'name' },
    { type: '99', path: 'x' },
  ]);
  expect(await proxy.requests()).toEqual([]);
});
