/** What each exit code says, for help and manual. */
import { EXIT_CODES } from '#wire';

export type ExitName = keyof typeof EXIT_CODES;

export const EXIT_MEANINGS: Readonly<Record<ExitName, string>> = {
  ok: 'done (scan: every future guest write fits)',
  usage: 'the command line is wrong',
  doesNotFit: 'scan: the images can outgrow a store',
  couldNotTell: 'could not tell: something could not be read or looked at',
  notFound: 'no such file or directory',
  corrupt: 'an image contradicts its format',
  unsupported: 'a format or feature that plimsoll does not know',
  refused: 'a file that the policy does not let plimsoll open',
  overBudget: 'an image asks for more work than its size warrants',
  busy: 'somebody else holds what is needed',
  io: 'the host could not read or write',
  conflict: 'the file to be created exists already',
  vetRefused: 'vet: the image is dangerous, damaged or against the policy',
  vetAmbiguous: 'vet: the image could be taken for two things',
  inUse: 'who: an image is in use, and nobody writes it',
  beingWritten: 'who: an image is open for writing',
  bug: 'a bug in plimsoll, please report it',
  interrupted: 'interrupted by a signal',
};

/** The table of `names`, or of all codes; `special` says what a code means in one command alone. */
export function exitCodeLines(
  names: readonly ExitName[] = Object.keys(EXIT_CODES) as ExitName[],
  special: Partial<Record<ExitName, string>> = {},
): string[] {
  return ['Exit codes:', ...names.map((name) => `  ${String(EXIT_CODES[name]).padStart(3)}  ${special[name] ?? EXIT_MEANINGS[name]}`)];
}
