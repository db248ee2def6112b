/** Tables of 32-bit entries, one for each block of a disk: VHD's block allocation table and VDI's block map. */
import type { Endian } from '#base';
import { type ReadableDevice, readExactly } from '#block';

/** A table is read in pieces of at most this size. */
const READ_BYTES = 1024 * 1024;

/** The table, a sorted copy to find overlaps, and one to add up its blocks in the order of the file. */
const TABLE_COPIES = 3;

/**
 * `count` entries from `fileOffset` on.
 *
 * Bounds: the caller's, who has compared `count` with a limit and with the file's length; the device's memory.
 * Throws: corrupt, when the file ends inside the table (it shrank since its header was checked); io, over-budget.
 */
export async function readEntries(
  device: ReadableDevice,
  fileOffset: number,
  count: number,
  endian: Endian,
  signal?: AbortSignal,
): Promise<Uint32Array> {
  device.memory?.take(TABLE_COPIES * count * 4);
  const entries = new Uint32Array(count);
  for (let first = 0; first < count; first += READ_BYTES / 4) {
    signal?.throwIfAborted();
    const some = Math.min(READ_BYTES / 4, count - first);
    const content = await readExactly(device, fileOffset + first * 4, some * 4, 'IMAGE_TRUNCATED', 'read image');
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    for (let index = 0; index < some; index += 1) entries[first + index] = view.getUint32(index * 4, endian === 'little');
  }
  return entries;
}

/**
 * An index into `entries` whose block overlaps another one's, or undefined. Blocks begin at the entry and take `stride`
 * units of the same kind; entries from `unused` on have none.
 */
export function findOverlap(entries: Uint32Array, stride: number, unused: number): number | undefined {
  let used = 0;
  let isAscending = true;
  let last = -stride;
  for (const entry of entries) {
    if (entry >= unused) continue;
    used += 1;
    if (entry < last + stride) isAscending = false;
    last = entry;
  }
  if (isAscending) return undefined;
  const sorted = usedEntries(entries, used, unused).sort();
  for (let at = 1; at < sorted.length; at += 1) {
    if ((sorted[at] as number) < (sorted[at - 1] as number) + stride) return entries.lastIndexOf(sorted[at] as number);
  }
  return undefined;
}

/** The entries that have a block, in the order of the table. */
export function usedEntries(entries: Uint32Array, count: number, unused: number): Uint32Array {
  const list = new Uint32Array(count);
  let at = 0;
  for (const entry of entries) {
    if (entry >= unused) continue;
    list[at] = entry;
    at += 1;
  }
  return list;
}
