/** The built command, run as a user runs it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const COMMAND = join(ROOT, 'dist', 'main.js');

if (!existsSync(COMMAND)) throw new Error('dist/main.js is missing: run `npm run build` before the end-to-end tests');

export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly ended: Promise<Ended>;
  /** What it has said so far. */
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
}

export interface RunChoice {
  readonly input?: Buffer | string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts `program` with a bare environment, so that nothing of the developer's terminal leaks in. */
export function start(program: string, words: readonly string[], choice: RunChoice = {}): Running {
  const env = { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', LC_ALL: 'C.UTF-8', ...choice.env };
  const child = spawn(program, words, { env, cwd: choice.cwd, stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.on('error', () => {}); // a program may exit before it has read everything
  child.stdin.end(choice.input ?? '');
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { ended, stdout: () => stdout, stderr: () => stderr, kill: (signal) => void child.kill(signal), pid: child.pid };
}

export function run(program: string, words: readonly string[], choice: RunChoice = {}): Promise<Ended> {
  return start(program, words, choice).ended;
}

/** `plimsoll words`. */
export function plimsoll(words: readonly string[], choice: RunChoice = {}): Promise<Ended> {
  return run(process.execPath, [COMMAND, ...words], choice);
}

/** `line` in a pseudo-terminal of 80 columns, with colours as a desktop would have them; util-linux's script(1). */
export function inTerminal(line: string, env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return run('script', ['-qefc', `stty cols 80 rows 24; ${line}`, '/dev/null'], { env: { TERM: 'xterm-256color', ...env } });
}

/** `text` as one word of a shell's command line. */
export function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
