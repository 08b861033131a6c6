import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealHost } from '../support/real-host';
import { evaluate, runProgram } from '../support/program';
import { ROUNDS } from './rounds';
import { ROOT } from '../support/paths';
import { needing } from '../support/needs';

/*
 * The process: worker threads that end at any moment, exits in every state, unclosed objects, two versions
 * of the package, child processes.
 */

let host: RealHost;

beforeAll(async () => {
  host = await RealHost.start();
  await host.addGuest({
    name: 'web1',
    domid: 1,
    disks: [
      { name: 'xvda', source: '/dev/a', counters: { rd_req: 5 } },
      { name: 'xvdb', source: '/dev/b', counters: { rd_req: 50 } },
    ],
  });
});
afterAll(() => host.stop());
afterEach(() => {
  host.xenstored.signal('SIGCONT');
});

/** For programs: counts descriptors and threads, and waits until there are no more than before. */
const RESOURCES = `
  const { readdirSync } = require('node:fs');
  const countResources = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
  const untilReleased = async (before) => {
    const deadline = performance.now() + 10_000;
    for (;;) {
      globalThis.gc?.();
      const now = countResources();
      if (now.every((count, i) => count <= before[i])) return 'released';
      if (performance.now() > deadline) return { before, now };
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };`;

describe('worker threads', () => {
  const CHURN = `
    ${RESOURCES}
    const { Worker } = require('node:worker_threads');
    const code = \`
      const { workerData, parentPort } = require('node:worker_threads');
      const { connect } = require('xen-block-stats');
      (async () => { for (;;) {
        try {
          const xen = connect(workerData);
          const set = (await xen.diskSet()).sample();
          const sum = set.values[0] + set.values[12];
          if (sum !== 55) parentPort.postMessage(sum);
          for (let i = 0; i < 50; i++) xen.domain('web1').blockStats('');
          if (Math.random() < 0.5) xen.close();
        } catch ({ code, message }) {
          if (code !== 'ERR_XENSTORE_TIMEOUT') parentPort.postMessage(message);
        }
      } })()\`;
    let state = 1;
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647;
    const wrong = [];
    const one = async () => {
      const worker = new Worker(code, { eval: true, workerData: { ...options, timeoutMs } });
      worker.on('message', (message) => wrong.push(message));
      worker.on('error', (error) => wrong.push(String(error)));
      await new Promise((resolve) => setTimeout(resolve, 150 * random()));
      await worker.terminate();
    };
    const xen = xbs.connect(options);
    const disk = xen.domain('web1').disk('xvda');
    (async () => {
      await one();
      const before = countResources();
      prepare();
      for (let i = 0; i < count; i += 5) await Promise.all([one(), one(), one(), one(), one()]);
      const read = disk.read().rdReq;
      afterwards();
      console.log(JSON.stringify({ wrong, read, rest: await untilReleased(before) }));
    })();`;

  test(
    'open, read and are terminated a hundred times, at random moments',
    async () => {
      const values = { options: host.connectOptions, timeoutMs: 1000, count: 100 * ROUNDS };
      expect(
        await evaluate(`const prepare = () => undefined, afterwards = prepare; ${CHURN}`, values),
      ).toEqual({
        wrong: [],
        read: 5,
        rest: 'released',
      });
    },
    120_000 * ROUNDS,
  );

  test(
    'are terminated while they wait for a xenstored that hangs',
    async () => {
      const pid = host.xenstored.pid;
      const prepare = `
        const prepare = () => process.kill(pid, 'SIGSTOP');
        const afterwards = () => process.kill(pid, 'SIGCONT');`;
      const values = { options: host.connectOptions, pid, timeoutMs: 100, count: 20 * ROUNDS };
      expect(await evaluate(`${prepare} ${CHURN}`, values)).toEqual({
        wrong: [],
        read: 5,
        rest: 'released',
      });
    },
    60_000 * ROUNDS,
  );
});

