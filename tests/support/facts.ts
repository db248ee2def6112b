/** What a host could say of a file that exists in memory only. */
import type { FileFacts, StorageMap } from '#block';

/** A file of `length` bytes on tmpfs with all its blocks stored, or what `choice` says. */
export function factsOf(length: number, choice: Partial<FileFacts> = {}): FileFacts {
  const fsBlockSize = choice.fsBlockSize ?? 4096;
  const stored = Math.ceil(length / fsBlockSize) * fsBlockSize;
  const map = stored === 0 ? [] : storedMap([[0, stored]]);
  const allocation = (choice.map ?? map).reduce((sum, { byteLength }) => sum + byteLength, 0);
  return {
    identity: '1:1',
    length,
    allocation,
    filesystem: 'tmpfs',
    fsBlockSize,
    map,
    extentSizeHint: 0,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
    ...choice,
  };
}

/** A map of runs `[start, end)`. */
export function storedMap(runs: readonly (readonly [number, number])[]): StorageMap {
  return runs.map(([fileOffset, end]) => ({
    fileOffset,
    byteLength: end - fileOffset,
    physicalOffset: undefined,
    shared: false,
    unwritten: false,
    encoded: false,
  }));
}
