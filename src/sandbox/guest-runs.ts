/** Runs of guest bytes of files that are not qcow2: from the extents of their reader, and from the filesystem's map. */
import type { Extent, StorageMap } from '#block';
import type { GuestRun } from '#formats';

export async function* extentRuns(extents: AsyncIterable<Extent>): AsyncGenerator<GuestRun, void> {
  for await (const { start, end, status } of extents) yield { start, end, status };
}

/** Of data in the file itself, what the file stores; its holes are zeros. */
export async function* storedRuns(extents: AsyncIterable<Extent>, map: StorageMap): AsyncGenerator<GuestRun, void> {
  for await (const { start, end, status, fileOffset } of extents) {
    if (status !== 'data' || fileOffset === undefined) yield { start, end, status };
    else for (const run of storedWithin(map, fileOffset, end - start)) yield { ...run, start: start + run.start, end: start + run.end };
  }
}

/** Runs of `byteLength` bytes of the file from `from` on, relative to it: data where something is stored and written. */
export function* storedWithin(map: StorageMap, from: number, byteLength: number): Generator<GuestRun> {
  let at = 0;
  for (let index = firstEndingBehind(map, from); index < map.length; index += 1) {
    const { fileOffset, byteLength: stored, unwritten } = map[index] as StorageMap[number];
    if (fileOffset - from >= byteLength) break;
    if (unwritten) continue;
    const start = Math.max(at, fileOffset - from);
    const end = Math.min(byteLength, fileOffset + stored - from);
    if (start > at) yield { start: at, end: start, status: 'zero' };
    if (end > start) yield { start, end, status: 'data' };
    at = Math.max(at, end);
  }
  if (at < byteLength) yield { start: at, end: byteLength, status: 'zero' };
}

/** The index of the first range of the map (ascending) that ends behind `offset`. */
function firstEndingBehind(map: StorageMap, offset: number): number {
  let [low, high] = [0, map.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const { fileOffset, byteLength } = map[middle] as StorageMap[number];
    if (fileOffset + byteLength <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A raw file's stored and written ranges are data, the rest zeros; without a map everything is data. */
export async function* rawRuns(map: StorageMap | undefined, capacity: number): AsyncGenerator<GuestRun, void> {
  if (map === undefined) {
    yield { start: 0, end: capacity, status: 'data' };
    return;
  }
  let at = 0;
  for (const { fileOffset, byteLength, unwritten } of map) {
    const end = Math.min(capacity, fileOffset + byteLength);
    if (unwritten || end <= at) continue;
    if (fileOffset > at) yield { start: at, end: fileOffset, status: 'zero' };
    yield { start: Math.max(at, fileOffset), end, status: 'data' };
    at = end;
  }
  if (at < capacity) yield { start: at, end: capacity, status: 'zero' };
}
