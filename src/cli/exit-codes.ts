/** What each exit code says, for help and manual. */
import { EXIT_CODES } from '#wire';
import { wrapAscii } from './render/wrap.ts';

export type ExitName = keyof typeof EXIT_CODES;

export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done; scan: every future guest write fits, in every store',
  usage: 'the command line is wrong',
  doesNotFit: 'scan: the images can outgrow a store; admit, create: the new one does not fit',
  couldNotTell: 'scan, who, admit, create: could not tell, since something could not be read or cannot be promised',
  notFound: 'no such file or directory, and no daemon, store or reservation of that name',
  corrupt: 'an image contradicts its format',
  unsupported: 'a format or feature that plimsoll does not know',
  refused: 'a file that the policy does not let plimsoll open',
  overBudget: 'an image asks for more work than its size warrants',
  busy: 'somebody else holds what is needed',
  io: 'the host could not read or write',
  conflict: 'the file to be created exists already, or a reservation for something else',
  vetRefused: 'vet: the image is dangerous, damaged or against the policy',
  vetAmbiguous: 'vet: the image could be taken for two things',
  vetConvert: 'vet: the image may be read once, confined, into a clean copy; it must not be attached',
  vetHeaderOnly: 'vet: only the header was examined, as of a stream whose tables were not kept',
  vetUnrecognised: 'vet: nothing in the file shows that it is a disk; as raw it may be attached',
  inUse: 'who: an image is in use, and nobody writes it',
  beingWritten: 'who: an image is open for writing',
  bug: 'a bug in plimsoll, please report it',
  interrupted: 'interrupted by a signal',
  closedPipe: 'the reader of the output went away',
};

const INDENT = '       ';

/** How every command can end, whatever it is for. */
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
