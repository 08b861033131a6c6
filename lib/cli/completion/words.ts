import type { Command } from 'commander';

/** An option, as the help of its command lists it. */
export interface OptionWords {
  /** With its dashes. */
  readonly name: string;
  readonly description: string;
  readonly hasValue: boolean;
  /** The values; empty if they are not enumerated. */
  readonly values: readonly string[];
}

/** The words that can follow the program's name, or the name of a command. */
export interface CommandWords {
  /** Empty for the program itself. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** The operands; empty if they are not enumerated. */
  readonly operands: readonly string[];
}

/** Returns the words of the program itself, and of each command. */
export function describeCommands(program: Command): CommandWords[] {
  const commands = program.createHelp().visibleCommands(program);
  const names = commands.map((command) => command.name());
  return [
    { ...describeCommand(program), name: '', operands: names },
    ...commands.map((command) => {
      const words = describeCommand(command);
      return words.name === 'help' ? { ...words, operands: names } : words;
    }),
  ];
}

function describeCommand(command: Command): CommandWords {
  const options = command.createHelp().visibleOptions(command);
  return {
    name: command.name(),
    description: command.description(),
    operands: command.registeredArguments[0]?.argChoices ?? [],
    options: options.map((option) => ({
      name: option.long ?? option.flags,
      description: option.description,
      hasValue: option.required,
      values: option.argChoices ?? [],
    })),
  };
}
