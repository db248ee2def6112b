/** Requests to the ledger, and their limits. */
import { formatBytes, PlimsollError } from '#base';
import { MAX_TTL_SECONDS, MAX_KEY_LENGTH, MIN_TTL_SECONDS } from '#wire';

/** Of all clients together, and of one of them. */
export const MAX_HELD = 10_000;

export const MAX_HELD_OF_ONE = 2500;

/** A path or store is a file name at its longest. */
const MAX_NAME_LENGTH = 4096;

export interface LedgerRequest {
  /** 1 to 200 characters, any. */
  readonly key: string;
  readonly store: string;
  readonly bytes: number;
  readonly path: string | null;
  /** 1 second to 30 days. */
  readonly ttlSeconds: number;
  /** Who holds it, such as `user 1000`: a quota counts what each holds since the daemon started. Undefined: none counts. */
  readonly holder?: string | undefined;
}

export function requireSame(own: Pick<LedgerRequest, 'key' | 'store' | 'bytes' | 'path'>, { store, bytes, path }: LedgerRequest): void {
  if (own.store === store && own.bytes === bytes && own.path === path) return;
  throw new PlimsollError('conflict', 'RESERVATION_DIFFERS', {
    doing: 'reserve space',
    field: 'key',
    found: own.key,
    expected: `an unused key; this one already reserves ${formatBytes(own.bytes)} (${own.bytes} bytes) for a different request`,
  });
}

export function requireRequest({ key, store, bytes, path, ttlSeconds }: LedgerRequest): void {
  if (!isText(key, MAX_KEY_LENGTH)) throw invalid('key', key, `a string of 1 to ${MAX_KEY_LENGTH} characters`);
  if (!isText(store, MAX_NAME_LENGTH)) throw invalid('store', store, `a string of 1 to ${MAX_NAME_LENGTH} characters`);
  if (path !== null && !isText(path, MAX_NAME_LENGTH)) throw invalid('path', path, `a string of 1 to ${MAX_NAME_LENGTH} characters`);
  if (!Number.isSafeInteger(bytes) || bytes <= 0) throw invalid('bytes', bytes, 'an integer from 1 to 2^53 - 1');
  const isTtl = typeof ttlSeconds === 'number' && ttlSeconds >= MIN_TTL_SECONDS && ttlSeconds <= MAX_TTL_SECONDS;
  if (!isTtl) throw invalid('ttlSeconds', ttlSeconds, `${MIN_TTL_SECONDS} to ${MAX_TTL_SECONDS}`);
}

function isText(value: unknown, longest: number): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= longest;
}

function invalid(field: string, found: unknown, expected: string): PlimsollError {
  return new PlimsollError('usage', 'RESERVATION_INVALID', { doing: 'reserve space', field, found: String(found), expected });
}

export function tooMany(found: string, expected: string): PlimsollError {
  return new PlimsollError('over-budget', 'RESERVATIONS_TOO_MANY', { doing: 'reserve space', field: 'held reservations', found, expected });
}
