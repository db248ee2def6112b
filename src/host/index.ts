/** The only system calls: files and their storage maps, filesystems, locks, walking, making files. */
export { allocateSpace, type AllocateOptions, setLength, syncFile, writeAll } from './allocate.ts';
export type { OpenOptions, RealPlace } from './descriptor.ts';
export { type Ffi, loadFfi, resetFfiForTests, setFfiForTests } from './ffi.ts';
export { holesAsZeros, isHole } from './file-device.ts';
export { FilesystemCache, filesystemOf, type HostFilesystem } from './filesystem.ts';
export { markNoCow } from './ioctls.ts';
export { LockTable } from './locks.ts';
export {
  type HostCache,
  identityOfFile,
  newHostCache,
  openImageFile,
  openImageFileAt,
  type OpenFile,
  type OpenFileOptions,
  realPlacesOf,
} from './open-file.ts';
export { MAX_STORED_RANGES, readStorageMap, readWrittenRanges } from './storage-map.ts';
export { createTemporary, type TemporaryFile } from './temporary-file.ts';
export { isNoDirectory, type WalkCounts, type WalkedPath, type WalkEntry, walkFiles, type WalkOptions } from './walk.ts';
