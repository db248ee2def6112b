/** The images named on the command line: the operands and, with `-`, the names on standard input, as bytes. */
import { readFileSync } from 'node:fs';
import { PlimsollError } from '#base';

const NEWLINE = 10;
const NUL = 0;
/** Longer than any path that Linux accepts; a name without end is refused rather than kept. */
const MAX_NAME_LENGTH = 65_536;

export interface NameSource {
  readonly operands: readonly string[];
  /** Names on standard input end with NUL instead of a newline. */
  readonly nulSeparated: boolean;
  readonly input: AsyncIterable<Buffer>;
}

/** Every name in order; a name that is not UTF-8 stays bytes. */
export async function* imageNames(source: NameSource): AsyncGenerator<string | Buffer> {
  let readInput = false;
  for (const operand of source.operands) {
    if (operand !== '-') yield operand.includes('\ufffd') ? rawArgument(operand) : operand;
    else if (!readInput) {
      readInput = true;
      yield* splitNames(source.input, source.nulSeparated ? NUL : NEWLINE);
    }
  }
}

/** The parts of `input` between separators; empty ones are skipped. */
export async function* splitNames(input: AsyncIterable<Buffer>, separator: number): AsyncGenerator<string | Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of input) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let at = rest.indexOf(separator, from); at >= 0; at = rest.indexOf(separator, from)) {
      if (at > from) yield nameOf(rest.subarray(from, at));
      from = at + 1;
    }
    rest = rest.subarray(from);
    if (rest.length > MAX_NAME_LENGTH) {
      throw new PlimsollError('usage', 'NAME_TOO_LONG', {
        doing: 'read image names from standard input',
        found: `more than ${MAX_NAME_LENGTH} bytes without a separator`,
        expected: 'a path (with -0 separated by NUL, else by newlines)',
      });
    }
  }
  if (rest.length > 0) yield nameOf(rest);
}

function nameOf(bytes: Buffer): string | Buffer {
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes) ? text : Buffer.from(bytes);
}

/** Node decodes the command line and loses what is not UTF-8; the kernel still has the bytes. */
function rawArgument(decoded: string): string | Buffer {
  try {
    const words = splitAt(readFileSync('/proc/self/cmdline'), NUL);
    const matching = words.filter((word) => word.toString('utf8') === decoded);
    // Two names that decode alike cannot be distinguished here: the decoded one is then reported as not found.
    return matching.length === 1 && matching[0] !== undefined ? nameOf(matching[0]) : decoded;
  } catch {
    return decoded;
  }
}

function splitAt(bytes: Buffer, separator: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const at = bytes.indexOf(separator, from);
    const end = at < 0 ? bytes.length : at;
    pieces.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return pieces;
}
