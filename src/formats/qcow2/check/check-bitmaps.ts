/**
 * The bitmap directory by the rules under which QEMU opens an image: one bitmap that breaks them, and it opens nothing. And the
 * memory that the bitmaps take once they are loaded. Source: qcow2 spec, "Bitmaps"; limits of block/qcow2-bitmap.c.
 */
import { divideUp, roundUp } from '#base';
import type { ReadableDevice } from '#block';
import type { Header } from '../header.ts';
import { BITMAP_ENTRY, BITMAP_IN_USE } from '../layout.ts';
import { readTable } from '../read/table-reader.ts';
import type { Unsound } from './check-result.ts';

export interface BitmapCheck {
  readonly faults: readonly Unsound[];
  /** All bitmaps with every bit set, as QEMU keeps them. Units: bytes. */
  readonly memoryBytes: number;
}

const KNOWN_FLAGS = 3;
const DIRTY_TRACKING = 1;
const GRANULARITY_BITS = { least: 9, most: 31 } as const;
/** Levels above the bits themselves, each a 64th of the one below. */
const LEVELS_FACTOR = 64 / 63;

/** Throws: corrupt, when an entry is cut off; io, over-budget. */
export async function checkBitmaps(device: ReadableDevice, header: Header): Promise<BitmapCheck> {
  const { bitmaps: pointer } = header;
  if (pointer === undefined) return { faults: [], memoryBytes: 0 };
  const { directoryOffset, directorySize, nbBitmaps } = pointer;
  const directory = await readTable(device, directoryOffset, directorySize, 'bitmap directory');
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const faults: Unsound[] = [];
  const names = new Set<string>();
  let memoryBytes = directorySize;
  let at = 0;
  for (let index = 0; index < nbBitmaps; index += 1) {
    const entry = BITMAP_ENTRY.read(view, at, directoryOffset);
    const nameAt = at + BITMAP_ENTRY.byteLength + entry.extraDataSize;
    const name = cString(directory.subarray(nameAt, nameAt + entry.nameSize));
    for (const what of entryFaults(entry, header)) faults.push({ at: directoryOffset + at, what });
    if (name === '') faults.push({ at: directoryOffset + at, what: 'a bitmap has no name' });
    if (names.has(name)) faults.push({ at: directoryOffset + at, what: 'two bitmaps have one name' });
    names.add(name);
    if (entry.granularityBits <= GRANULARITY_BITS.most)
      memoryBytes += Math.ceil(bitmapBytes(header.capacity, entry.granularityBits) * LEVELS_FACTOR) + entry.tableSize * 8;
    at = roundUp(nameAt + entry.nameSize, 8);
  }
  if (at !== directorySize) faults.push({ at: directoryOffset + at, what: 'the bitmap directory has another size than its entries' });
  return { faults, memoryBytes };
}

type Entry = ReturnType<typeof BITMAP_ENTRY.read>;

function* entryFaults(entry: Entry, { capacity, clusterSize }: Header): Generator<string> {
  if (entry.extraDataSize !== 0) yield 'a bitmap has extra data';
  if (entry.flags > KNOWN_FLAGS) yield 'a bitmap has reserved flags';
  if (entry.type !== DIRTY_TRACKING) yield `a bitmap has the type ${entry.type}`;
  if (entry.tableOffset === 0 || entry.tableSize === 0) yield 'a bitmap has no table';
  if (entry.granularityBits < GRANULARITY_BITS.least || entry.granularityBits > GRANULARITY_BITS.most)
    yield `a bitmap has a granularity of 2^${entry.granularityBits} bytes`;
  else if (entry.flags % 2 !== BITMAP_IN_USE) {
    const needed = divideUp(bitmapBytes(capacity, entry.granularityBits), clusterSize);
    if (entry.tableSize !== needed) yield `a bitmap's table has ${entry.tableSize} entries, ${needed} are needed`;
  }
}

/** Bytes of the bits for `capacity`, in words of 64. */
function bitmapBytes(capacity: number, granularityBits: number): number {
  return divideUp(divideUp(capacity, 2 ** granularityBits), 64) * 8;
}

/** The name as QEMU takes it: to the first NUL. Byte for byte, so that two names that are not UTF-8 stay two. */
function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Array.from(end < 0 ? bytes : bytes.subarray(0, end), (byte) => String.fromCharCode(byte)).join('');
}
