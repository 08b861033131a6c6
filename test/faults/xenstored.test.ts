import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { connect, type Connection, type Disk, type Domain } from 'xen-block-stats';
import { SimulatedHost, type DiskOptions } from 'xen-block-stats/simulator';
import { RealHost } from '../integration/hosts/real-host';
import { XenstoredProxy } from '../support/xenstored-proxy';
import { FAULTS } from './faults';
import { holdings, untilGivenBack, type Holdings } from './holdings';
import { ROOT, runProgram } from './program';
import { ROUNDS, randomNumbers } from './rounds';

/*
 * A xenstored that is not what it should be. Whatever it does: a call ends in time, with the right
 * answer or with an error that says what is wrong; open disks go on; and afterwards all is as before.
 */

const TIMEOUT_MS = 500;
/** No call takes longer: one that waited twice would. */
const LIMIT_MS = 2 * TIMEOUT_MS;

const DISKS: DiskOptions[] = [
  { name: 'xvda', source: '/dev/a', counters: { rd_req: 100 } },
  { name: 'xvdb', source: '/dev/b', counters: { rd_req: 1000 } },
];

/** What a test does to a host, as far as both kinds can. */
interface Host {
  readonly connectOptions: { readonly xenstore: string; readonly sysfs: string };
  setCounters(domid: number, disk: string, counters: { rd_req: number }): Promise<void>;
}

/** A connection with an open disk, and what it was before there was one. */
class Client {
  readonly before: Holdings = holdings();
  readonly xen: Connection;
  readonly web: Domain;
  readonly disk: Disk;
  #rdReq = 100;

  constructor(
    readonly host: Host,
    readonly timeoutMs = TIMEOUT_MS,
  ) {
    this.xen = connect({ ...host.connectOptions, timeoutMs });
    this.web = this.xen.domain('web1');
    this.disk = this.web.disk('xvda');
    this.web.blockStats('xvda');
  }

