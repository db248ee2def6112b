/** A LUKS volume in a file: the place of its disk is known, its bytes are not, since no key is ever read. */
import { PlimsollError } from '#base';
import { type ReadableDevice, readableDevice } from '#block';
import { type LuksHeader, readLuksHeader } from './header.ts';

export interface LuksImage {
  readonly capacity: number;
  readonly header: LuksHeader;
  /** All of the disk is data: what a hole decrypts to is not zeros. Reading throws: unsupported LUKS_ENCRYPTED. */
  readonly device: ReadableDevice;
}

/** Throws: as `readLuksHeader`. */
export async function openLuks(file: ReadableDevice): Promise<LuksImage> {
  const header = await readLuksHeader(file);
  return { capacity: header.capacity, header, device: encryptedDevice(header.capacity) };
}

/** Its extents are those of a device without any: one of data. */
function encryptedDevice(capacity: number): ReadableDevice {
  return readableDevice({
    byteLength: capacity,
    read: (_target, offset) =>
      Promise.reject(
        new PlimsollError('unsupported', 'LUKS_ENCRYPTED', {
          doing: 'read LUKS volume',
          field: 'guest bytes',
          at: offset,
          found: 'encrypted bytes',
          expected: 'an unencrypted disk: plimsoll reads no keys',
        }),
      ),
  });
}
