/**
 * What a commit of an overlay adds to the commitment of the image it goes into. QEMU first extends that image to the capacity of
 * the overlay, then writes to it as a guest would. Source: QEMU 7.2, block/mirror.c (mirror_run), block/commit.c (commit_run),
 * block/qcow2.c (qcow2_co_truncate), block/qcow2-cluster.c (qcow2_grow_l1_table). Units: bytes.
 */
import { divideUp } from '#base';
import type { FileFacts } from '#block';
import { ClusterSet, type GrowthModel, type Qcow2Bitmap, type QedCensus } from '#formats';
import { chargedBound, rawFigures } from './figures.ts';
import { qedFigures } from './qed-figures.ts';
import { type Qcow2State, qcow2State, type TablesAdded } from './qcow2-state.ts';

/** QCOW_MAX_L1_SIZE: QEMU refuses to extend an image beyond what such an L1 table maps. */
const MAX_L1_BYTES = 32 * 1024 * 1024;

/** BME_MIN_GRANULARITY_BITS: a bit of a bitmap covers at least 512 bytes. */
const MIN_GRANULARITY_BITS = 9;

/** Of a raw file, or an external data file, of which guest writes reach `reach` bytes now and `later` after the commit. */
export function rawCommitGrowth(facts: FileFacts, reach: number, later: number): number {
  return least(later <= reach ? 0 : committed(rawFigures(facts, later)) - committed(rawFigures(facts, reach)));
}

function committed({ commitment }: { readonly commitment: number | null }): number {
  return commitment ?? 0;
}

/**
 * Of a qcow2 file that takes `capacity` first; its external data file is not in it. undefined where QEMU refuses to extend or to
 * write it: a version 2 image with internal snapshots, an L1 table beyond QEMU's limit, an image that is marked corrupt.
 */
export function qcow2CommitGrowth(model: GrowthModel, facts: FileFacts, capacity: number): number | undefined {
  const { header, snapshotTable } = model;
  if (capacity <= header.capacity) return 0;
  if (header.corrupt) return undefined;
  if (header.version === 2 && snapshotTable.snapshots.length > 0) return undefined;
  const grown = extended(model, capacity);
  if (grown.l1Needed * 8 > MAX_L1_BYTES) return undefined;
  const before = qcow2State(model, facts);
  const after: Qcow2State = { ...qcow2State(grown, facts), ...movedL1(model, grown, facts) };
  return least(chargedBound(after) - chargedBound(before));
}

/** Of a QED file that takes `capacity` first: its header alone is written for that. undefined where its L1 table has too few entries. */
export function qedCommitGrowth(census: QedCensus, facts: FileFacts, capacity: number): number | undefined {
  const { header, l1 } = census;
  const { clusterSize, tableEntries } = header;
  if (capacity <= header.capacity) return 0;
  const guestClusters = divideUp(capacity, clusterSize);
  const tables = divideUp(guestClusters, tableEntries);
  if (tables > tableEntries) return undefined;
  const grown: QedCensus = {
    ...census,
    header: { ...header, capacity },
    needing: census.needing + guestClusters - divideUp(header.capacity, clusterSize),
    missingTables: census.missingTables + tables - l1.length,
    entriesOf: (index) => Math.min(tableEntries, guestClusters - index * tableEntries),
  };
  return least(committed(qedFigures(grown, facts)) - committed(qedFigures(census, facts)));
}

function least(bytes: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, bytes));
}

/** The same image with nothing in the guest clusters that it gains. What may lie in tables behind its present end is left aside. */
function extended(model: GrowthModel, capacity: number): GrowthModel {
  const { header } = model;
  const guestClusters = divideUp(capacity, header.clusterSize);
  const l1Needed = divideUp(guestClusters, header.l2Entries);
  const clusters = header.externalDataFile ? 0 : guestClusters - model.guestClusters;
  const tables = l1Needed - model.l1Needed;
  return {
    ...model,
    header: { ...header, capacity },
    guestClusters,
    l1Needed,
    needing: model.needing + clusters,
    tablesNeeding: model.tablesNeeding + tables,
    missingTables: model.missingTables + tables,
    longestRun: Math.max(model.longestRun, Math.min(header.l2Entries, model.longestRun + clusters)),
    longestRunAcrossTables: model.longestRunAcrossTables + clusters,
    // The cluster in which the disk ended is written to its end.
    partialInPlace: undefined,
    lastClusterBytes: undefined,
    lastIsNew: true,
    bitmaps: model.bitmaps.map((bitmap) => extendedBitmap(bitmap, capacity, header.clusterSize)),
  };
}

/** Every bitmap covers the whole disk. */
function extendedBitmap(bitmap: Qcow2Bitmap, capacity: number, clusterSize: number): Qcow2Bitmap {
  const bytes = divideUp(divideUp(capacity, 2 ** Math.max(MIN_GRANULARITY_BITS, bitmap.granularityBits)), 8);
  return { ...bitmap, tableSize: Math.max(bitmap.tableSize, divideUp(bytes, clusterSize)) };
}

/** A longer L1 table is written at a new place before the old one is freed; it holds exactly the entries that are needed. */
function movedL1({ header }: GrowthModel, { l1Needed }: GrowthModel, { fsBlockSize }: FileFacts): { readonly added?: TablesAdded } {
  if (l1Needed <= header.l1Size) return {};
  const { clusterSize } = header;
  const clusters = divideUp(l1Needed * 8, clusterSize);
  const bytes = Math.min(clusters * clusterSize, divideUp(l1Needed * 8, fsBlockSize) * fsBlockSize);
  const freed = new ClusterSet();
  freed.addRun(Math.floor(header.l1TableOffset / clusterSize), divideUp(header.l1TableOffset + header.l1Size * 8, clusterSize));
  return {
    added: {
      clusters,
      longestRun: clusters,
      bytes,
      unwritten: clusters * clusterSize - bytes,
      rewritten: [],
      freedClusters: freed.count(),
    },
  };
}
