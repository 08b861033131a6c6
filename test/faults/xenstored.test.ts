import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { connect, type Connection, type Disk, type Domain } from 'xen-block-stats';
import { SimulatedHost, type DiskOptions } from 'xen-block-stats/simulator';
import { RealHost } from '../support/real-host';
import { XenstoredProxy } from '../support/xenstored-proxy';
import { FAULTS } from './faults';
import { countResources, untilReleased, type Resources } from './resources';
import { runProgram } from '../support/program';
import { ROUNDS, randomNumbers } from './rounds';
import { needing } from '../support/needs';

/*
 * xenstored has a fault. In each case a call ends before its deadline, with the correct result or with an error
 * that names the fault; open disks are read; and after the fault, everything works as before.
 */

const TIMEOUT_MS = 500;
/** The maximum duration of a call: less than two timeouts. */
const LIMIT_MS = 2 * TIMEOUT_MS;

const DISKS: DiskOptions[] = [
  { name: 'xvda', source: '/dev/a', counters: { rd_req: 100 } },
  { name: 'xvdb', source: '/dev/b', counters: { rd_req: 1000 } },
];

/** What the tests need of a host, simulated or real. */
interface Host {
  readonly connectOptions: { readonly xenstore: string; readonly sysfs: string };
  setCounters(domid: number, disk: string, counters: { rd_req: number }): Promise<void>;
}

/** A connection with an open disk, and the resources of the process before it. */
class Client {
  readonly before: Resources = countResources();
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

