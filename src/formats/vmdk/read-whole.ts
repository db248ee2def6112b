/** Reading what must be there. */
import type { BlockDevice } from '#block';
import { readOrThrow } from '../read-whole.ts';

/**
 * The bytes [offset, offset + length) of the image's file, whose length was checked when it was opened.
 *
 * Throws: corrupt, when the file has become shorter since; io, over-budget.
 */
export function readWhole(file: BlockDevice, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
  return readOrThrow(file, offset, length, 'VMDK_TRUNCATED', 'read VMDK image', into);
}
