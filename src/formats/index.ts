/** Image formats: what a file is, and what its own bytes say. */
export { ClusterSet } from './clusters/index.ts';
export { guestDataAmong } from './data-places.ts';
export type { WriteHazard } from './write-hazard.ts';
export {
  type Census,
  type CompressedClusters,
  ClusterAllocator,
  type GrowthModel,
  type RefcountGeometry,
  refcountMetadataBlocks,
  hasQcow2Magic,
  type InternalSnapshot,
  openQcow2,
  QCOW2_ENTRY_BYTES,
  isCompressedQcow2Entry,
  offsetOfQcow2Entry,
  SUBCLUSTERS_PER_CLUSTER,
  withoutQcow2Copied,
  type Qcow2Bitmap,
  type Qcow2Header,
  type Qcow2Options,
  readCensus,
  readQcow2Header,
} from './qcow2/index.ts';
export {
  checkBitmaps,
  checkTables,
  decodeCompressed,
  headerFaults,
  qemuMemory,
  readSnapshotTable,
  snapshotFaults,
  type TableCheck,
  totalBytes,
} from './qcow2/index.ts';
export { identify, IDENTIFY_HEAD_BYTES, type Sign, type SignClass } from './identify.ts';
export { tablePlaces } from './table-places.ts';
export { LUKS_MAGIC, type LuksHeader, type LuksImage, openLuks } from './luks/index.ts';
export { openQed, QED_WITHOUT_TABLE, type QedCensus, type QedHeader, type QedImage, readQedHeader } from './qed/index.ts';
export type { BackingName, FormatDriver, GuestImage, LayerHeader } from './driver.ts';
export { type DriverFormat, driverOf, findDriver, FORMAT_DRIVERS } from './registry.ts';
export { openQcow, type QcowHeader, type QcowImage, type QcowSurvey } from './qcow/index.ts';
export { openRaw } from './raw/index.ts';
export { type Evidence, isNamedAs, isWrapping, judgeUnsigned, probe, PROBE_BYTES, probeFooter, type RecognisedFormat } from './probe.ts';
export {
  type FileChunk,
  factsOfPlan,
  growthOfPlan,
  NEW_QCOW2_DEFAULTS,
  type NewBacking,
  type NewQcow2Options,
  type NewQcow2Plan,
  newQcow2Chunks,
  newQcow2Geometry,
  planNewQcow2,
  type Preallocation,
  NOTHING_COMPRESSED,
  storedRange,
  writtenTail,
  zeroChunks,
} from './qcow2/index.ts';
export { openVdi, type VdiHeader, type VdiImage, type VdiImageType, type VdiParent } from './vdi/index.ts';
export {
  openVhd,
  hasTwoVhdSizes,
  vhdAmbiguousRuns,
  type VhdBlocks,
  type VhdDiskType,
  type VhdFooter,
  type VhdImage,
  type VhdParent,
  type VhdParentLocator,
  type VhdParentName,
} from './vhd/index.ts';
export {
  openVmdk,
  openVmdkExtent,
  readSplitDisk,
  splitDiskOf,
  readVmdkFacts,
  type SplitDisk,
  type VmdkCensus,
  type VmdkDescriptor,
  type VmdkExtent,
  type VmdkExtentImage,
  type VmdkFacts,
  type VmdkHeader,
  type VmdkImage,
  type VmdkName,
  type VmdkRequest,
} from './vmdk/index.ts';
export {
  hasVhdxSignature,
  openVhdx,
  readVhdx,
  type Vhdx,
  type VhdxBlockCensus,
  type VhdxFacts,
  type VhdxHeader,
  type VhdxImage,
  type VhdxLocatorEntry,
  type VhdxLocatorText,
  type VhdxParentLocator,
  type VhdxPendingLog,
  type VhdxRegion,
  type VhdxRegions,
  vhdxWriteHazards,
} from './vhdx/index.ts';