describe('a process ends with status 0 and no signal when it', () => {
  const STAGES: [stage: string, program: string][] = [
    ['has loaded the package', ''],
    ['could not connect', `attempt(() => xbs.connect({ xenstore: '/nonexistent' }));`],
    ['has connected', `connect();`],
    ['has an open disk', `connect().domain('web1').disk('xvda').read();`],
    ['has a set of disks', `(await connect().diskSet()).sample();`],
    ['is making a set of disks', `void connect().diskSet();`],
    [
      'has a set without a reference',
      `(await connect().diskSet()).on('add', () => undefined); gc();`,
    ],
    ['has unreferenced a set that kept it alive', `(await connect().diskSet()).ref().unref();`],
    [
      'has closed everything',
      `const xen = connect(); await xen.diskSet(); xen.domain(1).disk('xvda'); xen.close();`,
    ],
    [
      'reads while it exits',
      `const set = await connect().diskSet(); process.on('exit', () => set.sample());`,
    ],
    [
      'connects while it exits',
      `process.on('exit', () => { if (connect().domain(1).disk('xvda').read().rdReq !== 5) throw new Error(); });`,
    ],
    ['had a timeout because xenstored hangs', `stop(); attempt(() => connect(200));`],
    ['has a set whose xenstored hangs', `(await connect().diskSet()).sample(); stop();`],
    [
      'has a set that waits for a response',
      `const set = await connect().diskSet(); stop(); set.sample(); corrupt(); set.sample();`,
    ],
    [
      'has a thread that reads',
      `thread("const disk = xen.domain(1).disk('xvda'); for (;;) disk.read()");`,
    ],
    [
      'has a thread that waits for a xenstored that hangs',
      `stop(); thread('', { timeoutMs: 300 });`,
    ],
  ];

  const PRELUDE = `
    const { Worker } = require('node:worker_threads');
    const attempt = (call) => { try { call() } catch (error) { if (error.name !== 'XenError') throw error } };
    // no process waits for this timeout: it is longer than the test
    const connect = (timeoutMs = 60_000) => xbs.connect({ ...options, timeoutMs });
    const stop = () => process.kill(pid, 'SIGSTOP');
    const corrupt = () => require('node:fs').writeFileSync(statistics, 'rubbish');
    const thread = (program, more) => new Worker(
      \`const { workerData } = require('node:worker_threads');
       const xen = require('xen-block-stats').connect(workerData); \${program}\`,
      { eval: true, workerData: { ...options, ...more } },
    ).on('error', () => undefined).unref();`;

  const run = async (program: string) => {
    const statistics = join(
      host.connectOptions.sysfs,
      'bus/xen-backend/devices/vbd-1-51728/statistics/rd_req',
    );
    const before = readFileSync(statistics);
    const values = { options: host.connectOptions, pid: host.xenstored.pid, statistics };
    const start = performance.now();
    const ending = await runProgram(`${PRELUDE} ${program}`, values, { node: ['--expose-gc'] });
    writeFileSync(statistics, before);
    expect(ending).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    expect(performance.now() - start).toBeLessThan(10_000);
  };

  test.each(STAGES)('%s, by itself', async (_stage, program) => {
    await run(program);
  });

  test.each(STAGES)('%s, by process.exit()', async (_stage, program) => {
    await run(`${program} setTimeout(() => process.exit(), 30);`);
  });

  test('exits in a listener of a set', async () => {
    const ending = await runProgram(
      `${PRELUDE}
       const set = (await connect().diskSet()).ref();
       set.on('add', () => process.exit());
       console.error('listening');`,
      { options: host.connectOptions, pid: host.xenstored.pid },
      { onStep: () => host.attachDisk(1, { name: 'xvdc', source: '/dev/c' }) },
    );
    expect(ending).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    await host.detachDisk(1, 'xvdc');
  });
});

test('unclosed connections, disks and sets are released when they are collected', async () => {
  const program = `
    ${RESOURCES}
    const use = async () => {
      const xen = xbs.connect(options);
      xen.domain('web1').disk('xvda').read();
      xen.domain('web1').blockStats('');
      (await xen.diskSet()).on('add', () => undefined).sample();
      const set = await xbs.connect({ ...options, maxOpenFiles: 0 }).diskSet({ bigint: true });
      for (const { disk } of set.sample()) disk.info;
    };
    (async () => {
      await use();
      await untilReleased([0, 0].map(() => 1000));
      xbs.connect(options).close();
      const before = countResources();
      for (let i = 0; i < rounds; i++) await use();
      const unclosed = countResources()[0] - before[0];
      console.log(JSON.stringify({ unclosed: unclosed > 10 * rounds, rest: await untilReleased(before) }));
    })();`;
  const values = { options: host.connectOptions, rounds: 20 };
  expect(await evaluate(program, values, { node: ['--expose-gc'] })).toEqual({
    unclosed: true,
    rest: 'released',
  });
}, 30_000);

