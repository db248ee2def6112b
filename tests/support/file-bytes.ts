/** A file as a BlockDevice, for tests that judge parsers. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { BlockDevice } from '#block';

export interface OpenedFile extends BlockDevice {
  close(): void;
}

export function openBytes(path: string): OpenedFile {
  const fd = openSync(path, 'r');
  return {
    byteLength: fstatSync(fd).size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      return Promise.resolve(bytes.subarray(0, readSync(fd, bytes, 0, length, offset)));
    },
    close: () => closeSync(fd),
  };
}
