import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QemuMonitors } from '../../lib/backends/qemu';
import { COMMANDS, MAX_BYTES } from '../../lib/backends/qmp';
import { Column, ROW_LENGTH } from '../../lib/native';
import { needing } from '../support/needs';
import { ANSWER, GREETING, NEGOTIATED } from '../support/qmp-recorded';

const { EACCES, ECONNREFUSED, ENAMETOOLONG, ENOENT } = constants.errno;

const DOMID = 3;
const XVDA = { name: 'xvda', format: 'qcow2' };
const XVDB = { name: 'xvdb', format: 'raw' };
const EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}\r\n';
/** Far longer than an answer takes. */
const TIMEOUT_MS = 20_000;
/** The timeout of a query that is not answered. */
const SHORT_MS = 100;

const run = mkdtempSync(join(tmpdir(), 'qemu-'));
const path = join(run, `qmp-libxenstat-${DOMID}`);
let monitors: QemuMonitors;
let server: Server | undefined;
let clients: Socket[];
/** What the clients have sent. */
let received: string;

beforeEach(() => {
  monitors = new QemuMonitors(run, TIMEOUT_MS);
  clients = [];
  received = '';
});
afterEach(async () => {
  monitors.close();
  for (const client of clients) client.destroy();
  if (server !== undefined) await new Promise((resolve) => server?.close(resolve));
  server = undefined;
  jest.restoreAllMocks();
});
afterAll(() => {
  rmSync(run, { recursive: true });
});

/** Starts a monitor that handles each client. */
async function serve(handle: (client: Socket) => void, socket = path): Promise<void> {
  server = createServer((client) => {
    clients.push(client);
    client.setEncoding('utf8').on('data', (text: string) => (received += text));
    client.on('error', () => undefined);
    handle(client);
  });
  await once(server.listen(socket), 'listening');
}

/** Starts a monitor that sends a text to each client. */
const serveText = (text: string) => serve((client) => client.write(text));

/** Returns an answer with these entries, as QEMU writes it. */
const answerOf = (...entries: unknown[]) => `${JSON.stringify({ return: entries })}\r\n`;

const STATS = {
  ...{ rd_operations: 1, rd_bytes: 2, rd_total_time_ns: 3, failed_rd_operations: 4 },
  ...{ wr_operations: 5, wr_bytes: 6, wr_total_time_ns: 7, failed_wr_operations: 8 },
  ...{ failed_flush_operations: 9, failed_unmap_operations: 10 },
};

/** Returns the text of an entry of the node xvda-qcow2, with counters as text. */
function entryText(counters: Record<string, string> = {}): string {
  const all = Object.fromEntries(Object.entries(STATS).map(([k, v]) => [k, String(v)]));
  const fields = Object.entries({ ...all, ...counters }).map(([k, v]) => `"${k}": ${v}`);
  return `{"node-name": "xvda-qcow2", "stats": {${fields.join(', ')}}}`;
}

/** Queries a monitor that answers with these entries, as text. */
async function queryEntries(...entries: readonly string[]) {
  await serveText(`${GREETING}${NEGOTIATED}{"return": [${entries.join(', ')}]}\r\n`);
  return monitors.query(DOMID);
}

const readError = (why: string | RegExp) =>
  expect.objectContaining({
    code: 'ERR_XEN_STATS_UNAVAILABLE',
    message:
      typeof why === 'string'
        ? `cannot read ${path}: ${why} (domain ${DOMID})`
        : expect.stringMatching(why),
    syscall: 'read',
    path,
    domid: DOMID,
  });

