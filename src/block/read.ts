/** Reading into fresh memory, whole or as far as the device reaches. */
import { PlimsollError } from '#base';
import type { ReadableDevice, ReadOptions } from './device.ts';

/** Not cleared: `read` fills it. */
function freshMemory(byteLength: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer);
}

/** The bytes [offset, offset + length), fewer where the device ends: not to be changed, as they may be the device's own memory. */
export async function readUpTo(device: ReadableDevice, offset: number, length: number, options?: ReadOptions): Promise<Uint8Array> {
  const byteLength = Math.max(0, Math.min(length, device.byteLength - offset));
  const known = device.peek?.(offset, byteLength);
  if (known !== undefined) return known;
  const target = freshMemory(byteLength);
  return target.subarray(0, await device.read(target, offset, options));
}

/**
 * The bytes [offset, offset + byteLength), all of them. Without `into` they may be the device's own memory and are not to be
 * changed; with it they are in its first bytes.
 *
 * Throws: corrupt with `code`, where the device ends inside them; io, over-budget.
 */
export async function readExactly(
  device: ReadableDevice,
  offset: number,
  byteLength: number,
  code: string,
  doing: string,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const known = into === undefined ? device.peek?.(offset, byteLength) : undefined;
  if (known?.byteLength === byteLength) return known;
  // A length that a table claims costs memory only as far as the device reaches.
  const available = Math.max(0, Math.min(byteLength, device.byteLength - offset));
  const target = into === undefined ? freshMemory(available) : into.subarray(0, byteLength);
  const count = await device.read(target, offset);
  if (count === byteLength) return target;
  throw new PlimsollError('corrupt', code, { doing, at: offset, found: `${count} bytes`, expected: `${byteLength} bytes` });
}
