import { execFileSync, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { RealXenstored } from '../integration/hosts/real-xenstored';

/*
 * Runs asker.cc, which has many clients of xenstored, with the sanitizers, while the real xenstored is
 * stopped, killed and restarted.
 */

const ROUNDS = process.env['SANITIZE'] === 'long' ? 50 : 3;
const TIMEOUT_MS = 60_000 * ROUNDS;

/** Timeout of requests that must not time out. */
const LONG_MS = 30_000;
/** Timeout of requests that must time out. */
const SHORT_MS = 5;
/** What fails at once takes less than this, also on a busy machine. */
const AT_ONCE_MS = 5000;

const root = join(__dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'asker-'));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** Builds asker.cc with these sanitizers (of `-fsanitize`), and returns its path. */
function build(sanitizers: string): string {
  const program = join(folder, `asker-${sanitizers}`);
  const flags = ['-std=c++17', '-g', '-O1', '-pthread', `-fsanitize=${sanitizers}`];
  const sources = [
    'test/sanitize/asker.cc',
    'binding/xenstore_client.cc',
    'binding/xenstore_session.cc',
    'binding/socket_variable.cc',
    'binding/libxenstore.cc',
    'binding/thread.cc',
  ];
  execFileSync('g++', [...flags, '-o', program, ...sources, '-ldl'], { cwd: root });
  return program;
}

/** One run of asker.cc. Each command resolves to the number of requests with each outcome, as text. */
class Asker {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  constructor(program: string, socket: string) {
    // ThreadSanitizer supports fewer memory layouts than the kernel makes
    this.#child = spawn('setarch', ['--addr-no-randomize', program, socket], {
      env: { ...process.env, TSAN_OPTIONS: 'atexit_sleep_ms=50' },
    });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    this.#errors = text(this.#child.stderr);
  }

  /** Has each of these threads make that many requests. */
  async ask(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#command(`ask ${threads} ${times} ${timeoutMs}`);
  }

  /** Has each of these threads make, use and destroy that many watching clients. */
  async watch(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#command(`watch ${threads} ${times} ${timeoutMs}`);
  }

  /**
   * Has each of these threads watch, and then reconnect when its connection is lost. Resolves when all
   * watch, to a promise of the outcomes.
   */
  async reconnect(threads: number, timeoutMs: number): Promise<{ done: Promise<string> }> {
    expect(await this.#command(`reconnect ${threads} 1 ${timeoutMs}`)).toBe('watching');
    return { done: this.#line() };
  }

  /** Replaces the client of the main thread. */
  async renew(): Promise<void> {
    await this.#command('renew');
  }

  /** Has the main thread ask until it is answered. */
  async untilAnswered(): Promise<void> {
    while (!(await this.ask(0, 1, LONG_MS)).startsWith('1 answered')) await delay(1);
  }

  /** The number of threads of the process. */
  get threads(): number {
    return readdirSync(`/proc/${String(this.#child.pid)}/task`).length;
  }

  /** Waits until the process has no more threads than this. */
  async untilThreads(most: number): Promise<void> {
    while (this.threads > most) await delay(1);
  }

  /** Ends the program, and resolves to its exit status and what the sanitizers reported. */
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
    const answer: IteratorResult<string> = await this.#lines.next();
    if (answer.done === true) throw new Error(`the program ended: ${await this.#errors}`);
    return answer.value;
  }
}

