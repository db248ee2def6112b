/** qcow2, versions 2 and 3: header, the survey of its clusters that the figures rest on, and the guest's bytes. */
export { type Census, readCensus } from './survey/survey.ts';
export {
  ENTRY_BYTES as QCOW2_ENTRY_BYTES,
  isCompressed as isCompressedQcow2Entry,
  offsetOf as offsetOfQcow2Entry,
  SUBCLUSTERS_PER_CLUSTER,
  withoutCopied as withoutQcow2Copied,
} from './entry.ts';
export type { GrowthModel } from './growth-model.ts';
export { type CompressedClusters, NOTHING_COMPRESSED } from './survey/compressed-clusters.ts';
export { type Header as Qcow2Header, hasMagic as hasQcow2Magic, readHeader as readQcow2Header } from './header.ts';
export type { Bitmap as Qcow2Bitmap } from './bitmap.ts';
export { type InternalSnapshot, readSnapshotTable } from './snapshot.ts';
export { openQcow2, type Qcow2Options } from './read/image.ts';
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
