/**
 * Descriptors that a confined process was given, read and written by blocking calls. It answers one request at a time, and
 * blocking calls need no threads, which its seccomp filter forbids to start.
 */
import { readSync, writeSync } from 'node:fs';
import { asPlimsollError } from '#base';
import { type ReadableDevice, readableDevice } from '#block';

const MAX_BYTES_PER_READ = 2 ** 30;

/** The first `byteLength` bytes of a file that was received open. A file that has shrunk meanwhile ends earlier. */
export function inheritedDevice(fd: number, byteLength: number, image: string): ReadableDevice & { readonly fd: number } {
  const readNow = (target: Uint8Array, offset: number): number => {
    const wanted = Math.max(0, Math.min(target.byteLength, byteLength - offset));
    let filled = 0;
    while (filled < wanted) {
      const count = readSync(fd, target, filled, Math.min(wanted - filled, MAX_BYTES_PER_READ), offset + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  };
  const device = readableDevice({
    byteLength,
    read: (target, offset, options) => {
      if (options?.signal?.aborted === true) return Promise.reject(options.signal.reason);
      try {
        return Promise.resolve(readNow(target, offset));
      } catch (error) {
        return Promise.reject(asPlimsollError(error, 'read file', image));
      }
    },
  });
  return { ...device, fd };
}

/** Exactly `length` bytes from a pipe or socket, or undefined when it ends before. */
export function readFully(fd: number, length: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, null);
    if (count === 0) return undefined;
    filled += count;
  }
  return bytes;
}

/** All of `bytes`; waits while the pipe or socket is full. */
export function writeFully(fd: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.byteLength) written += writeSync(fd, bytes, written, bytes.byteLength - written);
}