describe.each([
  ['ThreadSanitizer', 'thread'],
  ['AddressSanitizer', 'address,undefined'],
])('%s reports nothing', (_name, sanitizers) => {
  const xenstored = new RealXenstored();
  let program: string;
  let asker: Asker;

  const start = async () => {
    await xenstored.start();
    await xenstored.write([['/local/domain/1/name', 'web1']]);
  };

  beforeAll(async () => {
    program = build(sanitizers);
    await start();
  }, TIMEOUT_MS);
  afterAll(() => xenstored.stop());

  beforeEach(() => {
    asker = new Asker(program, xenstored.socket);
  });
  afterEach(() => {
    xenstored.signal('SIGCONT');
    asker.kill();
  });

  const expectCleanExit = async () => {
    expect(await asker.end()).toEqual({ status: 0, errors: '' });
  };

  /** Repeats an action until the asker is done. */
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

  /** Abandons more threads than a process may have before it connects, while xenstored hangs. */
  const abandonThreads = async () => {
    expect(await asker.ask(0, 1, SHORT_MS)).toMatch(/^0 answered, 1 timed out/);
    expect(await asker.ask(3, 2, SHORT_MS)).toMatch(/^0 answered, 6 timed out/);
    expect(await asker.watch(3, 1, SHORT_MS)).toMatch(/^0 answered, 3 timed out/);
    await asker.renew();
  };

  test(
    'when many clients ask',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await asker.ask(8, 200, LONG_MS)).toMatch(/^1600 answered/);
        expect(await asker.ask(0, 200, LONG_MS)).toMatch(/^200 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when many clients watch',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const write = () => xenstored.write([['/local/domain/1/name', `web${i}`]]);
        expect(await meanwhile(asker.watch(8, 25, LONG_MS), write)).toMatch(
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
      await asker.untilAnswered();
      const before = asker.threads;
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        let since = performance.now();
        expect(await asker.ask(0, 20, 500)).toMatch(/^0 answered, 20 timed out/);
        // the first request waits, the others fail at once
        expect(performance.now() - since).toBeLessThan(500 + AT_ONCE_MS);
        expect(asker.threads).toBe(before);
        xenstored.signal('SIGCONT');
        await asker.untilAnswered();

        xenstored.signal('SIGSTOP');
        await abandonThreads();
        const stuck = asker.threads;
        since = performance.now();
        expect(await asker.ask(0, 2, LONG_MS)).toMatch(/^0 answered, 2 timed out/);
        expect(await asker.ask(3, 2, LONG_MS)).toMatch(/^0 answered, 6 timed out/);
        expect(performance.now() - since).toBeLessThan(AT_ONCE_MS);
        await asker.untilThreads(stuck);
        xenstored.signal('SIGCONT');
        await asker.untilAnswered();
        await asker.untilThreads(before);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored hangs now and then',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const both = /^[1-9]\d* answered, [1-9]\d* timed out, 0 not connected, 0 broken/;
        expect(await meanwhile(asker.ask(4, 1000, SHORT_MS), hangBriefly)).toMatch(both);
        expect(await meanwhile(asker.watch(4, 25, SHORT_MS), hangBriefly)).toMatch(both);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored is killed and restarted',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await meanwhile(asker.ask(4, 1000, LONG_MS), restart)).toMatch(
          /^[1-9]\d* answered, 0 timed out, [1-9]/,
        );
        // Not while a watch is requested: libxenstore then may close a descriptor twice, which may
        // be another connection's by then.
        const reconnecting = await asker.reconnect(4, LONG_MS);
        await restart();
        expect(await reconnecting.done).toMatch(/^4 answered/);
        expect(await asker.ask(0, 2, LONG_MS)).toMatch(/^2 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored is killed while it hangs',
    async () => {
      await asker.untilAnswered();
      const before = asker.threads;
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        await abandonThreads();
        await xenstored.kill();
        await asker.untilThreads(before - 1);
        await start();
        expect(await asker.ask(0, 2, LONG_MS)).toMatch(/^2 answered/);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );

  test(
    'when the program exits while xenstored hangs',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        await asker.untilAnswered();
        xenstored.signal('SIGSTOP');
        await abandonThreads();
        await expectCleanExit();
        xenstored.signal('SIGCONT');
        asker = new Asker(program, xenstored.socket);
      }
      await expectCleanExit();
    },
    TIMEOUT_MS,
  );
});
