/** `--json` and `--output`, identical in every command that reports figures. */
import { type Command, Option } from 'commander';
import { type Assumption, ASSUMPTIONS, PlimsollError } from '#base';

export type OutputMode = 'human' | 'json';

export interface OutputFlags {
  readonly json?: true;
  readonly output?: OutputMode;
}

export function addOutputOptions<C extends Command>(command: C): C {
  command.addOption(new Option('--output <style>', 'output style: text or JSON').choices(['human', 'json']).default('human'));
  command.addOption(new Option('--json', 'the same as --output json').implies({ output: 'json' }));
  return command;
}

/** `--assume`, the same in every command whose answer can rest on a declaration. */
export function addAssumeOption<C extends Command>(command: C): C {
  return command.option(
    '--assume <declaration>',
    `declare a fact that plimsoll cannot determine: ${ASSUMPTIONS.join(', ')} (may be repeated, or a list with commas)`,
    collectAssumptions,
  );
}

function collectAssumptions(text: string, declared: readonly Assumption[] = []): Assumption[] {
  const words = text.split(',').map((word) => word.trim());
  for (const word of words) {
    if (ASSUMPTIONS.includes(word as Assumption)) continue;
    throw new PlimsollError('usage', 'ASSUME_SYNTAX', { doing: 'parse --assume', found: word, expected: ASSUMPTIONS.join(', ') });
  }
  return [...new Set([...declared, ...(words as Assumption[])])];
}

/** Appends the value of an option that may be given several times. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}
