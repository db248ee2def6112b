/** A file as a device, for tests that judge parsers. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type ReadableDevice, readableDevice } from '#block';

export interface OpenedFile extends ReadableDevice {
  close(): void;
}

export function openBytes(path: string): OpenedFile {
  const fd = openSync(path, 'r');
  const device = readableDevice({
    byteLength: fstatSync(fd).size,
    read: (target, offset) => Promise.resolve(readSync(fd, target, 0, target.byteLength, offset)),
  });
  return { ...device, close: () => closeSync(fd) };
}
