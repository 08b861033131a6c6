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
 * The thread that talks to xenstored, under ThreadSanitizer: asker.cc does what it is told here,
 * while this stops, kills and restarts the real xenstored.
 */

const ROUNDS = process.env['SANITIZE'] === 'long' ? 50 : 3;
const TIMEOUT_MS = 60_000 * ROUNDS;

const root = join(__dirname, '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'asker-'));
const program = join(folder, 'asker');

/** One run of the program. */
class Asker {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #errors: Promise<string>;

  constructor(socket: string) {
    // the sanitizer knows fewer layouts of memory than the kernel makes
    this.#child = spawn('setarch', ['--addr-no-randomize', program, socket], {
      env: { ...process.env, TSAN_OPTIONS: 'atexit_sleep_ms=50' },
    });
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    this.#errors = text(this.#child.stderr);
  }

  /** Has so many threads do it so many times each; what came of it, in words. */
  async ask(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#tell(`ask ${threads} ${times} ${timeoutMs}`);
  }

  async watch(threads: number, times: number, timeoutMs: number): Promise<string> {
    return this.#tell(`watch ${threads} ${times} ${timeoutMs}`);
  }

  async renew(): Promise<void> {
    await this.#tell('renew');
  }

  threads(): number {
    return readdirSync(`/proc/${String(this.#child.pid)}/task`).length;
  }

  /** Ends it, and gives what it had to complain of. */
  async end(): Promise<{ status: unknown; errors: string }> {
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    const [code, signal] = await exited;
    return { status: signal ?? code, errors: await this.#errors };
  }

  async #tell(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    const answer: IteratorResult<string> = await this.#lines.next();
    if (answer.done === true) throw new Error(`the program ended: ${await this.#errors}`);
    return answer.value;
  }
}

describe('the thread that talks to xenstored races with nobody', () => {
  const xenstored = new RealXenstored();
  let asker: Asker;

  const start = async () => {
    await xenstored.start();
    await xenstored.write([['/local/domain/1/name', 'web1']]);
  };

  beforeAll(async () => {
    const binding = ['xenstore', 'xenstore_link', 'xenstore_wire'].map((it) => `binding/${it}.cc`);
    const flags = ['-std=c++17', '-g', '-O1', '-fsanitize=thread', '-pthread'];
    execFileSync('g++', [...flags, '-o', program, 'test/sanitize/asker.cc', ...binding], {
      cwd: root,
    });
    await start();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await xenstored.stop();
    rmSync(folder, { recursive: true });
  });

  beforeEach(() => {
    asker = new Asker(xenstored.socket);
  });
  afterEach(() => {
    xenstored.signal('SIGCONT');
  });

  const endsWell = async () => {
    expect(await asker.end()).toEqual({ status: 0, errors: '' });
  };

  test(
    'when many ask at a time',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await asker.ask(8, 200, 30_000)).toMatch(/^1600 answered/);
        expect(await asker.ask(0, 200, 30_000)).toMatch(/^200 answered/);
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );

  test(
    'when many watch at a time',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const watching = asker.watch(8, 25, 30_000);
        await xenstored.write([['/local/domain/1/name', `web${i}`]]);
        expect(await watching).toMatch(/^200 answered/);
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored hangs, and whoever asked goes away',
    async () => {
      expect(await asker.ask(0, 2, 30_000)).toMatch(/^2 answered/);
      const before = asker.threads();
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        expect(await asker.ask(0, 20, 5)).toMatch(/^0 answered, 20 late/);
        expect(asker.threads() - before).toBeLessThanOrEqual(4);
        expect(await asker.ask(3, 2, 5)).toMatch(/^0 answered, 6 late/);
        await asker.renew();
        expect(await asker.ask(0, 2, 5)).toMatch(/^0 answered, 2 late/);
        xenstored.signal('SIGCONT');
        expect(await asker.ask(0, 2, 30_000)).toMatch(/^2 answered/);
        while (asker.threads() > before) await delay(1);
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );

  /** Does something again and again until they are done. */
  const meanwhile = async (done: Promise<string>, happens: () => Promise<void>) => {
    let waiting = true as boolean;
    void done.finally(() => (waiting = false));
    while (waiting) await happens();
    return done;
  };

  const hangNowAndThen = async () => {
    xenstored.signal('SIGSTOP');
    await delay(10);
    xenstored.signal('SIGCONT');
    await delay(20);
  };

  const restart = async () => {
    await xenstored.kill();
    await start();
  };

  test(
    'when xenstored hangs now and then',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await meanwhile(asker.ask(4, 200, 5), hangNowAndThen)).toMatch(
          /^[1-9].* [1-9][0-9]* late, 0 found nobody, 0 broke$/,
        );
        expect(await meanwhile(asker.watch(4, 25, 5), hangNowAndThen)).toMatch(
          / [1-9][0-9]* late, 0 found nobody, 0 broke$/,
        );
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );

  test(
    'when xenstored is killed and comes back',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        expect(await meanwhile(asker.ask(4, 200, 30_000), restart)).toMatch(/ 0 late, [1-9]/);
        expect(await meanwhile(asker.watch(4, 200, 30_000), restart)).toMatch(/ 0 late, [1-9]/);
        expect(await asker.ask(0, 2, 30_000)).toMatch(/^2 answered/);
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );

  test(
    'when the program ends while xenstored hangs',
    async () => {
      for (let i = 0; i < ROUNDS; i++) {
        xenstored.signal('SIGSTOP');
        expect(await asker.ask(0, 2, 5)).toMatch(/^0 answered, 2 late/);
        expect(await asker.ask(3, 2, 5)).toMatch(/^0 answered, 6 late/);
        await endsWell();
        asker = new Asker(xenstored.socket);
      }
      await endsWell();
    },
    TIMEOUT_MS,
  );
});
