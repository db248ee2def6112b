/** A LUKS volume in a file: the place of its disk is known, its bytes are not, since no key is ever read. */
import { PlimsollError } from '#base';
import type { BlockDevice, Extent, ImageDevice } from '#block';
import { type LuksHeader, readLuksHeader } from './header.ts';

export interface LuksImage {
  readonly capacity: number;
  readonly header: LuksHeader;
  /** All of the disk is data: what a hole decrypts to is not zeros. Reading throws: unsupported LUKS_ENCRYPTED. */
  readonly device: ImageDevice;
}

/** Throws: as `readLuksHeader`. */
export async function openLuks(file: BlockDevice): Promise<LuksImage> {
  const header = await readLuksHeader(file);
  return { capacity: header.capacity, header, device: new EncryptedDevice(header.capacity) };
}

class EncryptedDevice implements ImageDevice {
  readonly byteLength: number;

  constructor(capacity: number) {
    this.byteLength = capacity;
  }

  read(offset: number): Promise<Uint8Array> {
    return Promise.reject(
      new PlimsollError('unsupported', 'LUKS_ENCRYPTED', {
        doing: 'read LUKS volume',
        field: 'guest bytes',
        at: offset,
        found: 'encrypted bytes',
        expected: 'no reading of them: no key is ever read',
      }),
    );
  }

  async *extents(start: number, end: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    signal?.throwIfAborted();
    const [from, to] = [Math.max(0, start), Math.min(end, this.byteLength)];
    if (from < to) yield { start: from, end: to, status: 'data', depth: 0, compressed: false, fileOffset: undefined };
  }
}
