/**
 * The one error class of plimsoll: a closed kind to branch on, an open documented code, and where it happened.
 * The codes are listed in docs/errors.md; a test compares both directions.
 */
import { quoteForHumans } from './quote.ts';

/** The closed set of kinds. `wire` maps each to an exit code. */
export const ERROR_KINDS = [
  'usage',
  'not-found',
  'corrupt',
  'unsupported',
  'refused',
  'over-budget',
  'busy',
  'io',
  'conflict',
  'bug',
] as const;
export type ErrorKind = (typeof ERROR_KINDS)[number];

/** A value as it was found or expected; bytes from an image are quoted and escaped when printed. */
export type ErrorValue = string | number | bigint | boolean;

export interface ErrorWhere {
  /** What was being done, to follow "Cannot": `read qcow2 header`. */
  readonly doing: string;
  /** The field or structure concerned, in the specification's words: `cluster_bits`. */
  readonly field?: string;
  /** Path of the image or file concerned. */
  readonly image?: string;
  /** Byte position: inside a structure if below 4096, else an offset in the file. */
  readonly at?: number;
  readonly found?: ErrorValue;
  readonly expected?: ErrorValue;
  readonly cause?: unknown;
}

/** Marks the errors of every copy of the package in a process; registered, so that all copies have the same symbol. */
const BRAND = Symbol.for('plimsoll.PlimsollError');

/**
 * An error with a kind, a code and where it happened.
 *
 * The message reads `Cannot <doing>: <field> at byte <at> is <found>, expected <expected>`. `instanceof` recognises the errors of
 * another copy of the package too.
 */
export class PlimsollError extends Error {
  /** Whether `value` is a PlimsollError, of whichever copy of the package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && (value as { readonly [BRAND]?: unknown })[BRAND] === true;
  }

  readonly [BRAND] = true;
  override readonly name = 'PlimsollError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly where: ErrorWhere;

  constructor(kind: ErrorKind, code: string, where: ErrorWhere, message = describe(where)) {
    super(message, where.cause === undefined ? undefined : { cause: where.cause });
    this.kind = kind;
    this.code = code;
    this.where = where;
  }

  /** The error that `toJSON` made `serialized` of, its message to the letter. */
  static revive(serialized: SerializedError, image: string): PlimsollError {
    const { kind, code, message, ...where } = serialized;
    return new PlimsollError(kind, code, { doing: 'read image', image, ...where }, message);
  }

  /** The error as JSON carries it: `{kind, code, message, at?, found?, expected?}`. */
  toJSON(): SerializedError {
    const { at, found, expected, field } = this.where;
    return {
      kind: this.kind,
      code: this.code,
      message: this.message,
      ...(field === undefined ? {} : { field }),
      ...(at === undefined ? {} : { at }),
      ...(found === undefined ? {} : { found: jsonValue(found) }),
      ...(expected === undefined ? {} : { expected: jsonValue(expected) }),
    };
  }
}

export interface SerializedError {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message: string;
  readonly field?: string;
  readonly at?: number;
  readonly found?: string | number | boolean;
  readonly expected?: string | number | boolean;
}

/** The same error, whatever was thrown: what is not a PlimsollError becomes kind `bug`, an abort stays itself. */
export function asPlimsollError(thrown: unknown, doing: string, image?: string): PlimsollError {
  if (thrown instanceof PlimsollError) return thrown;
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
  const where = image === undefined ? {} : { image };
  if (isSystemError(cause)) {
    return new PlimsollError(kindOfErrno(cause.code), `IO_${cause.code}`, {
      doing,
      ...where,
      found: errnoText(cause.code),
      cause,
    });
  }
  return new PlimsollError('bug', 'INTERNAL', { doing, ...where, found: cause.message, cause });
}

function isSystemError(error: Error): error is Error & { code: string } {
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) && !code.startsWith('ERR_');
}

function kindOfErrno(errno: string): ErrorKind {
  if (errno === 'ENOENT' || errno === 'ENOTDIR') return 'not-found';
  if (errno === 'EEXIST') return 'conflict';
  return 'io';
}

function errnoText(errno: string): string {
  const words: Record<string, string> = {
    ENOENT: 'no such file or directory',
    ENOTDIR: 'a parent is not a directory',
    EACCES: 'permission denied',
    EPERM: 'operation not permitted',
    EEXIST: 'file exists',
    EISDIR: 'is a directory',
    ENOSPC: 'no space left on device',
    EIO: 'input/output error',
    ELOOP: 'too many symbolic links',
    EFBIG: 'file too large for the filesystem',
    EROFS: 'read-only filesystem',
    EADDRINUSE: 'address already in use',
    EADDRNOTAVAIL: 'address not available on this host',
    ECONNREFUSED: 'connection refused',
  };
  return words[errno] ?? errno;
}

function jsonValue(value: ErrorValue): string | number | boolean {
  return typeof value === 'bigint' ? value.toString() : value;
}

function describe(where: ErrorWhere): string {
  const parts: string[] = [`Cannot ${where.doing}`];
  const subject = where.field ?? '';
  const place = where.at === undefined ? '' : ` at ${where.at < 4096 ? `byte ${where.at}` : `offset 0x${where.at.toString(16)}`}`;
  const detail: string[] = [];
  if (where.found !== undefined) {
    const found = typeof where.found === 'string' ? quoteForHumans(where.found, 160) : String(where.found);
    detail.push(subject === '' ? `${found}${place}` : `${subject}${place} is ${found}`);
  } else if (subject !== '') detail.push(`${subject}${place}`);
  if (where.expected !== undefined) detail.push(`expected ${String(where.expected)}`);
  if (detail.length > 0) parts.push(detail.join(', '));
  return parts.join(': ');
}
