/**
 * The content of a file as it was hashed: every read is compared with what went into the hash, so that what is judged is what
 * was hashed, even if the file changes meanwhile. A mapping can change pages that are dirty already without any trace in the
 * file's times.
 */
import { createHash } from 'node:crypto';
import { PlimsollError, roundDown, yieldToEventLoop } from '#base';
import { type ReadableDevice, readableDevice } from '#block';

const MIN_CHUNK_BYTES = 64 * 1024;
/** So that the chunks' hashes take at most 32 MiB of memory. */
const MAX_CHUNKS = 2 ** 20;
const HASH_BYTES = 32;

export interface HashedContent {
  /** SHA-256 of all bytes, hexadecimal. */
  readonly sha256: string;
  /** The same bytes; a read of others throws: conflict, CONTENT_CHANGED. */
  readonly device: ReadableDevice;
}

/** Reads `device` once from its start to its end. Throws: io; the signal's reason. */
export async function hashContent(device: ReadableDevice, signal: AbortSignal | undefined): Promise<HashedContent> {
  const { byteLength } = device;
  const chunkBytes = chunkBytesFor(byteLength);
  const hashes = Buffer.alloc(Math.ceil(byteLength / chunkBytes) * HASH_BYTES);
  const whole = createHash('sha256');
  const memory = new Uint8Array(chunkBytes);
  for (let at = 0; at < byteLength; at += chunkBytes) {
    signal?.throwIfAborted();
    const chunk = memory.subarray(0, await device.read(memory.subarray(0, byteLength - at), at, { signal }));
    whole.update(chunk);
    hashOf(chunk).copy(hashes, (at / chunkBytes) * HASH_BYTES);
    // What lies in the page cache is read without waiting: signals and workers get their turn here.
    await yieldToEventLoop();
  }
  return { sha256: whole.digest('hex'), device: verifiedDevice(device, hashes, chunkBytes) };
}

function chunkBytesFor(byteLength: number): number {
  let chunkBytes = MIN_CHUNK_BYTES;
  while (byteLength / chunkBytes > MAX_CHUNKS) chunkBytes *= 2;
  return chunkBytes;
}

function hashOf(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

function verifiedDevice(device: ReadableDevice, hashes: Buffer, chunkBytes: number): ReadableDevice {
  const { byteLength } = device;
  /** The last chunk that was read: tables are read piece by piece. */
  let last = { at: -1, bytes: new Uint8Array(0) };
  const chunkAt = async (at: number): Promise<Uint8Array> => {
    if (last.at === at) return last.bytes;
    const memory = new Uint8Array(Math.min(chunkBytes, byteLength - at));
    const bytes = memory.subarray(0, await device.read(memory, at));
    const wanted = hashes.subarray((at / chunkBytes) * HASH_BYTES).subarray(0, HASH_BYTES);
    if (!hashOf(bytes).equals(wanted)) throw contentChanged(at);
    last = { at, bytes };
    return bytes;
  };
  return readableDevice({
    byteLength,
    read: async (target, offset, options) => {
      const end = Math.min(offset + target.byteLength, byteLength);
      options?.signal?.throwIfAborted();
      for (let at = offset; at < end; ) {
        const start = roundDown(at, chunkBytes);
        const piece = (await chunkAt(start)).subarray(at - start, end - start);
        if (piece.byteLength === 0) throw contentChanged(at);
        target.set(piece, at - offset);
        at += piece.byteLength;
      }
      return Math.max(0, end - offset);
    },
    dispose: () => Promise.resolve(device[Symbol.asyncDispose]()),
  });
}

function contentChanged(at: number): PlimsollError {
  return new PlimsollError('conflict', 'CONTENT_CHANGED', {
    doing: 'read image',
    at,
    found: 'bytes that differ from the hashed ones',
    expected: 'a file that does not change while it is vetted',
  });
}
