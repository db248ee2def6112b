/** Reading what must be there: whole or not at all. */
import { PlimsollError } from '#base';
import type { BlockDevice } from '#block';

/**
 * The bytes [offset, offset + byteLength), no more of them. `into`: memory for the answer, as in `BlockDevice.read`.
 *
 * Throws: corrupt with `code`, when the file ends inside them: it shrank, or the place was never in it; io, over-budget.
 */
export async function readOrThrow(
  device: BlockDevice,
  offset: number,
  byteLength: number,
  code: string,
  doing: string,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const bytes = await device.read(offset, byteLength, into);
  if (bytes.byteLength >= byteLength) return bytes.subarray(0, byteLength);
  throw new PlimsollError('corrupt', code, { doing, at: offset, found: `${bytes.byteLength} bytes`, expected: `${byteLength} bytes` });
}
