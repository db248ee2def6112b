/** The contract that carries the stack: random access to bytes, with a filter's shape. */
import type { TableMemory } from './table-memory.ts';

/**
 * Random access to a run of bytes.
 *
 * `read` may be called concurrently and in any order; the one who opened the device closes it.
 */
export interface BlockDevice {
  /** Bytes that can be read: offsets in [0, byteLength). */
  readonly byteLength: number;
  /** What structures made of the device's tables may take; undefined: the bounds of their formats alone. */
  readonly memory?: TableMemory | undefined;
  /**
   * The bytes [offset, offset + length); shorter only where the device ends.
   *
   * `into`: memory that the device may use for the answer, which is then a view of it; the caller says when it is free again.
   * Throws: io; over-budget, when a filter in between counts.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
}

/** A device over bytes in memory, for tests and for parsers that were handed a whole structure. */
export function memoryDevice(content: Uint8Array): BlockDevice {
  return {
    byteLength: content.byteLength,
    read: (offset, length) => Promise.resolve(content.subarray(offset, Math.min(offset + length, content.byteLength))),
  };
}
