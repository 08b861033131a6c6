import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SimulatedHost } from 'xen-block-stats/simulator';
import { devDependencies } from '../../package.json';
import { spawn, spawnSync } from '../support/child-process';
import { MAIN, ROOT } from '../support/paths';
import { isGranted } from '../support/needs';

/*
 * Runs every program and every command in the documents as it is written there, on a simulated host that
 * `xen-block-stats demo -- COMMAND` starts. A comment before a
 * block marks a block that is not run, with the reason, or a block that runs until it is interrupted. A
 * ```text block directly after a program is its expected output, in which `...` stands for any text.
 */

jest.setTimeout(60_000);

const DOCUMENTS = [
  ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md'].filter((name) =>
    readdirSync(ROOT).includes(name),
  ),
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** The languages of blocks that are run, and of blocks that are not. */
const PROGRAMS = ['sh', 'js'];
const NO_PROGRAMS = ['text', 'json', 'yaml', 'promql', 'ini'];

const NOT_RUN = /^<!-- not run: .{10,} -->$/;
const ENDLESS = '<!-- runs until it is ended -->';

/** A fenced block of a document. */
interface Block {
  readonly language: string;
  readonly text: string;
  readonly line: number;
  /** The comment before the block. */
  readonly comment: string | undefined;
  /** The expected output. */
  readonly output: string | undefined;
}

function blocksOf(document: string): Block[] {
  const lines = readFileSync(join(ROOT, document), 'utf8').split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const language = /^```(.*)$/.exec(lines[i] ?? '')?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf('```', i);
    const comment = lines[i - 2]?.startsWith('<!--') === true ? lines[i - 2] : undefined;
    const text = lines.slice(i + 1, end).join('\n');
    const output = lines[end + 2] === '```text' ? lines.slice(end + 3) : undefined;
    blocks.push({
      language,
      text,
      line: i + 1,
      comment,
      output: output?.slice(0, output.indexOf('```')).join('\n'),
    });
    i = end;
  }
  return blocks;
}

