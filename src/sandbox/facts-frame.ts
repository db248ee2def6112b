/** The facts of a file on their way to a confined worker: JSON, and the storage map packed beside it. */
import type { FileFacts, StorageMap, StoredRange } from '#block';

/** JSON. */
export interface FactsFrame {
  readonly facts: Omit<FileFacts, 'map' | 'written'>;
  /** Ranges of each map in the data, one map after the other; null: the filesystem has none to give. */
  readonly mapCount: number | null;
  readonly writtenCount: number | null;
}

export interface PackedFacts {
  readonly frame: FactsFrame;
  readonly data: Uint8Array;
}

/** fileOffset, byteLength, physicalOffset or -1, flags: a double each. */
const NUMBERS_PER_RANGE = 4;
const FLAGS = { shared: 1, unwritten: 2, encoded: 4 } as const;

export function packFacts({ map, written, ...facts }: FileFacts): PackedFacts {
  const ranges = [...(map ?? []), ...(written ?? [])];
  const numbers = new Float64Array(ranges.length * NUMBERS_PER_RANGE);
  for (const [index, { fileOffset, byteLength, physicalOffset = -1, shared, unwritten, encoded }] of ranges.entries()) {
    const at = index * NUMBERS_PER_RANGE;
    numbers[at] = fileOffset;
    numbers[at + 1] = byteLength;
    numbers[at + 2] = physicalOffset;
    numbers[at + 3] = (shared ? FLAGS.shared : 0) + (unwritten ? FLAGS.unwritten : 0) + (encoded ? FLAGS.encoded : 0);
  }
  const frame = { facts, mapCount: map?.length ?? null, writtenCount: written?.length ?? null };
  return { frame, data: new Uint8Array(numbers.buffer) };
}

export function unpackFacts({ facts, mapCount, writtenCount }: FactsFrame, data: Uint8Array): FileFacts {
  // A copy, since doubles must be aligned; not by slice(), which of a Buffer is no copy.
  const numbers = new Float64Array(new Uint8Array(data).buffer);
  const map = mapCount === null ? undefined : rangesIn(numbers, 0, mapCount);
  const written = writtenCount === null ? undefined : rangesIn(numbers, mapCount ?? 0, writtenCount);
  return { ...facts, map, written };
}

function rangesIn(numbers: Float64Array, first: number, count: number): StorageMap {
  return Array.from({ length: count }, (_, index): StoredRange => {
    const at = (first + index) * NUMBERS_PER_RANGE;
    const [fileOffset = 0, byteLength = 0, physicalOffset = -1, flags = 0] = numbers.subarray(at, at + NUMBERS_PER_RANGE);
    return {
      fileOffset,
      byteLength,
      physicalOffset: physicalOffset < 0 ? undefined : physicalOffset,
      shared: flags % 2 === 1,
      unwritten: Math.floor(flags / FLAGS.unwritten) % 2 === 1,
      encoded: flags >= FLAGS.encoded,
    };
  });
}
