/** qcow2, versions 2 and 3: header, the census of its clusters that the figures rest on, and the guest's bytes. */
export { type Census, readCensus } from './census.ts';
export type { CompressedClusters } from './compressed-clusters.ts';
export { ClusterSet } from './cluster-set.ts';
export { type Header as Qcow2Header, hasMagic as hasQcow2Magic } from './header.ts';
export { readHeader as readQcow2Header } from './census.ts';
export type { Bitmap as Qcow2Bitmap } from './bitmap.ts';
export { type InternalSnapshot, readSnapshotTable } from './snapshot.ts';
export { openQcow2, type Qcow2Options } from './image.ts';
export { type GuestRun, guestRuns, type GuestStatus } from './guest-map.ts';
export {
  type FileChunk,
  l1Tail,
  NEW_QCOW2_DEFAULTS,
  type NewBacking,
  type NewQcow2Options,
  type NewQcow2Plan,
  newQcow2Chunks,
  neverWritten,
  planNewQcow2,
  type Preallocation,
  storedBytes,
  storedBytesOf,
  writtenTail,
  zeroChunks,
} from './new-image.ts';
export { newQcow2Geometry } from './new-image-options.ts';
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
