import { Argument, type Command } from 'commander';
import { toBash, toFish, toZsh } from './scripts';
import { describeCommands } from './words';

const SCRIPTS = { bash: toBash, zsh: toZsh, fish: toFish };

const HELP = `
To complete the commands and their options in the current shell:
  bash: source <(xen-block-stats completion bash)
  zsh:  source <(xen-block-stats completion zsh)
  fish: xen-block-stats completion fish | source
`;

export function define(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', HELP)
    .action((shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell](describeCommands(program)));
    });
}
