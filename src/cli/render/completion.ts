/**
 * Generates completion scripts from the command definitions: completion starts no process, and the shell itself
 * completes files and directories.
 */
import type { DescribedOption, DescribedValue, DescribedVerb } from '../describe.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

export function completionScript(shell: Shell, verbs: readonly DescribedVerb[]): string {
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };
  return `${scripts[shell](verbs).join('\n')}\n`;
}

// bash

function bashScript(verbs: readonly DescribedVerb[]): string[] {
  const names = [...verbs.map((verb) => verb.name), 'help'].join(' ');
  return [
    '# bash completion for plimsoll; put it into /usr/share/bash-completion/completions/plimsoll',
    '_plimsoll() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} previous= verb= word',
    '  (( COMP_CWORD > 0 )) && previous=${COMP_WORDS[COMP_CWORD-1]}',
    // The = of --option=value is a word of its own to bash.
    '  if [[ $current == = ]]; then current=',
    '  elif [[ $previous == = ]] && (( COMP_CWORD > 1 )); then previous=${COMP_WORDS[COMP_CWORD-2]}',
    '  fi',
    '  COMPREPLY=()',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
    '    [[ $word != -* ]] && { verb=$word; break; }',
    '  done',
    '  case $verb in',
    '    "")',
    `      COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))`,
    '      ;;',
    '    help)',
    `      COMPREPLY=($(compgen -W "${names}" -- "$current"))`,
    '      ;;',
    ...verbs.flatMap(bashVerb),
    '  esac',
    '}',
    'complete -F _plimsoll plimsoll',
  ];
}

function bashVerb(verb: DescribedVerb): string[] {
  const valued = verb.options.filter((option) => option.value !== null);
  const words = verb.options.flatMap(optionWords).join(' ');
  return [
    `    ${verb.name})`,
    '      case $previous in',
    ...valued.map((option) => `        ${optionWords(option).join('|')}) ${bashReply(option.value as DescribedValue)}; return ;;`),
    '      esac',
    '      if [[ $current == -* ]]; then',
    `        COMPREPLY=($(compgen -W "${words}" -- "$current"))`,
    '      else',
    `        ${verb.operands[0] === undefined ? ':' : bashReply(verb.operands[0])}`,
    '      fi',
    '      ;;',
  ];
}

function bashReply(value: DescribedValue): string {
  if (value.kind === 'choice') return `COMPREPLY=($(compgen -W "${value.choices.join(' ')}" -- "$current"))`;
  if (value.kind === 'text') return ':';
  // Only file names are quoted, and directories end in a slash. mapfile preserves blanks inside a name.
  return `compopt -o filenames 2>/dev/null || :; mapfile -t COMPREPLY < <(compgen -${value.kind === 'directory' ? 'd' : 'f'} -- "$current")`;
}

// zsh

function zshScript(verbs: readonly DescribedVerb[]): string[] {
  return [
    '#compdef plimsoll',
    '# zsh completion for plimsoll; put it into a directory of $fpath as _plimsoll',
    '_plimsoll() {',
    '  local curcontext="$curcontext" state line',
    '  typeset -A opt_args',
    "  _arguments -C '(-h --help)'{-h,--help}'[display help]' '(-V --version)'{-V,--version}'[print the version]' \\",
    "    '1: :->verb' '*:: :->operands'",
    '  case $state in',
    '    verb)',
    '      local -a verbs',
    '      verbs=(',
    ...verbs.map((verb) => `        ${quoteShell(`${verb.name}:${verb.commandHelp.summary}`)}`),
    "        'help:help for one command'",
    '      )',
    "      _describe 'command' verbs",
    '      ;;',
    '    operands)',
    '      case $words[1] in',
    ...verbs.flatMap(zshVerb),
    '        help)',
    `          _arguments '1:command:(${[...verbs.map((verb) => verb.name), 'help'].join(' ')})'`,
    '          ;;',
    '      esac',
    '      ;;',
    '  esac',
    '}',
    // Works both autoloaded from $fpath and sourced from a start-up file.
    'if [ "$funcstack[1]" = "_plimsoll" ]; then _plimsoll "$@"; else compdef _plimsoll plimsoll; fi',
  ];
}

