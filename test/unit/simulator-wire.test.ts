import { Decoder, MAX_PAYLOAD, MessageType, encode } from '../../lib/simulator/wire';

const message = (requestId: number, text: string) => ({
  type: MessageType.read,
  requestId,
  transactionId: 7,
  payload: Buffer.from(text),
});
const messages = [message(1, '/a\0'), message(2, ''), message(3, '/local/domain/0\0')];
const bytes = Buffer.concat(messages.map((it) => encode(it)));

test('encodes a message as four little-endian numbers and the payload', () => {
  expect(encode(message(1, 'ab')).toString('hex')).toBe(
    '02000000010000000700000002000000' + '6162',
  );
});

test('decodes several messages in one buffer', () => {
  expect([...new Decoder().decode(bytes)]).toEqual(messages);
});

test('decodes messages that are split at any byte', () => {
  for (let cut = 0; cut <= bytes.length; cut++) {
    const decoder = new Decoder();
    const first = [...decoder.decode(bytes.subarray(0, cut))];
    expect([...first, ...decoder.decode(bytes.subarray(cut))]).toEqual(messages);
  }
});

test('decodes messages that come byte by byte', () => {
  const decoder = new Decoder();
  const found = [...bytes].flatMap((byte) => [...decoder.decode(Buffer.from([byte]))]);
  expect(found).toEqual(messages);
});

test('accepts the longest payload, and refuses a longer one when its header has come', () => {
  expect([...new Decoder().decode(encode(message(1, 'x'.repeat(MAX_PAYLOAD))))]).toHaveLength(1);
  const header = encode(message(1, 'x'.repeat(MAX_PAYLOAD + 1))).subarray(0, 16);
  expect(() => [...new Decoder().decode(header)]).toThrow(RangeError);
});
