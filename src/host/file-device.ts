/** An open file as a device, and a filter that answers reads of its holes. */
import { read } from 'node:fs';
import { asPlimsollError, pauseDue } from '#base';
import { filterDevice, type ReadableDevice, readableDevice, type StorageMap } from '#block';
import type { Ffi } from './ffi.ts';

/** Node refuses a single read of 2^31 bytes or more. */
const MAX_BYTES_PER_READ = 2 ** 30;

/**
 * The first `byteLength` bytes of an open file. Reads are positioned: they share no state, and short ones are continued.
 * A file that has shrunk meanwhile ends earlier. The descriptor stays the caller's to close.
 *
 * What lies in the page cache is read at once; only what the disk has to bring goes through the thread pool. `ffi` may be
 * known later than the device is made.
 */
export function fileDevice(fd: number, byteLength: number, image: string, ffi: () => Ffi | undefined = () => undefined): ReadableDevice {
  return readableDevice({
    byteLength,
    async read(target, offset, options) {
      options?.signal?.throwIfAborted();
      const wanted = Math.max(0, Math.min(target.byteLength, byteLength - offset));
      let filled = Math.max(0, ffi()?.readCached(fd, target.subarray(0, wanted), offset) ?? 0);
      while (filled < wanted) {
        const count = await readOnce(fd, target, { at: filled, length: wanted - filled, position: offset + filled }, image);
        if (count === 0) break;
        filled += count;
        options?.signal?.throwIfAborted();
      }
      // Cached content is read without blocking: reading a large image would otherwise delay everything else.
      const pause = pauseDue();
      if (pause !== undefined) await pause;
      return filled;
    },
  });
}

/** `fs.promises` costs more per call: it wraps each descriptor in a FileHandle. */
function readOnce(fd: number, target: Uint8Array, piece: { at: number; length: number; position: number }, image: string): Promise<number> {
  const length = Math.min(piece.length, MAX_BYTES_PER_READ);
  return new Promise((resolve, reject) => {
    read(fd, target, piece.at, length, piece.position, (error, count) => {
      if (error === null) resolve(count);
      else reject(asPlimsollError(error, 'read file', image));
    });
  });
}

/**
 * `device`, whose holes are read as zeros without a system call.
 *
 * Only for a map that is as new as the file's content: a concurrent write would otherwise produce content that the file never
 * had.
 */
export function holesAsZeros(device: ReadableDevice, map: StorageMap): ReadableDevice {
  return filterDevice(device, {
    peek: (offset, length) => device.peek?.(offset, length),
    read(target, offset, options) {
      const end = Math.min(offset + target.byteLength, device.byteLength);
      if (end <= offset || !isHole(map, offset, end - offset)) return device.read(target, offset, options);
      if (options?.signal?.aborted === true) return Promise.reject(options.signal.reason);
      target.fill(0, 0, end - offset);
      return Promise.resolve(end - offset);
    },
  });
}

/** Whether none of the bytes [fileOffset, fileOffset + byteLength) has storage. */
export function isHole(map: StorageMap, fileOffset: number, byteLength: number): boolean {
  let low = 0;
  let high = map.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const range = map[middle];
    if (range !== undefined && range.fileOffset + range.byteLength <= fileOffset) low = middle + 1;
    else high = middle;
  }
  const next = map[low];
  return next === undefined || next.fileOffset >= fileOffset + byteLength;
}
