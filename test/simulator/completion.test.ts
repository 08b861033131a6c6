import { execFileSync } from '../support/child-process';
import { needing } from '../support/needs';
import { MAIN } from '../support/paths';
import { Tmux } from '../support/tmux';

/*
 * The scripts of the command completion, in the shells themselves.
 */

jest.setTimeout(60_000);

const cli = (...args: string[]) =>
  execFileSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

/** The options that the help of a command lists. */
const optionsOf = (command: string) =>
  [...cli(command, '--help').matchAll(/^ +(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option);

/** What can follow `xen-block-stats ` and these words; the last one is incomplete. */
type Complete = (...words: string[]) => string[];

const bash: Complete = (...words) => {
  const script = `${cli('completion', 'bash')}
    COMP_WORDS=(xen-block-stats "$@"); COMP_CWORD=$#
    _xen_block_stats xen-block-stats "\${COMP_WORDS[-1]}" "\${COMP_WORDS[-2]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  return linesOf(execFileSync('bash', ['-c', script, 'bash', ...words], { encoding: 'utf8' }));
};

const fish: Complete = (...words) => {
  const script = `${cli('completion', 'fish')}
    complete -C 'xen-block-stats ${words.join(' ')}'`;
  // a description follows each word
  return linesOf(execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' })).map(
    (line) => line.split('\t')[0] ?? '',
  );
};

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '');

const sorted = (words: readonly unknown[]) => [...words].sort();

describe.each<[string, Complete, typeof test]>([
  ['bash', bash, test],
  ['fish', fish, needing('fish').test as typeof test],
])('the completion of %s', (_shell, complete, testShell) => {
  testShell('has the commands', () => {
    const commands = [
      'list',
      'stat',
      'top',
      'record',
      'devid',
      'serve',
      'demo',
      'completion',
      'help',
    ];
    expect(complete('')).toEqual(expect.arrayContaining(commands));
    expect(complete('--v')).toEqual(['--version']);
    expect(complete('st')).toEqual(['stat']);
    expect(sorted(complete('help', ''))).toEqual(sorted(commands));
  });

  testShell('has the options of each command, and no other ones', () => {
    for (const command of ['list', 'stat', 'top', 'record', 'devid', 'serve', 'demo']) {
      expect(sorted(complete(command, '--'))).toEqual(sorted(optionsOf(command)));
    }
  });

  testShell('has the values of options and operands that are enumerated', () => {
    expect(sorted(complete('top', '--by', ''))).toEqual(['disk', 'domain']);
    expect(complete('top', '--batch', '--sort', 'rk')).toEqual(['rkB/s']);
    expect(complete('top', '--count', '')).toEqual([]);
    expect(sorted(complete('serve', '--names', ''))).toEqual(['libvirt', 'xen']);
    expect(complete('completion', 'z')).toEqual(['zsh']);
  });
});

needing('zsh', 'tmux').test('the completion of zsh completes what is typed', async () => {
  const tmux = await Tmux.start({ TERM: 'screen', SCRIPT: cli('completion', 'zsh') });
  const isTyped = (text: string) => (lines: string[]) => lines.includes(text);
  try {
    tmux.type("PS1='> ' zsh -f", 'Enter');
    await tmux.until('the prompt', isTyped('>'));
    tmux.type('autoload -U compinit && compinit -u -D && eval "$SCRIPT" && clear', 'Enter');
    await tmux.until('the prompt', (lines) => lines[0] === '>');
    for (const [typed, completed] of [
      ['de', 'de'],
      ['dem', 'demo'],
      ['top --ba', 'top --batch'],
      ['top --by disk --so', 'top --by disk --sort='],
      ['top --sort=rk', 'top --sort=rkB/s'],
      ['completion f', 'completion fish'],
    ] as const) {
      tmux.type(`xen-block-stats ${typed}`, 'Tab');
      await tmux.until(completed, isTyped(`> xen-block-stats ${completed}`));
      tmux.type('C-c');
      await tmux.until('the prompt', (lines) => lines.findLast((line) => line !== '') === '>');
    }
  } finally {
    await tmux.close();
  }
});
