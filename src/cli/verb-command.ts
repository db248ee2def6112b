/** A command whose help explains its figures, shows examples and lists its exit codes. */
import { Command } from 'commander';
import { DEFINITIONS } from '#wire';
import { type ExitName, exitCodeLines, withCommonExits } from './exit-codes.ts';
import { wrapAscii } from './render/wrap.ts';

export interface Example {
  /** Its purpose, in a few words. */
  readonly does: string;
  readonly line: string;
}

export interface CommandHelp {
  /** One line, for the list of commands. */
  readonly summary: string;
  /** A few sentences, for the head of the help. */
  readonly description: string;
  /** The figures that the command prints. */
  readonly figures: readonly (keyof typeof DEFINITIONS)[];
  readonly examples: readonly Example[];
  /** Its exit codes, beside those of every command. */
  readonly exits: readonly ExitName[];
  /** The meaning of its exit codes, where it differs from the general one. */
  readonly exitMeanings?: Partial<Record<ExitName, string>>;
  /** Instead of all these: a command whose exit codes are prescribed by another standard. */
  readonly ownExits?: readonly (readonly [code: number, meaning: string])[];
}

const FIGURE_COLUMN = 12;

/** A command line as it can be typed, continued where it is wider than `width`; quoted words stay whole. */
function shellLines(line: string, width: number): string[] {
  if (line.length + 2 <= width) return [`  ${line}`];
  const words = line.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    // Leaves space for the blank, the word, and the continuation mark.
    if (last !== undefined && last.length + 1 + word.length + 2 <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${last === undefined ? '  ' : '    '}${word}`);
  }
  return lines.map((one, index) => (index < lines.length - 1 ? `${one} \\` : one));
}

export class VerbCommand extends Command {
  readonly commandHelp: CommandHelp;

  constructor(name: string, commandHelp: CommandHelp) {
    super(name);
    this.commandHelp = commandHelp;
    this.summary(commandHelp.summary);
    this.description(
      `plimsoll ${name}: ${commandHelp.summary}${commandHelp.summary.endsWith('?') ? '' : '.'}\n\n${commandHelp.description}`,
    );
    this.addHelpText('after', () => `\n${this.#helpSections().join('\n')}`);
  }

  #helpSections(): string[] {
    const { figures, examples, exits } = this.commandHelp;
    const width = this.configureHelp().helpWidth ?? 80;
    const lines: string[] = [];
    if (figures.length > 0) {
      lines.push('Figures:');
      for (const figure of figures) {
        const indent = ' '.repeat(FIGURE_COLUMN + 2);
        const definition = wrapAscii(DEFINITIONS[figure], width - indent.length);
        lines.push(...definition.map((line, index) => (index === 0 ? `  ${figure.padEnd(FIGURE_COLUMN)}${line}` : indent + line)));
      }
      lines.push('');
    }
    if (examples.length > 0) {
      lines.push('Examples:');
      for (const example of examples)
        lines.push(...wrapAscii(example.does, width - 4).map((line) => `  # ${line}`), ...shellLines(example.line, width));
      lines.push('');
    }
    const { ownExits } = this.commandHelp;
    if (ownExits !== undefined)
      return [...lines, 'Exit codes:', ...ownExits.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`)];
    return [...lines, ...exitCodeLines(width, withCommonExits(exits), { ok: 'done', ...this.commandHelp.exitMeanings })];
  }
}
