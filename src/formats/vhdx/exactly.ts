/** Reading structures from the device: whole or not at all. */
import { PlimsollError } from '#base';
import type { BlockDevice } from '#block';

/**
 * The bytes [offset, offset + byteLength).
 *
 * Throws: corrupt, when the file ends inside them (a structure behind its end, or it shrank meanwhile); io, over-budget.
 */
export async function readExactly(
  device: BlockDevice,
  offset: number,
  byteLength: number,
  what: string,
  into?: Uint8Array,
): Promise<Uint8Array> {
  const bytes = await device.read(offset, byteLength, into);
  if (bytes.byteLength === byteLength) return bytes;
  throw new PlimsollError('corrupt', 'VHDX_TRUNCATED', {
    doing: `read VHDX ${what}`,
    at: offset,
    found: `${bytes.byteLength} bytes`,
    expected: `${byteLength} bytes`,
  });
}
