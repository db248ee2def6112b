/** Checked integer arithmetic on byte counts and offsets, all below 2^53. */
import { PlimsollError } from './errors.ts';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

/** `ceil(dividend / divisor)` for non-negative safe integers. */
export function divideUp(dividend: number, divisor: number): number {
  const quotient = Math.floor(dividend / divisor);
  return quotient * divisor < dividend ? quotient + 1 : quotient;
}

/** The smallest multiple of `step` that is not below `value`. */
export function roundUp(value: number, step: number): number {
  return divideUp(value, step) * step;
}

/** The largest multiple of `step` that is not above `value`. */
export function roundDown(value: number, step: number): number {
  return Math.floor(value / step) * step;
}

/** `value`, at most 2^53 - 1 above or below zero: for sums over files, each of which can be nearly as large. */
export function saturated(value: number): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value));
}

/** `value`, or a `bug` error if it left the safe integers: sums are checked where they are made. */
export function safeInteger(value: number, doing: string): number {
  if (!Number.isSafeInteger(value)) {
    throw new PlimsollError('bug', 'UNSAFE_INTEGER', { doing, found: value, expected: 'below 2^53' });
  }
  return value;
}

/**
 * The 64-bit integer at `at` as a number, big-endian unless `little`; `viewAt` is the view's own position in its file, for the error.
 *
 * Throws: corrupt, when it is not below 2^53.
 */
export function readUint64(view: DataView, at: number, doing: string, field: string, viewAt = 0, little = false): number {
  const high = view.getUint32(little ? at + 4 : at, little);
  const low = view.getUint32(little ? at : at + 4, little);
  if (high >= 0x200000) {
    throw new PlimsollError('corrupt', 'NUMBER_TOO_LARGE', {
      doing,
      field,
      at: viewAt + at,
      found: `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`,
      expected: 'below 2^53',
    });
  }
  return high * 0x100000000 + low;
}

/** Whether `value`, a whole number, is 1, 2, 4, ... */
export function isPowerOfTwo(value: number): boolean {
  return value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}
