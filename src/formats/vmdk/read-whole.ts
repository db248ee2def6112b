/** Reading what must be there. */
import { PlimsollError } from '#base';
import type { BlockDevice } from '#block';

/**
 * The bytes [offset, offset + length) of the image's file, whose length was checked when it was opened.
 *
 * Throws: corrupt, when the file has become shorter since; io, over-budget.
 */
export async function readWhole(file: BlockDevice, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
  const content = await file.read(offset, length, into);
  if (content.byteLength >= length) return content.subarray(0, length);
  throw new PlimsollError('corrupt', 'VMDK_TRUNCATED', {
    doing: 'read VMDK image',
    at: offset,
    found: `${content.byteLength} bytes`,
    expected: `${length} bytes`,
  });
}
