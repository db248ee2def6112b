/** Errors and decisions as exit codes of commands and as HTTP statuses. */
import type { ErrorKind } from '#base';

/** Exit codes of the commands; printed in every command's help. 1 is left to Node itself. */
export const EXIT_CODES = {
  ok: 0,
  usage: 2,
  doesNotFit: 10,
  undetermined: 11,
  notFound: 12,
  corrupt: 13,
  unsupported: 14,
  refused: 15,
  overBudget: 16,
  busy: 17,
  io: 18,
  conflict: 19,
  inUse: 20,
  beingWritten: 21,
  vetRefused: 22,
  vetAmbiguous: 23,
  vetConvert: 24,
  vetHeaderOnly: 25,
  vetUnrecognised: 26,
  bug: 70,
  interrupted: 130,
  /** The code that a shell reports for a program ended by SIGPIPE; never 0, since the answer was not delivered. */
  closedPipe: 141,
} as const;

export const EXIT_CODE_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  usage: EXIT_CODES.usage,
  'not-found': EXIT_CODES.notFound,
  corrupt: EXIT_CODES.corrupt,
  unsupported: EXIT_CODES.unsupported,
  refused: EXIT_CODES.refused,
  'over-budget': EXIT_CODES.overBudget,
  busy: EXIT_CODES.busy,
  io: EXIT_CODES.io,
  conflict: EXIT_CODES.conflict,
  bug: EXIT_CODES.bug,
};

/**
 * A daemon that does not answer leaves the result unknown, unlike a missing daemon: these errors have the exit code of an
 * unknown result, whatever their kind.
 */
const EXIT_CODE_OF_CODE: Readonly<Record<string, number>> = {
  DAEMON_ANSWER: EXIT_CODES.undetermined,
  DAEMON_FAILED: EXIT_CODES.undetermined,
  DAEMON_LOST: EXIT_CODES.undetermined,
  DAEMON_SILENT: EXIT_CODES.undetermined,
  DAEMON_STOPPED: EXIT_CODES.undetermined,
  DAEMON_UNTRUSTED: EXIT_CODES.undetermined,
  FIT_UNANSWERED: EXIT_CODES.undetermined,
};

/** The exit code of an error that ends a command. */
export function exitCodeOfError({ kind, code }: { readonly kind: ErrorKind; readonly code: string }): number {
  return EXIT_CODE_OF_CODE[code] ?? EXIT_CODE_OF_KIND[kind];
}

const HTTP_STATUS_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  usage: 400,
  'not-found': 404,
  corrupt: 422,
  unsupported: 422,
  refused: 403,
  'over-budget': 413,
  busy: 503,
  io: 503,
  conflict: 409,
  bug: 500,
};

/** Where HTTP has a status of its own for what other ways of asking do not know. */
const HTTP_STATUS_OF_CODE: Readonly<Record<string, number>> = {
  TOKEN_WRONG: 401,
  CONTENT_TYPE: 415,
  HOST_FOREIGN: 421,
  HEADERS_TOO_LARGE: 431,
};

/** The HTTP status of an error. */
export function httpStatusOf({ kind, code }: { readonly kind: ErrorKind; readonly code: string }): number {
  return HTTP_STATUS_OF_CODE[code] ?? HTTP_STATUS_OF_KIND[kind];
}
