/** The backing file of an overlay to be made: found, opened, its capacity read; nothing else of it is looked at. */
import { dirname } from 'node:path';
import { PlimsollError, readUint64, roundUp } from '#base';
import { openImageFileAt, type OpenFile } from '#host';
import { type BackingChoice, fileName } from './create-options.ts';

const DOING = 'use backing file';
const MAGIC = 0x514649fb; // "QFI\xfb"
/** Bytes of a qcow2 header up to and with `size`, which is bytes 24 to 31. */
const HEADER_NEED = 32;
const SECTOR = 512;

/**
 * Bytes the guest sees of the backing file, its name taken relative to the new image's directory as QEMU does.
 *
 * Throws: not-found, io, refused (no regular file); usage, for a name that QEMU would take for a protocol; corrupt, when it
 * is not of the format declared for it.
 */
export async function capacityOfBacking(imagePath: string, backing: BackingChoice): Promise<number> {
  const file = await openImageFileAt(dirname(imagePath), fileName('backing_file', backing.name));
  try {
    return backing.format === 'raw' ? roundUp(file.device.byteLength, SECTOR) : await qcow2Capacity(file);
  } finally {
    await file.close();
  }
}

async function qcow2Capacity(file: OpenFile): Promise<number> {
  const bytes = await file.device.read(0, HEADER_NEED);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < HEADER_NEED || view.getUint32(0) !== MAGIC) {
    throw new PlimsollError('corrupt', 'BACKING_FORMAT', {
      doing: DOING,
      image: file.path,
      field: 'magic',
      at: 0,
      found: bytes.byteLength < HEADER_NEED ? `${bytes.byteLength} bytes` : `0x${view.getUint32(0).toString(16)}`,
      expected: 'a qcow2 image, as -F says',
    });
  }
  return readUint64(view, 24, DOING, 'size');
}
