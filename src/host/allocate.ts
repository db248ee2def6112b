/** Creates files: allocates space, writes bytes, and publishes the final name only when the file is complete. */
import { fsync, ftruncate, write } from 'node:fs';
import { getSystemErrorName, promisify } from 'node:util';
import { asPlimsollError, GiB, PlimsollError } from '#base';
import { ERRNO, loadFfi } from './ffi.ts';

const fsyncAsync = promisify(fsync);
const ftruncateAsync = promisify(ftruncate);

/** Bytes per system call: small enough to be interrupted in time where the filesystem has to write zeros. */
const ALLOCATION_STEP = GiB;
const MAX_BYTES_PER_WRITE = 2 ** 30;

export interface AllocateOptions {
  readonly signal?: AbortSignal;
  /** Bytes allocated so far. */
  readonly onProgress?: (allocatedBytes: number) => void;
}

/**
 * Allocates storage that reads as zeros for [fileOffset, fileOffset + byteLength) of an open file, and extends the file to hold
 * it. Throws: unsupported, without an FFI or where the filesystem cannot; io (IO_ENOSPC, ...); the signal's reason. Storage
 * allocated before the error stays.
 */
export async function allocateSpace(fd: number, fileOffset: number, byteLength: number, options: AllocateOptions = {}): Promise<void> {
  const ffi = await loadFfi();
  if (ffi === undefined) throw cannotAllocate('the system call is unavailable (koffi could not be loaded)');
  let done = 0;
  while (done < byteLength) {
    options.signal?.throwIfAborted();
    const step = Math.min(ALLOCATION_STEP, byteLength - done);
    const result = await ffi.fallocate(fd, 0, fileOffset + done, step);
    if (result === -ERRNO.EINTR) continue;
    if (result === -ERRNO.EOPNOTSUPP || result === -ERRNO.ENOSYS) throw cannotAllocate('the filesystem does not support fallocate');
    if (result < 0) throw asPlimsollError(systemError(result), 'allocate space');
    done += step;
    options.onProgress?.(done);
  }
}

function cannotAllocate(found: string): PlimsollError {
  return new PlimsollError('unsupported', 'NO_FALLOCATE', { doing: 'allocate space', found });
}

/** Writes all of `bytes` at `fileOffset`, continuing short writes. Throws: io. */
export async function writeAll(fd: number, bytes: Uint8Array, fileOffset: number): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - written, MAX_BYTES_PER_WRITE);
    written += await writeOnce(fd, bytes, written, length, fileOffset + written);
  }
}

function writeOnce(fd: number, bytes: Uint8Array, at: number, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, at, length, position, (error, count) => {
      if (error === null) resolve(count);
      else reject(asPlimsollError(error, 'write file'));
    });
  });
}

/** Sets the length of the file to `length` bytes; the added bytes are a hole. Throws: io. */
export async function setLength(fd: number, length: number): Promise<void> {
  try {
    await ftruncateAsync(fd, length);
  } catch (error) {
    throw asPlimsollError(error, 'set the length of file');
  }
}

/** Waits until the file is on stable storage. Throws: io. */
export async function syncFile(fd: number): Promise<void> {
  try {
    await fsyncAsync(fd);
  } catch (error) {
    throw asPlimsollError(error, 'flush file');
  }
}

/** An errno from the FFI in the shape of Node's errors. */
export function systemError(result: number): Error {
  const code = getSystemErrorName(result);
  return Object.assign(new Error(code), { code });
}
