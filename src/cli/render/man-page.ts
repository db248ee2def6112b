/** Generates the manual page in roff from the command definitions. Source: man-pages(7), groff_man(7). */
import { DEFINITIONS, EXIT_CODES } from '#wire';
import type { DescribedOperand, DescribedOption, DescribedVerb } from '../describe.ts';
import { EXIT_MEANINGS, type ExitName } from '../exit-codes.ts';

export interface ManFacts {
  readonly purpose: string;
  readonly version: string;
  readonly verbs: readonly DescribedVerb[];
}

export function manPage(facts: ManFacts): string {
  const lines = [
    '.\\" Generated from the command definitions; changes belong there.',
    `.TH PLIMSOLL 1 "" "plimsoll ${roff(facts.version)}" "User Commands"`,
    // Long literal lines and option names must be neither hyphenated nor stretched.
    '.nh',
    '.ad l',
    '.SH NAME',
    `plimsoll \\- ${roff(facts.purpose)}`,
    '.SH SYNOPSIS',
    ...facts.verbs.flatMap(synopsis),
    '.B plimsoll help',
    '[\\fICOMMAND\\fR]',
    '.br',
    '.B plimsoll \\-\\-version',
    '.SH DESCRIPTION',
    'Reports how much storage disk images use and can ever use:',
    'for every image its capacity, its length, its current allocation and its maximum;',
    'for every filesystem whether every future guest write fits.',
    'Images are opened read\\-only, never locked and never changed.',
    '.SH COMMANDS',
    ...facts.verbs.flatMap(verbSection),
    '.SH FIGURES',
    ...Object.entries(DEFINITIONS).flatMap(([name, text]) => ['.TP', `.B ${roff(name)}`, roff(text)]),
    '.SH EXIT STATUS',
    ...(Object.keys(EXIT_CODES) as ExitName[]).flatMap((name) => ['.TP', `.B ${EXIT_CODES[name]}`, roff(EXIT_MEANINGS[name])]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B NO_COLOR',
    'When set and not empty, output is not coloured.',
    '.TP',
    '.B COLUMNS',
    'The width of the output if it is not a terminal (default: 80).',
    '.TP',
    '.B TMPDIR',
    'The parent directory of the store of demo, if none is given.',
    '.TP',
    '.B PLIMSOLL_NO_FFI',
    'If set to 1, koffi is not loaded: plimsoll works without file maps (FIEMAP).',
    '.SH SEE ALSO',
    '.BR qemu\\-img (1)',
  ];
  return `${lines.join('\n')}\n`;
}

function synopsis(verb: DescribedVerb): string[] {
  const operands = verb.operands.map(operandText).join(' ');
  return [`.B plimsoll ${roff(verb.name)}`, `[\\fIOPTION\\fR]...${operands === '' ? '' : ` ${operands}`}`, '.br'];
}

function operandText(operand: DescribedOperand): string {
  const name = `${operand.placeholder.toUpperCase()}${operand.repeatable ? '...' : ''}`;
  return operand.required ? roff(name) : `[${roff(name)}]`;
}

function verbSection(verb: DescribedVerb): string[] {
  return [
    `.SS ${roff(verb.name)}`,
    roff(verb.commandHelp.description),
    ...verb.operands.flatMap((operand) => ['.TP', operandText(operand), roff(operand.text)]),
    ...verb.options.flatMap(optionLines),
    ...(verb.commandHelp.examples.length === 0 ? [] : ['.PP', 'Examples:']),
    ...verb.commandHelp.examples.flatMap((one) => [
      '.PP',
      roff(one.does).replace(/[^?]$/, '$&:'),
      '.RS',
      '.nf',
      roff(one.line),
      '.fi',
      '.RE',
    ]),
  ];
}

function optionLines(option: DescribedOption): string[] {
  const words = [...(option.short === null ? [] : [`-${option.short}`]), `--${option.long}`].map((word) => `\\fB${roff(word)}\\fR`);
  const value = option.value === null ? '' : ` \\fI${roff(option.value.placeholder)}\\fR`;
  const choices = option.value?.kind === 'choice' ? ` (${option.value.choices.join(', ')})` : '';
  const fallback = option.defaultValue === null ? '' : `; default: ${option.defaultValue}`;
  return ['.TP', `${words.join(', ')}${value}`, roff(option.text + choices + fallback)];
}

/** Plain text as roff: a backslash, a hyphen-minus, and a line that would begin with a control character. */
export function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('−', '\\-').replaceAll("'", '\\(aq').replace(/^\./gm, '\\&.');
}
