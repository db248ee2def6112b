/** The only system calls: files and their storage maps, filesystems, locks, directory walks, creating files. */
export { allocateSpace, type AllocateOptions, setLength, syncFile, writeAll } from './allocate.ts';
export { descriptorsLeft } from './descriptors-left.ts';
export type { OpenOptions, RealPlace } from './descriptor.ts';
export { type DirectoryEvent, DirectoryWatches, MAX_WATCHES, type WatchedDirectory, type WatchLack } from './directory-watches.ts';
export { type Ffi, loadFfi, resetFfiForTests, setFfiForTests } from './ffi.ts';
export { fileDevice, holesAsZeros, isHole } from './file-device.ts';
export {
  RACY_WINDOW_MS,
  type PathStamp,
  isFresh,
  isSamePathStamp,
  isSamePlace,
  COW_RACY_WINDOW_MS,
  pathStampOf,
  markOfRemote,
  statPath,
  type ResolvedPath,
} from './path-stamp.ts';
export { FilesystemCache, filesystemOf, type HostFilesystem, storageRulesOf } from './filesystem.ts';
export {
  fileUseOf,
  type FileUse,
  type FileUseOptions,
  type ForeignLock,
  type HeldByte,
  LIBVIRT_BYTE,
  type LockSearch,
  PERMISSION_COUNT,
  UNSHARED_BASE,
  USES_BASE,
} from './in-use.ts';
export { availableIn } from './underlying-storage/underlying-storage.ts';
export { configureHostId, type HostIdentity, hostIdentity } from './host-id.ts';
export { hasWriters, isMappedForWriting } from './writers.ts';
export { type ReopenedFiles, reopenedForReading } from './reopen.ts';
export { inheritedDevice, readFully, writeFully } from './inherited.ts';
export { trimSpeculativePreallocation, markNoCow } from './ioctls.ts';
export { JAILED_FILE, runJailedTool, type ToolAnswer } from './jailed-tool.ts';
export { CHANNEL_FD, DESCRIPTOR_FD, type Jailed, type JailEnd, type JailOptions, startJailed } from './jail.ts';
export {
  descriptorReceiver,
  type DescriptorSender,
  MAX_DESCRIPTORS_PER_MESSAGE,
  openDescriptorSender,
  type ReceiveDescriptors,
} from './descriptor-channel.ts';
export { largestFileOf } from './largest-file.ts';
export { lockKeyOf, LockTable } from './locks.ts';
export { type LoopDevice, type LoopSearch, type RemovedLoopFile, removedLoopFiles } from './loop-devices.ts';
export { type NamelessFile, openWriters, type OpenWriters } from './open-writers.ts';
export { type FileSizeLimit, ownFileSizeLimit } from './process-limits.ts';
export type { Machine } from './machine-name.ts';
export { nameText } from './name-text.ts';
export { notifyManager, pingWatchdog } from './notify.ts';
export {
  type FileBasics,
  type FileStamp,
  type HostCache,
  identityOfFile,
  newHostCache,
  openImageFile,
  type OpenFile,
  type OpenFileOptions,
  realpaths,
} from './open-file.ts';
export { type Access, type HoldingProcess, type MachineFiles, machinesWith, ProcessFiles, type ProcessSearch } from './process-files.ts';
export { fileBeside } from './runtime-files.ts';
export { sealProcess, type SealOrder } from './seal.ts';
export {
  quarantinePath,
  createEmptyStateFile,
  copyStateFile,
  ensureStateFile,
  forgetAside,
  hasLog,
  quarantine,
  overwriteStart,
  prepareStateDirectory,
  publishStateFile,
  readBootId,
  readStart,
  removeStateFile,
  roomBeside,
  stateFileIdentity,
  type StateFileKind,
  stateFileKind,
} from './state-file.ts';
export { loadPeerUsers, type SocketTrust, trustByPath, trustOfSocket } from './socket-trust.ts';
export { MAX_STORED_RANGES, readStorageMap, readWrittenRanges } from './storage-map.ts';
export { createTemporary, type TemporaryFile } from './temporary-file.ts';
export {
  isNoDirectory,
  type WalkCounts,
  walkDirectories,
  type WalkedDirectory,
  type WalkedPath,
  type WalkEntry,
  walkFiles,
  WalkMemory,
  type WalkOptions,
} from './walk.ts';
export { isUnwritable } from './write-protection.ts';
