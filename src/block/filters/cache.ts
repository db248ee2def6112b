/** Keeps the blocks read last, for readers that return to the same places. */
import { roundDown } from '#base';
import { filterDevice, type ReadableDevice } from '../device.ts';

export interface CacheOptions {
  /** Bytes that are read and kept together. */
  readonly blockSize: number;
  /** Blocks that are kept at most. */
  readonly blocks: number;
}

/**
 * `device`, of which the blocks read last are kept. For content that does not change: a write below is not noticed.
 * A read that failed is tried again.
 */
export function withCache(device: ReadableDevice, { blockSize, blocks }: CacheOptions): ReadableDevice {
  /** In order of use, the latest last. */
  const kept = new Map<number, Promise<Uint8Array>>();
  const load = async (start: number): Promise<Uint8Array> => {
    const block = new Uint8Array(Math.min(blockSize, device.byteLength - start));
    return block.subarray(0, await device.read(block, start));
  };
  const blockAt = (start: number): Promise<Uint8Array> => {
    const block = kept.get(start) ?? load(start);
    kept.delete(start);
    kept.set(start, block);
    block.catch(() => {
      if (kept.get(start) === block) kept.delete(start);
    });
    for (const oldest of kept.keys()) {
      if (kept.size <= blocks) break;
      kept.delete(oldest);
    }
    return block;
  };
  return filterDevice(device, {
    async read(target, offset, options) {
      const end = Math.min(offset + target.byteLength, device.byteLength);
      let at = offset;
      while (at < end) {
        options?.signal?.throwIfAborted();
        const start = roundDown(at, blockSize);
        const piece = (await blockAt(start)).subarray(at - start, end - start);
        if (piece.byteLength === 0) break;
        target.set(piece, at - offset);
        at += piece.byteLength;
      }
      options?.signal?.throwIfAborted();
      return Math.max(0, at - offset);
    },
  });
}
