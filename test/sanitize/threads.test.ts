import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { RealXenstored } from '../support/real-xenstored';
import { spawn } from '../support/child-process';
import { buildDriver } from './build-driver';

/*
 * Runs client_driver.cc, which has many clients of xenstored, with the sanitizers, while the real
 * xenstored is stopped, killed and restarted.
 */

const ROUNDS = process.env['SANITIZE'] === 'long' ? 50 : 3;
const TIMEOUT_MS = 60_000 * ROUNDS;

/** Timeout of requests that must not time out. */
const LONG_MS = 30_000;
/** Timeout of requests that must time out. */
const SHORT_MS = 5;
/** Upper limit for requests that fail at once, also on a busy machine. */
const AT_ONCE_MS = 5000;

const directory = mkdtempSync(join(tmpdir(), 'client-driver-'));

afterAll(() => {
  rmSync(directory, { recursive: true });
});

const SOURCES = ['xenstore_client', 'xenstore_session', 'socket_variable', 'libxenstore', 'thread'];

/** A run of client_driver.cc. Each command resolves to the number of requests with each outcome, as text. */
class ClientDriver {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  constructor(program: string, socket: string) {
    // ThreadSanitizer does not support every memory layout that the kernel chooses
    this.#child = spawn('setarch', ['--addr-no-randomize', program, socket], {
      env: { ...process.env, TSAN_OPTIONS: 'atexit_sleep_ms=50' },
    });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    this.#errors = text(this.#child.stderr);
  }

  /** Makes the given number of requests in each thread. */
  async request(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#command(`request ${threads} ${times} ${timeoutMs}`);
  }

  /** Creates, uses and destroys the given number of watching clients in each thread. */
  async watch(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#command(`watch ${threads} ${times} ${timeoutMs}`);
  }

  /** Creates, uses and destroys the given number of clients that begin to watch, in each thread. */
  async count(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#command(`count ${threads} ${times} ${timeoutMs}`);
  }

  /**
   * Watches in each thread, and reconnects when the connection is lost. Resolves when all threads watch,
   * to a promise of the outcomes.
   */
  async reconnect(threads: number, timeoutMs: number): Promise<{ done: Promise<string> }> {
    expect(await this.#command(`reconnect ${threads} 1 ${timeoutMs}`)).toBe('watching');
    return { done: this.#line() };
  }

  /** Replaces the client of the main thread. */
  async renew(): Promise<void> {
    await this.#command('renew');
  }

  /** Makes requests in the main thread until xenstored responds. */
  async untilResponse(): Promise<void> {
    while (!(await this.request(0, 1, LONG_MS)).startsWith('1 answered')) await delay(1);
  }

  /** The number of threads of the program. */
  get threads(): number {
    return readdirSync(`/proc/${String(this.#child.pid)}/task`).length;
  }

  /** Waits until the program has at most this number of threads. */
  async untilThreads(limit: number): Promise<void> {
    while (this.threads > limit) await delay(1);
  }

  /** Ends the program, and resolves to its exit status and the reports of the sanitizers. */
  async end(): Promise<{ status: unknown; errors: string }> {
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    const [code, signal] = await exited;
    return { status: signal ?? code, errors: await this.#errors };
  }

  /** Kills the program, if it still runs. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async #command(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return this.#line();
  }

  async #line(): Promise<string> {
    const line: IteratorResult<string> = await this.#lines.next();
    if (line.done === true) throw new Error(`the program ended: ${await this.#errors}`);
    return line.value;
  }
}

describe.each([
  ['ThreadSanitizer', 'thread'],
  ['AddressSanitizer', 'address,undefined'],
])('%s reports nothing', (_name, sanitizers) => {
  const xenstored = new RealXenstored();
  let program: string;
  let driver: ClientDriver;

  const start = async () => {
    await xenstored.start();
    await xenstored.write([['/local/domain/1/name', 'web1']]);
  };

  beforeAll(async () => {
    program = buildDriver('client_driver', SOURCES, sanitizers, directory);
    await start();
  }, TIMEOUT_MS);
  afterAll(() => xenstored.stop());

  beforeEach(() => {
    driver = new ClientDriver(program, xenstored.socket);
  });
  afterEach(() => {
    xenstored.signal('SIGCONT');
    driver.kill();
  });

  const expectCleanExit = async () => {
    expect(await driver.end()).toEqual({ status: 0, errors: '' });
  };

  /** Repeats an action until a command of the driver is done. */
  const meanwhile = async (done: Promise<string>, act: () => Promise<void>) => {
    let isDone = false as boolean;
    void done.finally(() => (isDone = true));
    while (!isDone) await act();
    return done;
  };

  const restart = async () => {
    await xenstored.kill();
    await start();
  };

  const hangBriefly = async () => {
    xenstored.signal('SIGSTOP');
    await delay(10);
    xenstored.signal('SIGCONT');
    await delay(20);
  };

  /** Abandons more threads than the limit for new connections, while xenstored hangs. */
  const abandonThreads = async () => {
    expect(await driver.request(0, 1, SHORT_MS)).toMatch(/^0 answered, 1 timed out/);
    expect(await driver.request(3, 2, SHORT_MS)).toMatch(/^0 answered, 6 timed out/);
    expect(await driver.watch(3, 1, SHORT_MS)).toMatch(/^0 answered, 3 timed out/);
    expect(await driver.count(3, 1, SHORT_MS)).toMatch(/^0 answered, 3 timed out/);
    await driver.renew();
  };

  test(
    'when many clients make requests',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await driver.request(8, 200, LONG_MS)).toMatch(/^1600 answered/);
        expect(await driver.request(0, 200, LONG_MS)).toMatch(/^200 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when many clients watch',
    async () => {
      let name = 0;
      for (let i = 0; i < ROUNDS; i++) {
        const write = () => xenstored.write([['/local/domain/1/name', `web${name++}`]]);
        expect(await meanwhile(driver.watch(8, 25, LONG_MS), write)).toMatch(
          /^200 answered, .* [1-9]\d* events$/,
        );
        expect(await meanwhile(driver.count(8, 25, LONG_MS), write)).toMatch(
          /^200 answered, .* [1-9]\d* events$/,
        );
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when clients are destroyed while xenstored hangs',
    async () => {
      await driver.untilResponse();
      const before = driver.threads;
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        let since = performance.now();
        expect(await driver.request(0, 20, 500)).toMatch(/^0 answered, 20 timed out/);
        // the first request waits, the others fail at once
        expect(performance.now() - since).toBeLessThan(500 + AT_ONCE_MS);
        expect(driver.threads).toBe(before);
        xenstored.signal('SIGCONT');
        await driver.untilResponse();

        xenstored.signal('SIGSTOP');
        await abandonThreads();
        const stuck = driver.threads;
        since = performance.now();
        expect(await driver.request(0, 2, LONG_MS)).toMatch(/^0 answered, 2 timed out/);
        expect(await driver.request(3, 2, LONG_MS)).toMatch(/^0 answered, 6 timed out/);
        expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
        await driver.untilThreads(stuck);
        xenstored.signal('SIGCONT');
        await driver.untilResponse();
        await driver.untilThreads(before);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored hangs repeatedly',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const both = /^[1-9]\d* answered, [1-9]\d* timed out, 0 not connected, 0 broken/;
        expect(await meanwhile(driver.request(4, 1000, SHORT_MS), hangBriefly)).toMatch(both);
        expect(await meanwhile(driver.watch(4, 25, SHORT_MS), hangBriefly)).toMatch(both);
        // on a busy machine, none of them has a connection in time
        expect(await meanwhile(driver.count(4, 25, SHORT_MS), hangBriefly)).toMatch(
          /^\d+ answered, \d+ timed out, 0 not connected, 0 broken/,
        );
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored is killed and restarted',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await meanwhile(driver.request(4, 1000, LONG_MS), restart)).toMatch(
          /^[1-9]\d* answered, 0 timed out, [1-9]/,
        );
        // Not killed while a watch is requested: libxenstore may then close a descriptor twice, and
        // another connection may have reused it.
        const reconnecting = await driver.reconnect(4, LONG_MS);
        await restart();
        expect(await reconnecting.done).toMatch(/^4 answered/);
        expect(await driver.request(0, 2, LONG_MS)).toMatch(/^2 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored is killed while it hangs',
    async () => {
      await driver.untilResponse();
      const before = driver.threads;
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        await abandonThreads();
        await xenstored.kill();
        await driver.untilThreads(before - 1);
        await start();
        expect(await driver.request(0, 2, LONG_MS)).toMatch(/^2 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when the program exits while xenstored hangs',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        await driver.untilResponse();
        xenstored.signal('SIGSTOP');
        await abandonThreads();
        await expectCleanExit();
        xenstored.signal('SIGCONT');
        driver = new ClientDriver(program, xenstored.socket);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );
});
