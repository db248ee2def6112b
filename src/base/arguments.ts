/**
 * Checks arguments of the library at run time: a JavaScript caller gets a usage error instead of undefined behaviour.
 */
import { type ErrorValue, PlimsollError } from './errors.ts';

export interface Argument {
  /** The function of the library: `figures()`. */
  readonly call: string;
  readonly name: string;
  readonly value: unknown;
  readonly expected: string;
}

/** Throws: usage, LIBRARY_ARGUMENT, unless `isRight`. */
export function requireArgument(isRight: boolean, { call, name, value, expected }: Argument): void {
  if (isRight) return;
  throw new PlimsollError('usage', 'LIBRARY_ARGUMENT', { doing: `call ${call}`, field: name, found: described(value), expected });
}

/** A path, as a text or as bytes. */
export function requirePath(call: string, value: unknown, name = 'path'): void {
  requireArgument(isPath(value), { call, name, value, expected: 'a string or a Buffer' });
}

/** A list of paths, or nothing. */
export function requirePaths(call: string, name: string, value: unknown): void {
  const isRight = value === undefined || (Array.isArray(value) && value.every(isPath));
  requireArgument(isRight, { call, name, value, expected: 'an array of paths' });
}

/** A format that can be read and made. */
export function requireFormat(call: string, value: unknown, name = 'format'): void {
  requireArgument(value === 'raw' || value === 'qcow2', { call, name, value, expected: "'raw' or 'qcow2'" });
}

/** An object with options. */
export function requireOptions(call: string, value: unknown, name = 'options', expected = 'an object'): void {
  requireArgument(typeof value === 'object' && value !== null, { call, name, value, expected });
}

/** An AbortSignal, or nothing. */
export function requireSignal(call: string, value: unknown): void {
  const isRight = value === undefined || (typeof value === 'object' && value !== null && 'aborted' in value && 'throwIfAborted' in value);
  requireArgument(isRight, { call, name: 'signal', value, expected: 'an AbortSignal' });
}

function isPath(value: unknown): boolean {
  return typeof value === 'string' || value instanceof Uint8Array;
}

function described(value: unknown): ErrorValue {
  if (typeof value === 'string') return value === '' ? 'an empty string' : value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return value;
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'function' ? 'a function' : 'an object';
}
