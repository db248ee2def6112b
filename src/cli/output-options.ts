/** `--json` and `--output`, the same in every command that reports figures. */
import { type Command, Option } from 'commander';

export type OutputMode = 'human' | 'json';

export interface OutputFlags {
  readonly json?: true;
  readonly output?: OutputMode;
}

export function addOutputOptions<C extends Command>(command: C): C {
  command.addOption(new Option('--output <style>', 'how to print: for people, or as JSON').choices(['human', 'json']).default('human'));
  command.addOption(new Option('--json', 'the same as --output json').implies({ output: 'json' }));
  return command;
}

/** Appends the value of an option that may be given several times. */
export function collect(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}