test('two versions of the package work independently', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'two-versions-'));
  const copies = ['1.0.0', '2.0.0'].map((version) => {
    const copy = join(directory, version, 'node_modules', 'xen-block-stats');
    mkdirSync(copy, { recursive: true });
    for (const part of ['dist', 'prebuilds']) {
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    }
    const gypBuild = 'node_modules/node-gyp-build';
    cpSync(join(ROOT, gypBuild), join(copy, gypBuild), { recursive: true });
    const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as object;
    writeFileSync(join(copy, 'package.json'), JSON.stringify({ ...manifest, version }));
    return copy;
  });
  const answer = await evaluate(
    `const [one, two] = copies.map((copy) => require(copy));
     const [first, second] = [one.connect(options), two.connect(options)];
     const disks = [first, second].map((xen) => xen.domain('web1').disk('xvda'));
     const sets = await Promise.all([first, second].map(async (xen) => (await xen.diskSet()).sample()));
     const before = [disks.map((disk) => disk.read().rdReq), sets.map((set) => set.values[12])];
     first.close();
     let error;
     try { disks[0].read() } catch (it) { error = it }
     console.log(JSON.stringify({
       before,
       error: [error.code, error instanceof one.XenError, error instanceof two.XenError],
       after: [disks[1].read().rdReq, sets[1].sample().values[12]],
     }));`,
    { copies, options: host.connectOptions },
  );
  rmSync(directory, { recursive: true });
  expect(answer).toEqual({
    before: [
      [5, 5],
      [50, 50],
    ],
    error: ['ERR_XEN_CLOSED', true, false],
    after: [5, 50],
  });
});

needing('CAP_SETGID', 'CAP_SETUID').test(
  'disks that root has opened are read by another user, and xenstored until it disconnects',
  async () => {
    const answer = await evaluate(
      `const attempt = (call) => { try { return call() } catch ({ code }) { return code } };
     const xen = xbs.connect(options);
     const [set, disk] = [await xen.diskSet(), xen.domain('web1').disk('xvda')];
     process.setgid(65534); process.setuid(65534);
     const read = () => [
       disk.read().rdReq,
       set.sample().values[0],
       attempt(() => xen.domains().length),
     ];
     const before = read();
     console.error('break');
     (async () => {
       while (set.watching) await new Promise((resolve) => setTimeout(resolve, 5));
       console.log(JSON.stringify({ before, after: read() }));
     })();`,
      { options: host.connectOptions },
      {
        onStep: async () => {
          await host.xenstored.kill();
          await host.restartXenstored();
        },
      },
    );
    expect(answer).toEqual({
      before: [5, 5, 2],
      after: [5, 5, 'ERR_XENSTORE_CONNECT'],
    });
  },
);

test('children inherit no descriptor', async () => {
  const program = `
    const { readdirSync, readFileSync, readlinkSync } = require('node:fs');
    const { fork, spawnSync } = require('node:child_process');
    const LIST = \`console.log(JSON.stringify(require('node:fs').readdirSync('/proc/self/fd').flatMap((fd) => {
      try { return [require('node:fs').readlinkSync('/proc/self/fd/' + fd)] } catch { return [] }
    })))\`;
    const own = () => readdirSync('/proc/self/fd').filter((fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd) } catch { return false }
    });
    const before = own();
    const xen = xbs.connect(options);
    xen.domain('web1').disk('xvda').read();
    (await xen.diskSet()).sample();
    (await xbs.connect({ ...options, maxOpenFiles: 2 }).diskSet()).sample();
    const opened = own().filter((fd) => !before.includes(fd));
    const inherited = opened.filter((fd) => {
      const flags = /^flags:\\s*(\\d+)/m.exec(readFileSync('/proc/self/fdinfo/' + fd, 'utf8'))[1];
      return (parseInt(flags, 8) & 0o2000000) === 0;
    });
    const ours = opened.map((fd) => readlinkSync('/proc/self/fd/' + fd)).filter((link) => !link.startsWith('anon_inode'));
    const inChild = (links) => links.filter((link) => ours.includes(link));
    const spawned = JSON.parse(spawnSync(process.execPath, ['-e', LIST]).stdout);
    const forked = fork('-e', [LIST], { execArgv: [], stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
    let text = '';
    forked.stdout.on('data', (data) => { text += data; }).on('end', () => {
      console.log(JSON.stringify({
        opened: opened.length > 20,
        inherited,
        spawned: inChild(spawned),
        forked: inChild(JSON.parse(text)),
      }));
      xen.close();
    });`;
  expect(await evaluate(program, { options: host.connectOptions })).toEqual({
    opened: true,
    inherited: [],
    spawned: [],
    forked: [],
  });
});
