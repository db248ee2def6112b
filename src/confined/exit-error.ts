/** The typed error for each end of a session that was not asked for. */
import { setTimeout as wait } from 'node:timers/promises';
import { PlimsollError } from '#base';
import type { JailEnd } from '#host';
import type { Limits } from './limits.ts';

export type LimitCode = 'WORKER_TIME' | 'WORKER_CPU' | 'WORKER_MEMORY' | 'WORKER_OUTPUT' | 'WORKER_FILES';

/** Why a session ended. */
export type SessionEnd =
  | { readonly reason: 'closed' }
  | { readonly reason: 'error'; readonly error: unknown }
  | { readonly reason: 'exit'; readonly exit: JailEnd };

export interface EndContext {
  readonly image: string;
  readonly limits: Limits;
  /** The beginning of standard error. */
  readonly stderr: string;
  readonly isReady: boolean;
}

/** The many wordings of V8 and Node; only the code of the error depends on them. */
const OUT_OF_MEMORY = /out of memory|out-of-memory|Allocation failed|bad_alloc|Fatal process OOM/i;
/** The kernel's memory killer, an administrator, the end of the login session. */
const FROM_OUTSIDE: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP']);
/** Signals by number, on Linux but alpha, mips, parisc and sparc; bubblewrap adds 128. Source: asm-generic/signal.h */
const SIGNALS: Readonly<Record<number, string>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  4: 'SIGILL',
  5: 'SIGTRAP',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
  24: 'SIGXCPU',
  31: 'SIGSYS',
};

/** The error for a worker that exited, or whose session was closed with the request unanswered. */
export function exitError(end: Extract<SessionEnd, { readonly reason: 'closed' | 'exit' }>, context: EndContext): PlimsollError {
  const { stderr, isReady } = context;
  // A killed worker may hang in the kernel: then no exit is known.
  if (end.reason === 'closed') return died('bug', 'WORKER_ENDED', 'was closed before it answered', context);
  const { code, signal } = end.exit;
  const lines = stderr.trim().split('\n');
  if (!isReady && lines[0]?.startsWith('bwrap: ') === true) return sandboxUnavailable(lines[0]);
  const ended = signal ?? (code === null ? undefined : SIGNALS[code - 128]);
  if (ended === 'SIGXCPU') return limitError('WORKER_CPU', context);
  if (OUT_OF_MEMORY.test(stderr)) return limitError('WORKER_MEMORY', context);
  if (ended !== undefined && FROM_OUTSIDE.has(ended)) return died('io', 'WORKER_KILLED', `was killed by ${ended}`, context);
  if (code === 0) return died('bug', 'WORKER_ENDED', 'ended without an answer', context);
  const reason = lines.find((line) => /^\w*Error\b/.test(line)) ?? lines[0] ?? '';
  return died('bug', 'WORKER_CRASHED', `ended by ${ended ?? `exit code ${code}`}${reason === '' ? '' : `: ${reason}`}`, context);
}

export function limitError(
  code: LimitCode,
  { image, limits, most }: Pick<EndContext, 'image' | 'limits'> & { most?: string },
): PlimsollError {
  const bounds: Readonly<Record<LimitCode, string>> = {
    WORKER_TIME: `${limits.wallMs} ms of wall time`,
    WORKER_CPU: `${limits.cpuSeconds} s of processor time`,
    WORKER_MEMORY: `${limits.memoryBytes} bytes of memory`,
    WORKER_OUTPUT: `${limits.outputBytes} bytes of output`,
    WORKER_FILES: most ?? '',
  };
  return new PlimsollError('over-budget', code, {
    doing: 'read image',
    image,
    found: 'limit exceeded',
    expected: `at most ${bounds[code]}`,
  });
}

function died(
  kind: 'io' | 'bug',
  code: 'WORKER_KILLED' | 'WORKER_ENDED' | 'WORKER_CRASHED',
  found: string,
  { image }: EndContext,
): PlimsollError {
  return new PlimsollError(kind, code, { doing: 'read image', image, found: `the sandboxed reader ${found}` });
}

function sandboxUnavailable(found: string): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'sandbox the reader of the image',
    found,
    expected: 'user namespaces for this user, and bubblewrap 0.4 or newer; or --unconfined to read the image without sandboxing',
  });
}

/** Keeps no process alive. */
export function delay(ms: number): Promise<void> {
  return wait(ms, undefined, { ref: false });
}