describe('the documents', () => {
  const project = mkdtempSync(join(tmpdir(), 'documents-'));
  beforeAll(() => {
    const installed = join(project, 'node_modules');
    mkdirSync(installed);
    symlinkSync(ROOT, join(installed, 'xen-block-stats'));
    // other packages that programs use, such as prom-client
    for (const name of Object.keys(devDependencies)) {
      mkdirSync(dirname(join(installed, name)), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), join(installed, name));
    }
    mkdirSync(join(project, 'bin'));
    writeFileSync(
      join(project, 'bin/xen-block-stats'),
      `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`,
      { mode: 0o755 },
    );
    cpSync(join(ROOT, 'examples'), project, { recursive: true });
  });
  afterAll(() => {
    rmSync(project, { recursive: true });
  });

  /** Returns the command that runs a command on a simulated host. */
  const onDemoHost = (command: string[]) => [process.execPath, MAIN, 'demo', '--', ...command];

  /** Returns the command in its own network namespace, if possible: a port of a document may be in use. */
  const inOwnNetwork = (command: string[]) =>
    isGranted('CAP_NET_ADMIN') && isGranted('CAP_SYS_ADMIN')
      ? ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', ...command]
      : command;
  const options = (cwd: string, env = {}) => ({
    cwd,
    env: {
      ...process.env,
      PATH: `${join(project, 'bin')}:${process.env['PATH'] ?? ''}`,
      ...env,
    },
  });

  /** Returns the command that runs a block, and its working directory. */
  function commandOf({ language, text, line, comment }: Block): { command: string[]; cwd: string } {
    if (language === 'sh') {
      // exec: a signal reaches a command that does not end by itself
      const script = comment === ENDLESS ? `exec ${text}` : text;
      // commands of a clone run in the repository, others in a project with the package
      const cwd = /^(script\/|npm run )/m.test(text) ? ROOT : project;
      return { command: onDemoHost(inOwnNetwork(['sh', '-e', '-c', script])), cwd };
    }
    const file = join(project, `line-${line}.${/^import /m.test(text) ? 'mjs' : 'cjs'}`);
    writeFileSync(file, text);
    return { command: onDemoHost(inOwnNetwork([process.execPath, file])), cwd: project };
  }

  function run(command: string[], cwd = project) {
    const [program = '', ...args] = command;
    const { stdout, stderr, status, error } = spawnSync(program, args, {
      ...options(cwd),
      encoding: 'utf8',
      timeout: 50_000,
    });
    if (error !== undefined) throw error;
    return { stdout, stderr, status };
  }

  /** Starts a command and waits for its first output. `end` interrupts it as Ctrl-C does. */
  async function interrupt(command: string[], cwd = project, env = {}) {
    const [program = '', ...args] = command;
    // without a terminal, demo passes the signal on to its command
    const child = spawn(program, args, { ...options(cwd, env), detached: true });
    const ended = once(child, 'close');
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const untilStderr = async (text: string) => {
      while (!stderr.includes(text)) await once(child.stderr, 'data');
    };
    const printed = once(child.stdout.setEncoding('utf8'), 'data');
    const [stdout] = (await Promise.race([
      printed,
      ended.then(() => {
        throw new Error(`the command ended: ${stderr}`);
      }),
    ])) as [string];
    return {
      stdout,
      untilStderr,
      end: async () => {
        child.kill('SIGINT');
        const [status, signal] = (await ended) as [number | null, NodeJS.Signals | null];
        return { status: status ?? signal, stderr };
      },
    };
  }

  describe.each(DOCUMENTS)('%s', (document) => {
    const blocks = blocksOf(document);

    test('has a language for every block, and a reason for every block that is not run', () => {
      for (const { language, line, comment } of blocks) {
        expect({
          line,
          language: [...PROGRAMS, ...NO_PROGRAMS].includes(language) && language,
        }).toEqual({
          line,
          language,
        });
        if (comment?.includes('run') === true && comment !== ENDLESS) {
          expect(`line ${line}: ${comment.replace(NOT_RUN, 'a reason')}`).toBe(
            `line ${line}: a reason`,
          );
        }
      }
    });

    test('has no indented code blocks', () => {
      const text = readFileSync(join(ROOT, document), 'utf8').replaceAll(/^```[^]*?^```$/gm, '');
      expect(text).not.toMatch(/\n\n {4}\S/);
    });

    test('has no dead links', () => {
      const text = readFileSync(join(ROOT, document), 'utf8');
      const links = [...text.matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)];
      const dead = links.filter(([, path = '', anchor]) => {
        const target = path === '' ? join(ROOT, document) : join(ROOT, document, '..', path);
        if (!existsSync(target)) return true;
        return anchor !== undefined && !anchorsOf(readFileSync(target, 'utf8')).includes(anchor);
      });
      expect(dead.map(([link]) => link)).toEqual([]);
    });

    const programs = blocks.filter(
      ({ language, comment }) => PROGRAMS.includes(language) && !NOT_RUN.test(comment ?? ''),
    );
    if (programs.length === 0) return;

    test.each(programs.map((block): [string, Block] => [`line ${block.line}`, block]))(
      'works: %s',
      async (_line, block) => {
        const { command, cwd } = commandOf(block);
        if (block.comment === ENDLESS) {
          const running = await interrupt(command, cwd);
          expect(running.stdout).not.toBe('');
          const { stderr, status } = await running.end();
          expect(stderr).toBe('');
          expect([0, 130, 'SIGINT']).toContain(status);
          return;
        }
        const { stdout, stderr, status } = run(command, cwd);
        // the warning about the disk of the host with physical sectors of 4096 bytes
        const warning =
          /^.*XEN_SECTOR_SIZE.*\n\(Use `node --trace-warnings .*\n|^.*libvirt's bytes are.*\n|^.*\d+ samples were missed.*\n/gm;
        expect({ status, stderr: stderr.replaceAll(warning, '') }).toEqual({
          status: 0,
          stderr: '',
        });
        if (block.output === undefined) expect(stdout).not.toBe('');
        else expect(stdout).toMatch(toPattern(block.output));
      },
    );
  });

  test('npm run docs creates a reference of all exports, without a warning', () => {
    const { stdout, status } = run(['npm', 'run', '--silent', 'docs'], ROOT);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('generated') });
    const reference = readFileSync(join(ROOT, 'docs/reference/modules.html'), 'utf8');
    expect(reference).toContain('xen-block-stats');
    const pages = readdirSync(join(ROOT, 'docs/reference'), { recursive: true, encoding: 'utf8' });
    expect(pages).toEqual(
      expect.arrayContaining([
        'functions/index.connect.html',
        'classes/simulator.SimulatedHost.html',
        'interfaces/index.DiskSet.html',
      ]),
    );
  });

  describe('examples', () => {
    const example = (name: string, ...args: string[]) => [process.execPath, name, ...args];

    test('sampler.mjs prints a line of JSON for each disk and sample', () => {
      const { stdout, stderr, status } = run(onDemoHost(example('sampler.mjs', '0.6', '2')));
      expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
      const lines = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as object);
      expect(lines).toHaveLength(2 * 6);
      expect(lines[0]).toMatchObject({
        domid: 1,
        domain: 'web1',
        disk: 'xvda',
        rdBytes: expect.any(Number),
        rates: { reset: false, rPerSec: expect.any(Number) },
      });
    });

    describe('on a host that changes', () => {
      let host: SimulatedHost;
      let env: NodeJS.ProcessEnv;

      beforeAll(async () => {
        const counters = { wr_sect: 1443360 };
        host = await SimulatedHost.start({
          guests: [{ name: 'db', disks: [{ name: 'sda1', source: '/dev/vg/db-log', counters }] }],
        });
        const { sysfs, xenstore } = host.connectOptions;
        env = { SYSFS_PATH: sysfs, XENSTORED_PATH: xenstore };
      });
      afterAll(async () => {
        await host.stop();
      });

      test('sampler.mjs prints attached and detached disks', async () => {
        const sampler = await interrupt(example('sampler.mjs', '0.1'), project, env);
        const disks = [{ name: 'xvda', source: '/dev/vg/new' }];
        const { domid } = await host.addGuest({ name: 'new', disks });
        await sampler.untilStderr('new has xvda\n');
        await host.removeGuest(domid);
        await sampler.untilStderr('new has xvda no more\n');
        const { stderr } = await sampler.end();
        expect(stderr).toBe('new has xvda\nnew has xvda no more\n');
      });

      test('agent.mjs serves its own metrics and those of the disks', async () => {
        const agent = await interrupt(example('agent.mjs', '0'), project, env);
        const response = await fetch(agent.stdout.trim());
        const metrics = await response.text();
        expect(metrics).toContain(
          `\nagent_disk_written_bytes_total{domain="db",disk="sda1"} ${1443360 * 512}\n`,
        );
        expect(metrics).toContain('\nprocess_cpu_seconds_total ');
        expect(await agent.end()).toEqual({ stderr: '', status: 0 });
      });
    });

    test('own.test.mjs passes', () => {
      const { stdout, status } = run([
        process.execPath,
        '--test-reporter=tap',
        '--test',
        'own.test.mjs',
      ]);
      expect(stdout).toMatch(/^# pass [1-9]/m);
      expect({ status, failed: /^# fail (.*)$/m.exec(stdout)?.[1] }).toEqual({
        status: 0,
        failed: '0',
      });
    });

    test('are all tested here', () => {
      expect(readdirSync(join(ROOT, 'examples'))).toEqual([
        'agent.mjs',
        'own.test.mjs',
        'sampler.mjs',
      ]);
    });
  });
});

/** Returns the anchors of the headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** Returns a pattern for the expected output, with any timestamp, and any text for three dots. */
function toPattern(output: string): RegExp {
  const escaped = output
    .trimEnd()
    .replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\\\.\d{3}Z/g, '[0-9-]{10}T[0-9:.]{12}Z')
    .replaceAll('\\.\\.\\.', '[^]*');
  return new RegExp(`^${escaped}\\s*$`);
}
