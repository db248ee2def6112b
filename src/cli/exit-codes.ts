/** The meaning of each exit code, for help and manual page. */
import { EXIT_CODES } from '#wire';
import { wrapAscii } from './render/wrap.ts';

export type ExitName = keyof typeof EXIT_CODES;

export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done; scan: every future guest write fits, in every store',
  usage: 'usage error',
  doesNotFit: 'scan: the images can outgrow a store; admit, create: the new one does not fit',
  undetermined: 'scan, who, admit, create: unknown: part of the store is unreadable, or its properties cannot be verified',
  notFound: 'file, directory, daemon, store or reservation not found',
  corrupt: 'an image contradicts its format',
  unsupported: 'an unsupported format or feature',
  refused: 'a file that the policy does not allow plimsoll to open',
  overBudget: 'an image requires more work than its size warrants',
  busy: 'a required resource is in use',
  io: 'a read or write failed on the host',
  conflict: 'the file to be created exists already, or a reservation for a different request',
  vetRefused: 'vet: the image is dangerous, damaged or against the policy',
  vetAmbiguous: 'vet: the image is ambiguous between formats',
  vetConvert: 'vet: the image may only be copied once, in a sandbox, into a clean image; it must not be attached',
  vetHeaderOnly: 'vet: only the header was examined (a stream whose tables were not retained)',
  vetUnrecognised: 'vet: the file has no sign of being a disk; it may be attached as raw',
  inUse: 'who: an image is in use, and no writer was found',
  beingWritten: 'who: an image is open for writing',
  bug: 'a bug in plimsoll, please report it',
  interrupted: 'interrupted by a signal',
  closedPipe: 'the reader of the output has exited',
};

const INDENT = '       ';

/** The possible outcomes of every command. */
const ALWAYS: readonly ExitName[] = ['ok', 'usage', 'io', 'bug', 'interrupted', 'closedPipe'];

/** `names` and those that every command has, in the order of their codes. */
export function withCommonExits(names: readonly ExitName[]): readonly ExitName[] {
  return (Object.keys(EXIT_CODES) as ExitName[]).filter((name) => names.includes(name) || ALWAYS.includes(name));
}

/** The table of `names`, or of all codes, in lines of `width`; `special` says what a code means in one command alone. */
export function exitCodeLines(
  width: number,
  names: readonly ExitName[] = Object.keys(EXIT_CODES) as ExitName[],
  special: Partial<Record<ExitName, string>> = {},
): string[] {
  const lines = names.flatMap((name) =>
    wrapAscii(special[name] ?? EXIT_MEANINGS[name], width - INDENT.length).map(
      (line, index) => (index === 0 ? `  ${String(EXIT_CODES[name]).padStart(3)}  ` : INDENT) + line,
    ),
  );
  return ['Exit codes:', ...lines];
}
