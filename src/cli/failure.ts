/** Converts any thrown value into a line on standard error and an exit code. */
import { CommanderError } from 'commander';
import { asPlimsollError, escapeForTerminal, PlimsollError } from '#base';
import { EXIT_CODES, exitCodeOfError } from '#wire';
import type { Session } from './session.ts';
import { VERSION } from './version.ts';

/** Prints the error and returns its exit code. */
export function reportFailure(thrown: unknown, session: Session): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
  if (session.signal.aborted && !(thrown instanceof PlimsollError && thrown.kind === 'bug')) {
    session.warn('plimsoll: interrupted');
    return EXIT_CODES.interrupted;
  }
  const error = asPlimsollError(thrown, 'complete the command');
  session.warn(`plimsoll: ${failureText(error)}`);
  if (error.kind === 'bug') for (const line of bugReport(error)) session.warn(line);
  return exitCodeOfError(error);
}

/** The message, preceded by the image if it does not contain it. */
export function failureText(error: PlimsollError): string {
  const { image } = error.where;
  if (image === undefined || error.message.includes(image)) return error.message;
  return `${escapeForTerminal(image)}: ${error.message}`;
}

function bugReport(error: PlimsollError): string[] {
  const origin = error.cause instanceof Error ? error.cause : error;
  return [
    ...(origin.stack ?? '').split('\n').map(escapeForTerminal),
    'This is a bug in plimsoll. Please report it on the issue tracker of the project, with these lines,',
    `plimsoll ${VERSION}, Node ${process.version}, ${process.platform} ${process.arch}, and the command line.`,
  ];
}