  /** All kinds of calls that send requests to xenstored, with their correct results. */
  get calls(): [call: () => unknown, expected: unknown][] {
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

  /** Makes all calls, and returns the codes of the errors. Other results must be correct. */
  async errors(): Promise<string[]> {
    const codes: string[] = [];
    for (let i = 0; i < this.calls.length; i++) {
      const [call, expected] = this.calls[i] as (typeof this.calls)[0];
      const start = performance.now();
      let result: unknown;
      try {
        result = call();
      } catch (error) {
        const { name, code } = error as { name: string; code: string };
        expect(name).toBe('XenError');
        codes.push(code);
        result = expected;
      }
      expect(performance.now() - start).toBeLessThan(2 * this.timeoutMs);
      expect(result).toEqual(expected);
      await this.expectOpenDiskIsRead();
    }
    return codes;
  }

  /**
   * Waits for the response to a request that timed out: until then, other calls fail at once. A new
   * connection fails until threads that were stuck have ended.
   */
  async untilResponse(): Promise<void> {
    const deadline = performance.now() + 10_000;
    for (;;) {
      try {
        this.xen.domains();
        connect({ ...this.host.connectOptions, timeoutMs: this.timeoutMs }).close();
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(1);
      }
    }
  }

  /** Changes the open disk's counters, and reads them. */
  async expectOpenDiskIsRead(): Promise<void> {
    this.#rdReq += 1;
    await this.host.setCounters(1, 'xvda', { rd_req: this.#rdReq });
    expect(this.disk.read().rdReq).toBe(this.#rdReq);
    expect(this.web.blockStats('xvda').rdReq).toBe(this.#rdReq);
  }

  /** Makes all calls after the fault, closes the connection, and waits until its resources are released. */
  async expectRecovery(): Promise<void> {
    await this.untilResponse();
    expect(await this.errors()).toEqual([]);
    expect(this.xen.domain('web1')).toBe(this.web);
    expect(this.web.disk('xvda')).toBe(this.disk);
    this.xen.close();
    await untilReleased(this.before);
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

  const DIRECTORY = '/local/domain/0/backend/vbd/1';
  const fillDirectory = async () => {
    for (let i = 0; i < 500; i++) await host.write(`${DIRECTORY}/no-disk-number-${i}`, '');
  };

  test('lists more names than fit into a response', async () => {
    await fillDirectory();
    const client = new Client(host);
    await client.expectRecovery();
  });

  test('has values of 4 KiB', async () => {
    const name = 'n'.repeat(4096);
    const source = `/dev/${'s'.repeat(4091)}`;
    await host.write('/local/domain/1/name', name);
    await host.write(`${DIRECTORY}/51712/params`, source);
    const xen = connect(host.connectOptions);
    expect(xen.domain(name).disks()[0]).toMatchObject({ name: 'xvda', source });
    expect(xen.domain(1).disk(source).read().rdReq).toBe(100);
    for (const node of ['state', 'sectors', 'physical-sector-size', 'mode', 'dev']) {
      await host.write(`${DIRECTORY}/51712/${node}`, '4'.repeat(4096));
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

  test('lists more names than fit into a response', async () => {
    const directory = '/local/domain/0/backend/vbd/1';
    await host.xenstored.write(
      Array.from({ length: 1500 }, (_, i) => [`${directory}/no-disk-${i}`, 'x']),
    );
    await new Client(host).expectRecovery();
  });

  test('hangs during a loop of calls, delays only the first call', async () => {
    const client = new Client(host);
    host.xenstored.signal('SIGSTOP');
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    const start = performance.now();
    for (let i = 0; i < 20; i++) {
      expect(() => client.xen.domain(1)).toThrow(timeout);
      expect(() => client.web.blockStats('')).toThrow(timeout);
      await client.expectOpenDiskIsRead();
    }
    // one timeout for all 40 calls, on a machine that may be busy
    expect(performance.now() - start).toBeLessThan(10 * TIMEOUT_MS);
    host.xenstored.signal('SIGCONT');
    await client.expectRecovery();
  });

  test('hangs during many connects, blocks at most four threads', async () => {
    const client = new Client(host);
    const connected = countResources();
    host.xenstored.signal('SIGSTOP');
    const options = { ...host.connectOptions, timeoutMs: 20 };
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    for (let i = 0; i < 50; i++) expect(() => connect(options)).toThrow(timeout);
    expect(countResources().threads - connected.threads).toBeLessThanOrEqual(4);
    host.xenstored.signal('SIGCONT');
    await client.expectRecovery();
  });

  test('hangs while no thread can be started, and a set is made when it continues', async () => {
    const before = countResources();
    const xen = connect({ ...host.connectOptions, timeoutMs: 10_000 });
    host.xenstored.signal('SIGSTOP');
    const timeout = expect.objectContaining({ code: 'ERR_XENSTORE_TIMEOUT' });
    const options = { ...host.connectOptions, timeoutMs: 20 };
    for (let i = 0; i < 4; i++) expect(() => connect(options)).toThrow(timeout);
    const set = xen.diskSet();
    host.xenstored.signal('SIGCONT');
    expect((await set).sample().errors.size).toBe(0);
    xen.close();
    await untilReleased(before);
  });

  test('hangs a hundred times, leaks no thread and no descriptor', async () => {
    const before = countResources();
    const code = (expected: string) => expect.objectContaining({ code: expected });
    for (let i = 0; i < 100; i++) {
      const xen = connect({ ...host.connectOptions, timeoutMs: 400 });
      const set = await xen.diskSet();
      host.xenstored.signal('SIGSTOP');
      const unanswered = xen.diskSet();
      // each tenth request times out, the others are unanswered when the connection is closed
      if (i % 10 === 0) {
        expect(() => xen.domains()).toThrow(code('ERR_XENSTORE_TIMEOUT'));
        await expect(unanswered).rejects.toEqual(code('ERR_XENSTORE_TIMEOUT'));
      }
      expect(set.sample().errors.size).toBe(0);
      xen.close();
      if (i % 10 !== 0) await expect(unanswered).rejects.toEqual(code('ERR_XEN_CLOSED'));
      host.xenstored.signal('SIGCONT');
      await untilReleased(before);
    }
  }, 180_000);

  test('is killed and started again a hundred times, responds to the first call each time', async () => {
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
    await untilReleased(client.before);
  }, 60_000);

  test(
    'stops and continues at random moments, gives correct results or timeouts',
    async () => {
      const before = countResources();
      const client = new Worker(
        `const { parentPort, workerData } = require('node:worker_threads');
       const { connect } = require('xen-block-stats');
       const { isDeepStrictEqual } = require('node:util');
       const xen = connect({ ...workerData.options, timeoutMs: ${TIMEOUT_MS} });
       const disk = xen.domain('web1').disk('xvda');
       const report = { correct: 0, late: 0, wrong: [], longest: 0 };
       let over = false;
       parentPort.on('message', () => { over = true; });
       parentPort.postMessage('ready');
       (async () => {
         while (!over) {
           const start = performance.now();
           try {
             const names = xen.domains().map(({ name }) => name);
             const sum = xen.domain('web1').blockStats('').rdReq;
             const result = [names, sum, disk.read().rdReq];
             if (isDeepStrictEqual(result, workerData.expected)) report.correct += 1;
             else report.wrong.push(result);
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
          workerData: { options: host.connectOptions, expected: [['Domain-0', 'web1'], 1100, 100] },
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
      const { correct, late, longest } = report as {
        correct: number;
        late: number;
        longest: number;
      };
      expect(correct).toBeGreaterThan(10);
      expect(late).toBeGreaterThan(0);
      // two calls that send requests, one after the other
      expect(longest).toBeLessThan(2 * LIMIT_MS);
      await untilReleased(before);
    },
    60_000 * ROUNDS,
  );

  needing('CAP_SETGID', 'CAP_SETUID').test('refuses this user, fails with the reason', async () => {
    const { stdout } = await runProgram(
      `xbs.connect(options).close();
       process.setgid(65534); process.setuid(65534);
       try { xbs.connect(options) } catch ({ code, message }) { console.log(code, message) }`,
      { options: host.connectOptions },
    );
    expect(stdout).toMatch(
      /^ERR_XENSTORE_CONNECT cannot connect to xenstored at \S+: EACCES \(only root may connect\)/,
    );
  });
});