function zshVerb(verb: DescribedVerb): string[] {
  const specs = [...verb.options.flatMap(zshOption), ...verb.operands.map(zshOperand)];
  return [`        ${verb.name})`, '          _arguments -s \\', `            ${specs.join(' \\\n            ')}`, '          ;;'];
}

function zshOption(option: DescribedOption): string[] {
  const text = zshEscape(option.text);
  const value = option.value === null ? '' : `:${zshEscape(option.value.placeholder)}:${zshAction(option.value)}`;
  const once = option.repeatable || option.short === null ? '' : `(${optionWords(option).join(' ')})`;
  const star = option.repeatable ? '*' : '';
  // The value may be in the same word: after the = of a long option, or directly after a short one.
  const joint = (word: string): string => (option.value === null ? '' : word.startsWith('--') ? '=' : '+');
  return optionWords(option).map((word) => quoteShell(`${once}${star}${word}${joint(word)}[${text}]${value}`));
}

function zshOperand(operand: DescribedVerb['operands'][number], index: number): string {
  const place = operand.repeatable ? '*' : String(index + 1);
  return quoteShell(`${place}:${operand.required ? '' : ':'}${zshEscape(operand.placeholder)}:${zshAction(operand)}`);
}

function zshAction(value: DescribedValue): string {
  switch (value.kind) {
    case 'choice':
      return `(${value.choices.join(' ')})`;
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'text':
      return ' ';
  }
}

function zshEscape(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&');
}

// fish

function fishScript(verbs: readonly DescribedVerb[]): string[] {
  const names = verbs.map((verb) => verb.name);
  const noVerb = `not __fish_seen_subcommand_from ${names.join(' ')} help`;
  return [
    '# fish completion for plimsoll; put it into ~/.config/fish/completions/plimsoll.fish',
    'complete -c plimsoll -f',
    `complete -c plimsoll -n ${quoteFish(noVerb)} -s V -l version -d 'print the version'`,
    ...verbs.map((verb) => `complete -c plimsoll -n ${quoteFish(noVerb)} -a ${verb.name} -d ${quoteFish(verb.commandHelp.summary)}`),
    `complete -c plimsoll -n ${quoteFish(noVerb)} -a help -d 'help for one command'`,
    `complete -c plimsoll -n '__fish_seen_subcommand_from help' -a ${quoteFish(names.join(' '))}`,
    ...verbs.flatMap(fishVerb),
  ];
}

function fishVerb(verb: DescribedVerb): string[] {
  const seen = `complete -c plimsoll -n ${quoteFish(`__fish_seen_subcommand_from ${verb.name}`)}`;
  const operand = verb.operands[0];
  return [
    ...(operand === undefined || operand.kind === 'text' ? [] : [`${seen} ${fishValue(operand)}`]),
    ...verb.options.map((option) => {
      const short = option.short === null ? '' : ` -s ${option.short}`;
      const value = option.value === null ? '' : ` -r ${fishValue(option.value)}`;
      return `${seen}${short} -l ${option.long}${value} -d ${quoteFish(option.text)}`;
    }),
  ];
}

function fishValue(value: DescribedValue): string {
  switch (value.kind) {
    case 'choice':
      return `-f -a ${quoteFish(value.choices.join(' '))}`;
    case 'file':
      return '-F';
    case 'directory':
      return "-f -a '(__fish_complete_directories)'";
    case 'text':
      return '-f';
  }
}

// all of them

/** `-f` and `--format`, as typed. */
function optionWords(option: DescribedOption): string[] {
  return [...(option.short === null ? [] : [`-${option.short}`]), `--${option.long}`];
}

function quoteShell(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function quoteFish(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
