/** The state of one run of the command: its streams, its abort signal, and the exit code so far. */
import { asPlimsollError } from '#base';
import { EXIT_CODES } from '#wire';
import { type Theme, themeOf } from './render/theme.ts';

export interface Session {
  /** Aborted by SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal;
  /** The format of standard output: its width and colour. */
  readonly theme: Theme;
  readonly errorTheme: Theme;
  exitCode: number;
  /** Writes to standard output, waiting while the reader is slow. */
  print(text: string): Promise<void>;
  /** Writes lines to standard output. */
  printLines(lines: readonly string[]): Promise<void>;
  /** Writes a line to standard error. */
  warn(line: string): void;
}

/** The session of this process; call it once. The second signal ends the process at once. */
export function openSession(): Session {
  const interruption = new AbortController();
  const interrupt = (): void => {
    if (interruption.signal.aborted) process.exit(EXIT_CODES.interrupted);
    interruption.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  // The terminal is gone: the work in progress is undone nevertheless.
  process.on('SIGHUP', interrupt);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_CODES.closedPipe);
    process.stderr.write(`plimsoll: ${asPlimsollError(error, 'write to standard output').message}\n`);
    process.exit(EXIT_CODES.io);
  });
  process.stderr.on('error', () => {}); // nothing reads standard error: the exit code still reports the failure
  const print = async (text: string): Promise<void> => {
    if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve));
  };
  return {
    signal: interruption.signal,
    theme: themeOf(process.stdout, process.env),
    errorTheme: themeOf(process.stderr, process.env),
    exitCode: EXIT_CODES.ok,
    print,
    printLines: (lines) => print(lines.map((line) => `${line}\n`).join('')),
    warn: (line) => {
      process.stderr.write(`${line}\n`);
    },
  };
}
