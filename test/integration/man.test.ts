import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { man } from '../../package.json';
import { execFileSync, spawnSync } from '../support/child-process';
import { needing } from '../support/needs';
import { MAIN, ROOT } from '../support/paths';

const PAGE = join(ROOT, ...man);

describe('the manual page', () => {
  test('describes each command', () => {
    const help = execFileSync(process.execPath, [MAIN, '--help'], { encoding: 'utf8' });
    const commands = [...help.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name);
    expect(commands).toContain('list');
    const page = readFileSync(PAGE, 'utf8');
    for (const name of commands.filter((it) => it !== 'help')) {
      expect(page).toMatch(new RegExp(`^\\.SS ${name}\\b`, 'm'));
    }
  });

  needing('groff').test('is formatted without a warning', () => {
    const groff = (...options: string[]) => {
      const { stdout, stderr } = spawnSync(
        'groff',
        ['-man', '-ww', '-Kutf8', '-Tutf8', ...options, PAGE],
        {
          encoding: 'utf8',
        },
      );
      return { stdout, stderr };
    };
    expect(groff('-z')).toEqual({ stdout: '', stderr: '' });
    // -P -cbou: without bold, underlines and colours
    const text = groff('-P', '-cbou').stdout;
    expect(text).toMatch(/^NAME\n +xen-block-stats /m);
    expect(text).toContain('\n           xen-block-stats stat --demo web1 xvda\n');
    expect(text).not.toMatch(/<!--|`|\[.*\]\(/);
  });
});
