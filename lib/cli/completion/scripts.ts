import type { CommandWords } from './words';

/** Returns a script for bash: the words after each command, and after each option with a value. */
export function toBash(commands: CommandWords[]): string {
  const cases = commands.flatMap(({ name, options, operands }) => {
    const words = [...operands, ...options.map((option) => option.name)];
    if (name === '') return [`1:*) words=${quote(words.join(' '))}`];
    return [
      ...options
        .filter((option) => option.hasValue)
        .map((option) => `*:${name}:${option.name}) words=${quote(option.values.join(' '))}`),
      `*:${name}:*) words=${quote(words.join(' '))}`,
    ];
  });
  return `# bash completion of xen-block-stats
_xen_block_stats() {
  local words
  # the current word is $2, the one before it $3
  case $COMP_CWORD:\${COMP_WORDS[1]}:$3 in
${cases.map((line) => `    ${line} ;;`).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$2"))
}
complete -F _xen_block_stats xen-block-stats
`;
}

/** Returns a script for zsh. It can be sourced, or be a file of `fpath`. */
export function toZsh(commands: CommandWords[]): string {
  const escape = (text: string) => text.replaceAll(/[[\]:\\]/g, '\\$&');
  const described = commands
    .filter(({ name }) => name !== '')
    .map(({ name, description }) => quote(`${name}:${escape(description)}`));
  const cases = commands.map(({ name, options, operands }) => {
    const specs = options.map(({ name: option, description, hasValue, values }) => {
      const spec = `${option}${hasValue ? '=' : ''}[${escape(description)}]`;
      return hasValue ? `${spec}:value:(${values.join(' ')})` : spec;
    });
    // the commands are completed with their descriptions
    const operand = name === '' ? [] : [`1:operand:(${operands.join(' ')})`];
    const lines = [...specs, ...operand].map((spec) => ` \\\n        ${quote(spec)}`);
    return `    ${quote(name)})\n      _arguments${lines.join('')} ;;`;
  });
  return `#compdef xen-block-stats
_xen-block-stats() {
  local command=
  if (( CURRENT == 2 )); then
    local -a commands=(
      ${described.join('\n      ')}
    )
    _describe command commands
  else
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _xen-block-stats ]]; then
  _xen-block-stats "$@"
else
  compdef _xen-block-stats xen-block-stats
fi
`;
}

/** Returns a script for fish. */
export function toFish(commands: CommandWords[]): string {
  const lines = commands.flatMap(({ name, options, operands }) => {
    const condition = name === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${name}`;
    const complete = `complete -c xen-block-stats -n ${quote(condition)}`;
    return [
      ...operands.map((operand) => {
        const command = commands.find((it) => name === '' && it.name === operand);
        return `${complete} -a ${operand} -d ${quote(command?.description ?? '')}`;
      }),
      ...options.map(
        ({ name: option, description, hasValue, values }) =>
          `${complete} -l ${option.slice(2)}${hasValue ? ` -x -a ${quote(values.join(' '))}` : ''} -d ${quote(description)}`,
      ),
    ];
  });
  return [
    '# fish completion of xen-block-stats',
    'complete -c xen-block-stats -f',
    ...lines,
    '',
  ].join('\n');
}

/** Quotes text for each of the shells. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