  /** Every way to ask xenstored something, with what is right. */
  get questions(): [ask: () => unknown, right: unknown][] {
    const { xen, web, host, timeoutMs } = this;
    return [
      [() => xen.domains().map(({ name }) => name), ['Domain-0', 'web1']],
      [() => xen.domain(1).name, 'web1'],
      [() => xen.domain('web1').domid, 1],
      [() => web.disks().map(({ name }) => name), ['xvda', 'xvdb']],
      [() => web.disk('xvdb').read().rdReq, 1000],
      [() => web.blockStats('').rdReq, this.#rdReq + 1000],
      [() => web.blockStatsFlags('xvda', { nparams: 0 }).nparams, 6],
      [
        () => {
          const other = connect({ ...host.connectOptions, timeoutMs });
          other.close();
          return 'connected';
        },
        'connected',
      ],
    ];
  }

  /** Asks everything, and gives what came in place of right answers. */
  async errors(): Promise<string[]> {
    const codes: string[] = [];
    for (let i = 0; i < this.questions.length; i++) {
      const [ask, right] = this.questions[i] as (typeof this.questions)[0];
      const start = performance.now();
      let answer: unknown;
      try {
        answer = ask();
      } catch (error) {
        const { name, code } = error as { name: string; code: string };
        expect(name).toBe('XenError');
        codes.push(code);
        answer = right;
      }
      expect(performance.now() - start).toBeLessThan(2 * this.timeoutMs);
      expect(answer).toEqual(right);
      await this.expectOpenDiskToGoOn();
    }
    return codes;
  }

  /** Waits until a request that was given up is answered: until then, others fail at once. */
  async untilAnswered(): Promise<void> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      try {
        this.xen.domains();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(1);
      }
    }
  }

  /** Moves the open disk's counters, and reads them. */
  async expectOpenDiskToGoOn(): Promise<void> {
    this.#rdReq += 1;
    await this.host.setCounters(1, 'xvda', { rd_req: this.#rdReq });
    expect(this.disk.read().rdReq).toBe(this.#rdReq);
    expect(this.web.blockStats('xvda').rdReq).toBe(this.#rdReq);
  }

  /** Asks everything when all is well again, closes, and waits until nothing is left. */
  async expectRecovery(): Promise<void> {
    await this.untilAnswered();
    expect(await this.errors()).toEqual([]);
    expect(this.xen.domain('web1')).toBe(this.web);
    expect(this.web.disk('xvda')).toBe(this.disk);
    this.xen.close();
    await untilGivenBack(this.before);
  }
}

describe('a xenstored (simulated) that', () => {
  let host: SimulatedHost;
  let proxy: XenstoredProxy;

  beforeAll(async () => {
    host = await SimulatedHost.start();
    proxy = await XenstoredProxy.start(host);
  });
  afterAll(async () => {
    await proxy.stop();
    await host.stop();
  });

  beforeEach(async () => {
    await host.addGuest({ name: 'web1', domid: 1, disks: DISKS });
  });
  afterEach(async () => {
    await proxy.clear();
    await host.removeGuest(1);
  });

  test.each(FAULTS)('%s', async (_name, begin, codes) => {
    const client = new Client({
      connectOptions: proxy.connectOptions,
      setCounters: (...args) => host.setCounters(...args),
    });
    await begin(proxy);
    expect(new Set(await client.errors())).toEqual(new Set(codes));
    await proxy.clear();
    await client.expectRecovery();
  });

  const FOLDER = '/local/domain/0/backend/vbd/1';
  const fillFolder = async () => {
    for (let i = 0; i < 500; i++) await host.write(`${FOLDER}/no-disk-number-${i}`, '');
  };

  test('lists more names than fit into an answer', async () => {
    await fillFolder();
    const client = new Client(host);
    await client.expectRecovery();
  });

  test('has values of 4 KiB', async () => {
    const name = 'n'.repeat(4096);
    const source = `/dev/${'s'.repeat(4091)}`;
    await host.write('/local/domain/1/name', name);
    await host.write(`${FOLDER}/51712/params`, source);
    const xen = connect(host.connectOptions);
    expect(xen.domain(name).disks()[0]).toMatchObject({ name: 'xvda', source });
    expect(xen.domain(1).disk(source).read().rdReq).toBe(100);
    for (const node of ['state', 'sectors', 'physical-sector-size', 'mode', 'dev']) {
      await host.write(`${FOLDER}/51712/${node}`, '4'.repeat(4096));
    }
    expect(xen.domain(1).disks()[0]).toMatchObject({
      name: 'xvda',
      mode: 'w',
      state: undefined,
      sectors: undefined,
      physicalSectorSize: undefined,
    });
    expect(xen.domain(1).blockStats('xvda').rdReq).toBe(100);
    xen.close();
  });
});

describe('the real xenstored, when it', () => {
  let host: RealHost;

  beforeEach(async () => {
    host = await RealHost.start();
    await host.addGuest({ name: 'web1', domid: 1, disks: DISKS });
  });
  afterEach(() => host.stop());

  const kill = () => host.xenstored.kill();
  const restart = () => host.restartXenstored();
  const signal = (name: 'SIGSTOP' | 'SIGCONT') => () => {
    host.xenstored.signal(name);
    return Promise.resolve();
  };

  test.each<[string, begin: () => Promise<void>, end: () => Promise<void>, codes: string[]]>([
    ['is stopped (SIGSTOP)', signal('SIGSTOP'), signal('SIGCONT'), ['ERR_XENSTORE_TIMEOUT']],
    ['is killed', kill, restart, ['ERR_XENSTORE_CONNECT']],
    ['is killed and started again', () => kill().then(restart), () => Promise.resolve(), []],
    [
      'is killed while it is stopped',
      () => signal('SIGSTOP')().then(kill),
      restart,
      ['ERR_XENSTORE_CONNECT'],
    ],
  ])('%s', async (_name, begin, end, codes) => {
    const client = new Client(host);
    await begin();
    expect(new Set(await client.errors())).toEqual(new Set(codes));
    await end();
    await client.expectRecovery();
  });

  test('lists more names than fit into an answer', async () => {
    const folder = '/local/domain/0/backend/vbd/1';
    await host.xenstored.write(
      Array.from({ length: 1500 }, (_, i) => [`${folder}/no-disk-${i}`, 'x']),
    );
    await new Client(host).expectRecovery();
  });

  test('hangs, costs a loop of calls one timeout', async () => {
    const client = new Client(host);
    host.xenstored.signal('SIGSTOP');
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    const start = performance.now();
    for (let i = 0; i < 20; i++) {
      expect(() => client.xen.domain(1)).toThrow(timeout);
      expect(() => client.web.blockStats('')).toThrow(timeout);
      await client.expectOpenDiskToGoOn();
    }
    expect(performance.now() - start).toBeLessThan(LIMIT_MS);
    host.xenstored.signal('SIGCONT');
    await client.expectRecovery();
  });

  test('hangs, is not asked by more and more threads', async () => {
    const client = new Client(host);
    const hanging = holdings();
    host.xenstored.signal('SIGSTOP');
    const options = { ...host.connectOptions, timeoutMs: 20 };
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    for (let i = 0; i < 50; i++) expect(() => connect(options)).toThrow(timeout);
    expect(holdings().threads - hanging.threads).toBeLessThanOrEqual(4);
    host.xenstored.signal('SIGCONT');
    await client.expectRecovery();
  });

  test('hangs a hundred times, leaves no thread and no descriptor behind', async () => {
    const before = holdings();
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    for (let i = 0; i < 100; i++) {
      const xen = connect({ ...host.connectOptions, timeoutMs: 200 });
      const set = await xen.diskSet();
      host.xenstored.signal('SIGSTOP');
      expect(() => xen.domains()).toThrow(timeout);
      expect(set.sample().errors.size).toBe(0);
      if (i % 2 === 0) await expect(xen.diskSet()).rejects.toEqual(timeout);
      xen.close();
      host.xenstored.signal('SIGCONT');
      await untilGivenBack(before);
    }
  }, 180_000);

  test('is killed and started again a hundred times, answers the first call each time', async () => {
    const client = new Client(host);
    for (let i = 0; i < 100; i++) {
      await host.xenstored.kill();
      expect(() => client.xen.domains()).toThrow(
        expect.objectContaining({ code: 'ERR_XENSTORE_CONNECT' }),
      );
      await host.xenstored.start();
      expect(client.xen.domains()).toEqual([]);
    }
    client.xen.close();
    await untilGivenBack(client.before);
  }, 60_000);

  test(
    'stops and goes on at random moments, gives right answers or none',
    async () => {
      const before = holdings();
      const client = new Worker(
        `const { parentPort, workerData } = require('node:worker_threads');
       const { connect } = require('xen-block-stats');
       const { isDeepStrictEqual } = require('node:util');
       const xen = connect({ ...workerData.options, timeoutMs: ${TIMEOUT_MS} });
       const disk = xen.domain('web1').disk('xvda');
       const report = { right: 0, late: 0, wrong: [], longest: 0 };
       let over = false;
       parentPort.on('message', () => { over = true; });
       parentPort.postMessage('ready');
       (async () => {
         while (!over) {
           const start = performance.now();
           try {
             const names = xen.domains().map(({ name }) => name);
             const sum = xen.domain('web1').blockStats('').rdReq;
             const answer = [names, sum, disk.read().rdReq];
             if (isDeepStrictEqual(answer, workerData.right)) report.right += 1;
             else report.wrong.push(answer);
           } catch (error) {
             if (error.code === 'ERR_XENSTORE_TIMEOUT') report.late += 1;
             else report.wrong.push(String(error));
           }
           report.longest = Math.max(report.longest, performance.now() - start);
           await new Promise(setImmediate);
         }
         xen.close();
         parentPort.postMessage(report);
       })();`,
        {
          eval: true,
          workerData: { options: host.connectOptions, right: [['Domain-0', 'web1'], 1100, 100] },
        },
      );
      await once(client, 'message');
      const random = randomNumbers(1);
      for (let i = 0; i < 20 * ROUNDS; i++) {
        await delay(20 * random());
        host.xenstored.signal('SIGSTOP');
        await delay(random() < 0.2 ? TIMEOUT_MS * 2 : 20 * random());
        host.xenstored.signal('SIGCONT');
      }
      client.postMessage('over');
      const [report] = (await once(client, 'message')) as unknown[];
      await client.terminate();
      expect(report).toMatchObject({ wrong: [] });
      const { right, late, longest } = report as { right: number; late: number; longest: number };
      expect(right).toBeGreaterThan(10);
      expect(late).toBeGreaterThan(0);
      // two calls that ask, one after the other
      expect(longest).toBeLessThan(2 * LIMIT_MS);
      await untilGivenBack(before);
    },
    60_000 * ROUNDS,
  );

  test('is not for this user, says so', async () => {
    const { stdout } = await runProgram(
      `try { require(root).connect(options) } catch ({ code, message }) { console.log(code, message) }`,
      { root: ROOT, options: host.connectOptions },
      { under: ['setpriv', '--reuid=65534', '--clear-groups'] },
    );
    expect(stdout).toMatch(
      /^ERR_XENSTORE_CONNECT cannot connect to xenstored: EACCES \(is it running here, and is this user allowed to ask it\?\)/,
    );
  });
});
