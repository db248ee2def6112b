/** Reading structures from the device: whole or not at all. */
import type { BlockDevice } from '#block';
import { readOrThrow } from '../read-whole.ts';

/**
 * The bytes [offset, offset + byteLength).
 *
 * Throws: corrupt, when the file ends inside them (a structure behind its end, or it shrank meanwhile); io, over-budget.
 */
export function readExactly(device: BlockDevice, offset: number, byteLength: number, what: string, into?: Uint8Array): Promise<Uint8Array> {
  return readOrThrow(device, offset, byteLength, 'VHDX_TRUNCATED', `read VHDX ${what}`, into);
}
