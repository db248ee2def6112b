/** qcow2, versions 2 and 3: header, the census of its clusters that the figures rest on, and the guest's bytes. */
export { type Census, readCensus } from './census.ts';
export * as qcow2Entry from './entry.ts';
export type { GrowthModel } from './growth-model.ts';
export { type CompressedClusters, NOTHING_COMPRESSED } from './compressed-clusters.ts';
export { ClusterSet } from './cluster-set.ts';
export { type Header as Qcow2Header, hasMagic as hasQcow2Magic } from './header.ts';
export { readHeader as readQcow2Header } from './census.ts';
export type { Bitmap as Qcow2Bitmap } from './bitmap.ts';
export { type InternalSnapshot, readSnapshotTable } from './snapshot.ts';
export { openQcow2, type Qcow2Options } from './image.ts';
export { type GuestRun, guestRuns, type GuestStatus } from './guest-map.ts';
export {
  type FileChunk,
  factsOfPlan,
  growthOfPlan,
  NEW_QCOW2_DEFAULTS,
  type NewBacking,
  type NewQcow2Options,
  type NewQcow2Plan,
  newQcow2Chunks,
  planNewQcow2,
  type Preallocation,
  storedRange,
  writtenTail,
  zeroChunks,
} from './plan/index.ts';
export { newQcow2Geometry } from './plan/options.ts';
export { ClusterAllocator, type RefcountGeometry } from './alloc/allocator.ts';
export { refcountMetadataBlocks } from './alloc/refcount-metadata.ts';
export {
  checkBitmaps,
  checkTables,
  decodeCompressed,
  headerFaults,
  qemuMemory,
  snapshotFaults,
  type TableCheck,
  totalBytes,
} from './check/index.ts';
