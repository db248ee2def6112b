/** The command definitions as plain data, from which completions and the manual page are generated. */
import type { Argument, Option } from 'commander';
import type { CommandHelp, VerbCommand } from './verb-command.ts';

/** The kind of a value, for completion. */
export type ValueKind = 'file' | 'directory' | 'choice' | 'text';

export interface DescribedValue {
  readonly kind: ValueKind;
  readonly placeholder: string;
  readonly choices: readonly string[];
}

export interface DescribedOption {
  /** `f`, without the dash. */
  readonly short: string | null;
  /** `format`, without the dashes. */
  readonly long: string;
  readonly text: string;
  /** Null for a flag. */
  readonly value: DescribedValue | null;
  readonly repeatable: boolean;
  /** The default. */
  readonly defaultValue: string | null;
}

export interface DescribedOperand extends DescribedValue {
  readonly required: boolean;
  readonly repeatable: boolean;
  readonly text: string;
}

export interface DescribedVerb {
  readonly name: string;
  readonly commandHelp: CommandHelp;
  readonly options: readonly DescribedOption[];
  readonly operands: readonly DescribedOperand[];
}

const HELP: DescribedOption = {
  short: 'h',
  long: 'help',
  text: 'display help for command',
  value: null,
  repeatable: false,
  defaultValue: null,
};

export function describeVerb(command: VerbCommand): DescribedVerb {
  return {
    name: command.name(),
    commandHelp: command.commandHelp,
    options: [...command.options.filter(({ hidden }) => !hidden).map(describeOption), HELP],
    operands: command.registeredArguments.map(describeOperand),
  };
}

function describeOption(option: Option): DescribedOption {
  const placeholder = /<([^>]+)>/.exec(option.flags)?.[1];
  return {
    short: option.short?.slice(1) ?? null,
    long: option.long?.slice(2) ?? '',
    text: option.description,
    value: placeholder === undefined ? null : describeValue(placeholder, option.argChoices),
    repeatable: /repeated/.test(option.description),
    defaultValue: typeof option.defaultValue === 'string' ? option.defaultValue : null,
  };
}

function describeOperand(operand: Argument): DescribedOperand {
  return {
    ...describeValue(operand.name(), operand.argChoices),
    required: operand.required,
    repeatable: operand.variadic,
    text: operand.description,
  };
}

/** Placeholders have one meaning in the whole command line, so that shells know what to offer. */
const KIND_OF_PLACEHOLDER: Readonly<Record<string, ValueKind>> = { directory: 'directory', image: 'file', path: 'file', backing: 'file' };

function describeValue(placeholder: string, choices: readonly string[] | undefined): DescribedValue {
  if (choices !== undefined) return { kind: 'choice', placeholder, choices };
  return { kind: KIND_OF_PLACEHOLDER[placeholder] ?? 'text', placeholder, choices: [] };
}
