/** Deflate, with the output bounded: a few bytes can stand for gigabytes. */
import { inflateRawSync, inflateSync } from 'node:zlib';
import { PlimsollError } from '#base';

/** raw: nothing around the deflate stream (qcow2); zlib: two bytes before and a checksum behind it (VMDK). */
export type DeflateWrapping = 'raw' | 'zlib';

export interface InflateOptions {
  readonly wrapping: DeflateWrapping;
  /** No more comes out; what would be longer is an error. */
  readonly mostBytes: number;
  /** For the error: what is read, and at which byte of the image the compressed data begins. */
  readonly doing: string;
  readonly at: number;
}

/** Allocated before a byte is inflated: the largest cluster of a format. */
const MAX_CHUNK_BYTES = 2 ** 21;

/**
 * The bytes that `input` stands for. What follows the end of the stream is ignored: formats pad to sectors.
 *
 * Throws: corrupt, when it is no deflate stream, is cut short, or gives more than `mostBytes`.
 */
export function inflate(input: Uint8Array, { wrapping, mostBytes, doing, at }: InflateOptions): Uint8Array {
  // One chunk of output, so that nothing is copied together behind the last one; zlib wants 64 bytes at the least.
  const options = { maxOutputLength: Math.max(1, mostBytes), chunkSize: Math.min(MAX_CHUNK_BYTES, Math.max(64, mostBytes)) };
  try {
    return wrapping === 'raw' ? inflateRawSync(input, options) : inflateSync(input, options);
  } catch (cause) {
    const tooLong = (cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE';
    throw new PlimsollError('corrupt', tooLong ? 'DEFLATE_TOO_LONG' : 'DEFLATE', {
      doing,
      field: 'compressed data',
      at,
      found: tooLong ? `more than ${mostBytes} bytes` : `${input.byteLength} bytes that do not inflate`,
      expected: `a deflate stream of at most ${mostBytes} bytes`,
      cause,
    });
  }
}