/** Waits until a condition holds. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await delay(1);
}

describe('an answer', () => {
  test('has the numbers of each disk', async () => {
    await serveText(GREETING + NEGOTIATED + ANSWER);
    const before = process.hrtime.bigint();
    const answer = await monitors.query(DOMID);
    expect(answer.timestamp).toBeGreaterThan(before);
    expect(answer.timestamp).toBeLessThan(process.hrtime.bigint());
    const array = new Float64Array(2 * ROW_LENGTH);
    expect(answer.fill(XVDA, array)).toBe(true);
    expect(answer.fill(XVDB, array, ROW_LENGTH)).toBe(true);
    expect([...array]).toEqual([
      ...[131, 8216, 4206592, 256, 16384, 8388608, -1, -1, -1, 91695475, 392925652, 0],
      // two writes failed
      ...[3, 24, 12288, 34, 2048, 1048576, -1, -1, -1, 5581801, 34609111, 2],
    ]);
  });

  test('counts failed requests, and the sectors that are complete', async () => {
    const answer = await queryEntries(entryText({ rd_bytes: '1023', wr_bytes: '512' }));
    const array = new BigInt64Array(ROW_LENGTH);
    expect(answer.fill(XVDA, array)).toBe(true);
    expect([...array].map(Number)).toEqual([5, 1, 1023, 13, 1, 512, -1, -1, -1, 3, 7, 31]);
  });

  test('has no disk of another name or format', async () => {
    await serveText(GREETING + NEGOTIATED + ANSWER);
    const answer = await monitors.query(DOMID);
    const array = new Float64Array(ROW_LENGTH);
    expect(answer.fill({ name: 'xvdc', format: 'raw' }, array)).toBe(false);
    expect(answer.fill({ name: 'xvda', format: 'raw' }, array)).toBe(false);
    expect(answer.fill({ name: '__proto__', format: 'raw' }, array)).toBe(false);
    expect([...array]).toEqual([...new Float64Array(ROW_LENGTH)]);
  });

  test('has a vhd by the name of QEMU’s driver, vpc', async () => {
    await serveText(GREETING + NEGOTIATED + answerOf({ 'node-name': 'xvda-vpc', stats: STATS }));
    const answer = await monitors.query(DOMID);
    const array = new Float64Array(ROW_LENGTH);
    expect(answer.fill({ name: 'xvda', format: 'vhd' }, array)).toBe(true);
    expect(answer.fill({ name: 'xvda', format: 'vpc' }, array)).toBe(true);
  });

  test('ignores devices without a node, such as an empty drive', async () => {
    const answer = await queryEntries('{"device": "ide1-cd0", "stats": {}}', entryText());
    expect(answer.fill(XVDA, new Float64Array(ROW_LENGTH))).toBe(true);
  });

  test('is exact up to 2^63 - 1', async () => {
    const answer = await queryEntries(
      entryText({
        rd_bytes: '9223372036854775807',
        wr_bytes: '9007199254740993',
        rd_total_time_ns: '1234567890123456789',
        // strings and fractions with many digits stay what they are
        device: '"1: 12345678901234567 \\" 12345678901234567"',
        avg_rd_queue_depth: '0.12345678901234567',
      }),
    );
    const bigints = new BigInt64Array(ROW_LENGTH);
    answer.fill(XVDA, bigints);
    expect(bigints[Column.rdBytes]).toBe(9223372036854775807n);
    expect(bigints[Column.rdSectors]).toBe(18014398509481983n);
    expect(bigints[Column.wrBytes]).toBe(9007199254740993n);
    expect(bigints[Column.rdTimeNs]).toBe(1234567890123456789n);
    const numbers = new Float64Array(ROW_LENGTH);
    answer.fill(XVDA, numbers);
    expect(numbers[Column.rdBytes]).toBe(2 ** 63);
  });

  test.each([
    ['one beyond 2^63 - 1', '9223372036854775808', 'rd_bytes exceeds 2^63 - 1'],
    ['one far beyond 2^63 - 1', '1e300', 'rd_bytes exceeds 2^63 - 1'],
    ['an infinite one', '1e400', 'rd_bytes is not a count'],
    ['a negative one', '-1', 'rd_bytes is not a count'],
    ['a long negative one', '-1234567890123456789', 'rd_bytes is not a count'],
    ['a fraction', '0.5', 'rd_bytes is not a count'],
    ['a string', '"1"', 'rd_bytes is not a count'],
    ['a long string', '"12345678901234567"', 'rd_bytes is not a count'],
    ['null', 'null', 'rd_bytes is not a count'],
    ['an array', '[1]', 'rd_bytes is not a count'],
    ['an object', '{}', 'rd_bytes is not a count'],
    ['true', 'true', 'rd_bytes is not a count'],
  ])('refuses as a number: %s', async (_, rd_bytes, why) => {
    const answer = await queryEntries(entryText({ rd_bytes }));
    const array = new BigInt64Array(ROW_LENGTH).fill(7n);
    expect(() => answer.fill(XVDA, array)).toThrow(readError(`node xvda-qcow2: ${why}`));
    expect(() => answer.fill(XVDA, array)).toThrow(expect.objectContaining({ disk: 'xvda' }));
    expect([...array]).toEqual([...new BigInt64Array(ROW_LENGTH).fill(7n)]);
  });

  test('refuses a sum beyond 2^63 - 1', async () => {
    const answer = await queryEntries(entryText({ rd_operations: '9223372036854775807' }));
    expect(() => answer.fill(XVDA, new BigInt64Array(ROW_LENGTH))).toThrow(
      'rd_operations + failed_rd_operations exceeds 2^63 - 1',
    );
  });

  test.each([
    ['two entries of a node', [entryText(), entryText()], 'QEMU has more than one'],
    ['an entry without statistics', ['{"node-name": "xvda-qcow2"}'], 'it has no statistics'],
    ['a list as statistics', ['{"node-name": "xvda-qcow2", "stats": []}'], 'it has no statistics'],
    [
      'statistics in __proto__ only',
      [`{"node-name": "xvda-qcow2", "__proto__": ${entryText()}}`],
      'it has no statistics',
    ],
    [
      'an entry without a number',
      ['{"node-name": "xvda-qcow2", "stats": {"__proto__": {"rd_bytes": 1}}}'],
      'rd_bytes is not a count',
    ],
  ])('refuses %s', async (_, entries, why) => {
    const answer = await queryEntries(...entries);
    const array = new Float64Array(ROW_LENGTH);
    expect(() => answer.fill(XVDA, array)).toThrow(readError(`node xvda-qcow2: ${why}`));
    expect(Object.prototype).not.toHaveProperty('rd_bytes');
  });

  test('is read byte by byte', async () => {
    await serve((client) => {
      const bytes = Array.from(GREETING + NEGOTIATED + ANSWER);
      const send = () => {
        const byte = bytes.shift();
        if (byte !== undefined && !client.destroyed) client.write(byte, () => setImmediate(send));
      };
      send();
    });
    const answer = await monitors.query(DOMID);
    expect(answer.fill(XVDA, new Float64Array(ROW_LENGTH))).toBe(true);
  });

  test('may have events before and between its lines', async () => {
    await serveText([EVENT, GREETING, EVENT, EVENT, NEGOTIATED, EVENT, ANSWER, EVENT].join(''));
    expect((await monitors.query(DOMID)).fill(XVDA, new Float64Array(ROW_LENGTH))).toBe(true);
  });
});

describe('a query', () => {
  test('sends two commands before it is greeted, and closes the connection after the answer', async () => {
    await serve((client) => {
      client.once('data', () => client.write(GREETING + NEGOTIATED + ANSWER));
    });
    await monitors.query(DOMID);
    await until(() => clients[0]?.closed === true);
    expect(received).toBe(COMMANDS);
    expect(received.match(/"execute":"[^"]*"/g)).toEqual([
      '"execute":"qmp_capabilities"',
      '"execute":"query-blockstats"',
    ]);
  });

  test('is shared by calls while it is unanswered', async () => {
    await serve(() => undefined);
    const first = monitors.query(DOMID);
    await until(() => received === COMMANDS);
    const second = monitors.query(DOMID);
    expect(second).toBe(first);
    clients[0]?.write(GREETING + NEGOTIATED + ANSWER);
    await first;
    expect(clients).toHaveLength(1);
    const third = monitors.query(DOMID);
    await until(() => clients.length === 2);
    clients[1]?.write(GREETING + NEGOTIATED + ANSWER);
    expect(await third).not.toBe(await first);
  });

  test('of another domain is another one', async () => {
    await serveText(GREETING + NEGOTIATED + ANSWER);
    const [mine, other] = await Promise.allSettled([monitors.query(DOMID), monitors.query(4)]);
    expect(mine.status).toBe('fulfilled');
    expect(other).toMatchObject({ reason: { domid: 4, path: join(run, 'qmp-libxenstat-4') } });
  });

  const line = (text: string) => `${text}\r\n`;

  test.each([
    ['text', line('QEMU 7.2.22 monitor'), 'it is not the socket of a QMP monitor'],
    ['another protocol', line('{"id": 1}'), 'it is not the socket of a QMP monitor'],
    ['an answer without a greeting', ANSWER, 'it is not the socket of a QMP monitor'],
    ['an empty line', GREETING + line(''), 'QEMU sent a line that is not a JSON object'],
    ['half a line', GREETING + line('{"return": '), 'QEMU sent a line that is not a JSON object'],
    ['a list', GREETING + line('[]'), 'QEMU sent a line that is not a JSON object'],
    ['null', GREETING + line('null'), 'QEMU sent a line that is not a JSON object'],
    ['an unknown message', GREETING + line('{"a": 1}'), 'QEMU sent an unknown message'],
    ['__proto__', GREETING + line('{"__proto__": {"return": []}}'), 'QEMU sent an unknown message'],
    [
      'a wrong answer',
      GREETING + NEGOTIATED + line('{"return": {}}'),
      'the answer of QEMU is not a list of objects',
    ],
    [
      'a list of wrong entries',
      GREETING + NEGOTIATED + answerOf(STATS, null),
      'the answer of QEMU is not a list of objects',
    ],
    [
      'nested lists',
      GREETING + NEGOTIATED + line(`{"return": [${'['.repeat(5e5)}${']'.repeat(5e5)}]}`),
      'the answer of QEMU is not a list of objects',
    ],
    [
      'an error',
      GREETING + NEGOTIATED + line('{"error": {"class": "GenericError", "desc": "no \\u001b[2J"}}'),
      'QEMU refuses: no ?[2J',
    ],
    ['an error of a wrong type', GREETING + line('{"error": 5}'), 'QEMU refuses: no reason given'],
    ['too much', GREETING + 'x'.repeat(10 * MAX_BYTES), `QEMU sent more than ${MAX_BYTES} bytes`],
    [
      'too many events',
      GREETING + EVENT.repeat(MAX_BYTES / EVENT.length + 1),
      `QEMU sent more than ${MAX_BYTES} bytes`,
    ],
  ])('rejects, and closes the connection, if QEMU sends %s', async (_, text, why) => {
    await serveText(text);
    await expect(monitors.query(DOMID)).rejects.toEqual(readError(why));
    await until(() => clients[0]?.closed === true);
  });

  test.each([
    ['before the greeting', ''],
    ['after the greeting', GREETING],
    ['before the answer', GREETING + NEGOTIATED],
    ['in the middle of the answer', GREETING + NEGOTIATED + ANSWER.slice(0, 999)],
  ])('rejects if QEMU closes the connection %s', async (_, text) => {
    await serve((client) => client.end(text));
    await expect(monitors.query(DOMID)).rejects.toEqual(
      readError('QEMU closed the connection before it answered'),
    );
  });

  test('rejects if the domain has no QEMU', async () => {
    await expect(monitors.query(DOMID)).rejects.toMatchObject({
      code: 'ERR_XEN_STATS_UNAVAILABLE',
      message: `cannot connect to ${path}: ENOENT, the domain has no QEMU (domain ${DOMID})`,
      errno: ENOENT,
      syscall: 'connect',
      path,
      domid: DOMID,
    });
  });

  test('rejects if the path is not a socket', async () => {
    writeFileSync(path, '');
    const query = monitors.query(DOMID);
    await expect(query).rejects.toMatchObject({ errno: ECONNREFUSED, syscall: 'connect' });
    rmSync(path);
  });

  test('rejects a path that is too long for a socket, which is not cut to that of another domain', async () => {
    const long = join(run, 'x'.repeat(106 - join(run, '/qmp-libxenstat-3').length));
    mkdirSync(long);
    await serve(
      (client) => client.write(GREETING + NEGOTIATED + ANSWER),
      join(long, 'qmp-libxenstat-3'),
    );
    monitors = new QemuMonitors(long, TIMEOUT_MS);
    await expect(monitors.query(3)).resolves.toBeDefined();
    await expect(monitors.query(30)).rejects.toMatchObject({
      message: `cannot connect to ${long}/qmp-libxenstat-30: ENAMETOOLONG, the path of a socket has at most 107 bytes (domain 30)`,
      errno: ENAMETOOLONG,
      syscall: 'connect',
    });
  });

  needing('CAP_SETUID').test('rejects unless the process may connect', async () => {
    await serveText(GREETING + NEGOTIATED + ANSWER);
    process.seteuid?.('nobody');
    const query = monitors.query(DOMID); // connects at once
    process.seteuid?.(0);
    await expect(query).rejects.toMatchObject({
      message: `cannot connect to ${path}: EACCES, only root may connect (domain ${DOMID})`,
      errno: EACCES,
      syscall: 'connect',
    });
  });

  test('rejects when the monitors are closed, and closes its connection', async () => {
    await serve(() => undefined);
    const query = monitors.query(DOMID);
    await until(() => received === COMMANDS);
    monitors.close();
    await expect(query).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    await until(() => clients[0]?.closed === true);
    await expect(monitors.query(DOMID)).rejects.toMatchObject({ code: 'ERR_XEN_CLOSED' });
    expect(clients).toHaveLength(1);
  });

  test('is answered although the event loop was blocked until after its deadline', async () => {
    const timeoutMs = 1000;
    monitors = new QemuMonitors(run, timeoutMs);
    await serve((client) => {
      client.once('data', () => client.write(GREETING + NEGOTIATED + ANSWER));
    });
    const query = monitors.query(DOMID);
    const end = performance.now() + 1.1 * timeoutMs;
    while (performance.now() < end);
    await expect(query).resolves.toBeDefined();
  });
});

describe('after a timeout', () => {
  const late = `QEMU did not answer within ${SHORT_MS} ms: it hangs`;
  let now: number;

  beforeEach(() => {
    monitors = new QemuMonitors(run, SHORT_MS);
    now = 1e6;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
  });

  test.each([
    ['in the queue of clients', '', `${late}, or another program uses its monitor`],
    ['after the greeting', GREETING, late],
    ['in the middle of the answer', GREETING + NEGOTIATED + ANSWER.slice(0, 999), late],
  ])('%s, closes the connection, and says why', async (_, text, why) => {
    await serveText(text);
    await expect(monitors.query(DOMID)).rejects.toEqual(readError(why));
    await until(() => clients[0]?.closed === true);
  });

  test('does not ask for 1, 2, 4 .. 30 seconds', async () => {
    await serve(() => undefined);
    for (const [i, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) {
      await expect(monitors.query(DOMID)).rejects.toMatchObject({ syscall: 'read' });
      now += seconds * 1000 - 100;
      await expect(monitors.query(DOMID)).rejects.toMatchObject({
        code: 'ERR_XEN_STATS_UNAVAILABLE',
        message: `cannot connect to ${path}: QEMU did not answer in time, and is asked again in 0.1 s (domain ${DOMID})`,
        syscall: 'connect',
      });
      expect(clients).toHaveLength(i + 1);
      now += 100;
    }
  });

  test('begins again with 1 second after an answer', async () => {
    let isHung = true;
    await serve((client) => isHung || client.write(GREETING + NEGOTIATED + ANSWER));
    const query = () => monitors.query(DOMID);
    for (const seconds of [1, 2]) {
      await expect(query()).rejects.toThrow('did not answer within');
      now += seconds * 1000;
    }
    isHung = false;
    await query();
    isHung = true;
    await expect(query()).rejects.toThrow('did not answer within');
    await expect(query()).rejects.toThrow('asked again in 1.0 s');
  });

  test('asks the QEMU of another domain', async () => {
    await serve(() => undefined);
    await expect(monitors.query(DOMID)).rejects.toThrow('did not answer within');
    await expect(monitors.query(4)).rejects.toThrow('the domain has no QEMU');
  });

  test('ignores a late answer', async () => {
    await serve(() => undefined);
    await expect(monitors.query(DOMID)).rejects.toThrow('did not answer within');
    clients[0]?.write(GREETING + NEGOTIATED + ANSWER);
    await until(() => clients[0]?.closed === true);
    await expect(monitors.query(DOMID)).rejects.toThrow('asked again in 1.0 s');
  });
});
