/**
 * Which bytes of a file have storage, as its filesystem tells: the host's side of an image. A map is what makes the
 * commitment exact where one number (st_blocks) cannot be.
 */

/** A run of a file's bytes that has storage. */
export interface StoredRange {
  readonly fileOffset: number;
  readonly byteLength: number;
  /** Byte position on the filesystem's device; undefined where the filesystem does not say (delayed, inline). */
  readonly physicalOffset: number | undefined;
  /** The filesystem says that more than one owner refers to these blocks: a hint, see docs/figures.md. */
  readonly shared: boolean;
  /** Preallocated, never written: reads as zeros, but is storage. */
  readonly unwritten: boolean;
  /** Compressed or otherwise encoded on the filesystem: physical length unknown. */
  readonly encoded: boolean;
}

/** Ascending by fileOffset, non-overlapping. */
export type StorageMap = readonly StoredRange[];

/** Bytes with storage in the whole map. */
export function storedBytes(map: StorageMap): number {
  let total = 0;
  for (const range of map) total += range.byteLength;
  return total;
}
