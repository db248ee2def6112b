/** Devices, the filters over them, and the facts that a host reports of a file's storage. */
export {
  type DeviceParts,
  type Extent,
  type ExtentStatus,
  filterDevice,
  memoryDevice,
  type ReadableDevice,
  readableDevice,
  type ReadOptions,
  type WritableDevice,
  type WriteLimits,
} from './device.ts';
export { readExactly, readUpTo } from './read.ts';
export { storedBytes, type StorageMap, type StoredRange } from './storage-map.ts';
export {
  type FileFacts,
  type FilesystemKind,
  type MapGeometry,
  newFileFacts,
  type StorageRules,
  type WriteProtection,
} from './file-facts.ts';
export { PLAIN_STORAGE, type UnderlyingStorage, type StorageCaveat, type StorageLimit } from './underlying-storage.ts';
export { extentsBelow, withBacking } from './filters/backing.ts';
export { withReadBudget } from './filters/budget.ts';
export { type CacheOptions, withCache } from './filters/cache.ts';
export { type FaultOptions, withFaults } from './filters/fault.ts';
export { memoryDisk, overlayDevice, type OverlayOptions } from './filters/overlay.ts';
export { withPrefix } from './filters/prefix.ts';
export { withReadAhead } from './filters/read-ahead.ts';
export { sliceDevice } from './filters/slice.ts';
export { type TracedRead, withTrace } from './filters/trace.ts';
export {
  type ConformanceCheck,
  opaqueConformance,
  type OpaqueSubject,
  readableConformance,
  type Subject,
  writableConformance,
} from './testing/conformance.ts';
export { TableMemory, tableMemoryInForce, withTableMemory } from './table-memory.ts';
