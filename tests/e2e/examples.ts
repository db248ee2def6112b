/**
 * The examples of README.md and docs/, found and compared.
 *
 * A fenced block ```console is a session that the tests run: a line `$ COMMAND` (continued while it ends in a
 * backslash) is given to bash, what follows up to the next `$ ` is what it prints, standard error included. The blocks of
 * a page share one directory, in which `vm/` holds base.qcow2, web.qcow2, mail.qcow2 (an overlay on base.qcow2) and
 * db.raw; blocks of other pages are not seen. Where the output differs from machine to machine:
 *
 *   - a line that is only `...` stands for any lines, also none;
 *   - `...` inside a line stands for any characters, also none; spaces at its edges are free in number;
 *   - behind a command `# exit 10` expects that exit code, else 0.
 *
 * A block ```ts that imports 'plimsoll' is run too and must end well. Other blocks (sh, text, json) are not run.
 */

export interface Command {
  readonly line: string;
  readonly exitCode: number;
  /** Expected lines, placeholders included. */
  readonly output: readonly string[];
  /** Line of the page where the command stands. */
  readonly at: number;
}

export interface Example {
  readonly language: 'console' | 'ts';
  readonly at: number;
  readonly text: string;
}

/** Fenced blocks of `page` that are run, in order. */
export function examplesOf(page: string): Example[] {
  const found: Example[] = [];
  for (const match of page.matchAll(/^```(\w+)[^\n]*\n(.*?)^```$/gms)) {
    const [, language, text = ''] = match;
    const at = page.slice(0, match.index).split('\n').length + 1;
    if (language === 'console') found.push({ language, at, text });
    else if (language === 'ts' && /from 'plimsoll'/.test(text)) found.push({ language, at, text });
  }
  return found;
}

export function commandsOf(example: Example): Command[] {
  const commands: { line: string; exitCode: number; output: string[]; at: number }[] = [];
  let continues = false;
  for (const [index, line] of example.text.replace(/\n$/, '').split('\n').entries()) {
    const last = commands.at(-1);
    if (continues && last !== undefined) last.line += `\n${line}`;
    else if (line.startsWith('$ ')) commands.push({ line: line.slice(2), exitCode: 0, output: [], at: example.at + index });
    else if (last === undefined) throw new Error(`line ${example.at + index}: a console block begins with a command`);
    else last.output.push(line);
    continues = (continues || line.startsWith('$ ')) && line.endsWith('\\');
  }
  return commands.map((one) => ({ ...one, exitCode: Number(/# exit (\d+)$/.exec(one.line)?.[1] ?? 0) }));
}

/** Whether `printed` is what `expected` describes, placeholders filled in any way. Blank lines at the end do not count. */
export function agrees(expected: readonly string[], printed: string): boolean {
  const lines = expected.join('\n').trimEnd().split('\n');
  const pattern = lines.map((line) => (line.trim() === '...' ? '(?:.*\n)*?' : `${linePattern(line)}\n`)).join('');
  return new RegExp(`^${pattern}$`).test(printed.trimEnd() === '' && pattern === '\n' ? '\n' : `${printed.trimEnd()}\n`);
}

function linePattern(line: string): string {
  return line
    .trimEnd()
    .split(/ *\.\.\. */)
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
    .concat(' *');
}
