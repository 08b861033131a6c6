import { RealHost } from '../support/real-host';
import { spawnSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/** Node.js runs about fifty times slower in valgrind. */
const TIMEOUT_MS = 300_000;

describe('valgrind reports nothing', () => {
  let host: RealHost;

  beforeAll(async () => {
    host = await RealHost.start();
    const disks = [{ name: 'xvda', source: '/dev/a', counters: { rd_req: 5 } }];
    await host.addGuest({ name: 'web1', disks });
  });
  afterAll(async () => {
    host.xenstored.signal('SIGCONT');
    await host.stop();
  });

  /** Runs a program (the body of an async function) with the package as `xbs`, and returns its output. */
  function run(program: string): string {
    const { stdout, stderr, status } = spawnSync(
      'valgrind',
      [
        ...['--quiet', '--error-exitcode=99', '--leak-check=full', '--show-leak-kinds=definite'],
        '--errors-for-leak-kinds=definite',
        // valgrind cannot follow code that V8 generates
        ...[process.execPath, '--jitless', '--no-expose-wasm', '-e'],
        `const xbs = require('xen-block-stats'), options = ${JSON.stringify({ ...host.connectOptions, timeoutMs: 60_000 })};
         (async () => { ${program} })();`,
      ],
      { cwd: ROOT, encoding: 'utf8' },
    );
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return stdout;
  }

  test(
    'when a program reads disks and sets',
    () => {
      expect(
        run(`
          const xen = xbs.connect(options);
          const web = xen.domain('web1');
          const disk = web.disk('xvda');
          const numbers = new Float64Array(12), bigints = new BigInt64Array(12);
          for (let i = 0; i < 100; i++) {
            disk.readInto(numbers);
            disk.readInto(bigints);
            xen.domains();
            web.disks();
          }
          const set = await xen.diskSet();
          for (let i = 0; i < 100; i++) set.sample();
          console.log(set.values[0], set.rates().length);
          console.log(disk.read().rdReq, web.blockStats('').rdReq, web.blockStatsFlags('xvda').nparams);
          for (const fail of [() => xen.domain('none'), () => web.disk('xvdz')]) {
            try { fail() } catch ({ code }) { console.log(code) }
          }
          xen.close();`),
      ).toBe('5 1\n5 5 6\nERR_XEN_NO_DOMAIN\nERR_XEN_INVALID_DISK\n');
    },
    TIMEOUT_MS,
  );

  test(
    'when the process exits while xenstored hangs',
    () => {
      host.xenstored.signal('SIGSTOP');
      expect(
        run(
          `try { xbs.connect({ ...options, timeoutMs: 50 }) } catch ({ code }) { console.log(code) }`,
        ),
      ).toBe('ERR_XENSTORE_TIMEOUT\n');
    },
    TIMEOUT_MS,
  );
});
