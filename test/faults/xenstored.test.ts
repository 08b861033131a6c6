import { connect, type Connection, type Disk, type Domain } from 'xen-block-stats';
import { SimulatedHost, type DiskOptions, type Faults } from 'xen-block-stats/simulator';
import { holdings, untilGivenBack, type Holdings } from './holdings';

/*
 * A xenstored that is not what it should be. Whatever it does: a call ends in time, with the right
 * answer or with an error that says what is wrong; open disks go on; and afterwards all is as before.
 */

const TIMEOUT_MS = 300;
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

  constructor(readonly host: Host) {
    this.xen = connect({ ...host.connectOptions, timeoutMs: TIMEOUT_MS });
    this.web = this.xen.domain('web1');
    this.disk = this.web.disk('xvda');
    this.web.blockStats('xvda');
  }

  /** Every way to ask xenstored something, with what is right. */
  get questions(): [ask: () => unknown, right: unknown][] {
    const { xen, web, host } = this;
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
          const other = connect({ ...host.connectOptions, timeoutMs: TIMEOUT_MS });
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
      expect(performance.now() - start).toBeLessThan(LIMIT_MS);
      expect(answer).toEqual(right);
      await this.expectOpenDiskToGoOn();
    }
    return codes;
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
    expect(await this.errors()).toEqual([]);
    expect(this.xen.domain('web1')).toBe(this.web);
    expect(this.web.disk('xvda')).toBe(this.disk);
    this.xen.close();
    await untilGivenBack(this.before);
  }
}

describe('a xenstored (simulated) that', () => {
  let host: SimulatedHost;

  beforeAll(async () => {
    host = await SimulatedHost.start();
  });
  afterAll(() => host.stop());

  beforeEach(async () => {
    await host.addGuest({ name: 'web1', domid: 1, disks: DISKS });
  });
  afterEach(async () => {
    await host.faults.clear();
    await host.removeGuest(1);
  });

  const TIMEOUT = ['ERR_XENSTORE_TIMEOUT'];
  const IO = ['ERR_XENSTORE_IO'];
  const CONNECT = ['ERR_XENSTORE_CONNECT'];

  test.each<[name: string, begin: (faults: Faults) => Promise<void>, codes: string[]]>([
    ['is not there', (faults) => faults.down(), CONNECT],
    ['refuses to answer (EACCES)', (faults) => faults.error('EACCES'), CONNECT],
    ['does not answer', (faults) => faults.hold(), TIMEOUT],
    ['stops in the middle of a header', (faults) => faults.hold({ bytes: 9 }), TIMEOUT],
    ['stops in the middle of a value', (faults) => faults.hold({ bytes: 17 }), TIMEOUT],
    ['hangs up in place of an answer', (faults) => faults.hangUp(), IO],
    ['hangs up in the middle of a value', (faults) => faults.hangUp({ bytes: 17 }), IO],
    ['hangs up after every third answer', (faults) => faults.hangUp({ skip: 3 }), IO],
    ['sends a byte every millisecond', (faults) => faults.trickle(), TIMEOUT],
    ['sends a byte every 50 ms', (faults) => faults.trickle({ intervalMs: 50 }), TIMEOUT],
    ['announces more than a payload can hold', (faults) => faults.header({ length: 4097 }), IO],
    ['announces more than it sends', (faults) => faults.header({ length: 4096 }), TIMEOUT],
    ['announces nothing and sends something', (faults) => faults.header({ length: 0 }), IO],
    ['answers with the number of another request', (faults) => faults.header({ requestId: 7 }), IO],
    ['answers with a type that nobody knows', (faults) => faults.header({ type: 99 }), IO],
    ['answers what was not asked', (faults) => faults.header({ type: 6 }), IO],
    ['sends events that nobody waits for', (faults) => faults.header({ type: 15 }), IO],
    ['answers with an error that nobody knows', (faults) => faults.error('EWHAT'), IO],
    ['answers with an error that it never documents', (faults) => faults.error('EIO'), IO],
    ['answers with an error without an end', (faults) => faults.header({ type: 16 }), IO],
  ])('%s', async (_name, begin, codes) => {
    const client = new Client(host);
    await begin(host.faults);
    expect(new Set(await client.errors())).toEqual(new Set(codes));
    await host.faults.clear();
    await client.expectRecovery();
  });
});
