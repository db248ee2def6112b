/**
 * A qcow2 image as the arithmetic sees it: its model, the host's facts, and what a writable open would first repair.
 */
import { divideUp, type Range, roundUp } from '#base';
import type { FileFacts } from '#block';
import { type GrowthModel, ClusterSet, type Qcow2Bitmap, ClusterAllocator, type RefcountGeometry } from '#formats';

export interface Qcow2State {
  readonly model: GrowthModel;
  readonly facts: FileFacts;
  readonly geometry: RefcountGeometry;
  /** Clusters in use once the image is open for writing. */
  readonly used: ClusterSet;
  /** Refcount-table indexes that have a block then, and the blocks' clusters. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Written by the repair of a dirty image; empty otherwise. */
  readonly repaired: ClusterSet;
  /** Tables that are made before the guest writes: of an internal snapshot, or a longer L1 table. */
  readonly added?: TablesAdded;
}

/** What an internal snapshot, or the extension of the disk, asks for and writes. */
export interface TablesAdded {
  /** Of a snapshot: clusters of the L1 table's copy, the new snapshot table and one more set of bitmaps; the longest run of the first two. */
  readonly clusters: number;
  readonly longestRun: number;
  /** Bytes of those that are written, and those that are not. */
  readonly bytes: number;
  readonly unwritten: number;
  /** Ascending byte runs written without being allocated: the L1 table, and the L2 tables, which lose their COPIED flags. */
  readonly rewritten: readonly (readonly Range[])[];
  /** Clusters that become free in return, with storage or without. */
  readonly freedClusters: number;
}

/**
 * The state from which guest writes start.
 *
 * A dirty image (lazy refcounts, not closed) has stale refcounts: the next writable open rebuilds them. A whole new set
 * of refcount structures is written before the old one is freed.
 */
export function qcow2State(model: GrowthModel, facts: FileFacts): Qcow2State {
  const plain = {
    model,
    facts,
    geometry: refcountGeometry(model),
    used: model.used,
    blocks: model.refcountBlocks,
    repaired: new ClusterSet(),
  };
  return model.header.dirty ? repairedState(plain) : plain;
}

export function refcountGeometry({ header }: GrowthModel): RefcountGeometry {
  return {
    clusterSize: header.clusterSize,
    blockEntries: header.refcountBlockEntries,
    tableEntries: (header.refcountTableClusters * header.clusterSize) / 8,
    tableCluster: header.refcountTableOffset / header.clusterSize,
  };
}

function repairedState(state: Qcow2State): Qcow2State {
  const { model, geometry } = state;
  const { header } = model;
  const old = new ClusterSet();
  old.addRun(geometry.tableCluster, geometry.tableCluster + header.refcountTableClusters);
  for (const cluster of model.refcountBlocks.values()) old.add(cluster);
  const occupied = new ClusterSet();
  for (const { start, end } of model.used.runs()) occupied.addRun(start, end);
  for (const { start, end } of old.runs()) occupied.addRun(start, end);
  if (!model.needsRebuild) return { ...state, used: occupied };

  const placer = new ClusterAllocator(occupied, everyRange(occupied, geometry), geometry);
  const used = new ClusterSet();
  for (const { start, end } of model.used.runs()) used.addRun(start, end);
  const blocks = new Map<number, number>();
  for (let range = 0; range < divideUp(Math.max(used.end(), placer.highest), geometry.blockEntries); range += 1) {
    placer.take(1);
    blocks.set(range, placer.lastTaken);
  }
  const tableClusters = divideUp(Math.max(1, blocks.size) * 8, geometry.clusterSize);
  const tableCluster = placer.takeRun(tableClusters);
  placer.written.addRun(tableCluster, tableCluster + tableClusters);
  for (const { start, end } of placer.written.runs()) used.addRun(start, end);
  return {
    ...state,
    used,
    blocks,
    repaired: placer.written,
    geometry: { ...geometry, tableCluster, tableEntries: (tableClusters * geometry.clusterSize) / 8 },
  };
}

/** Ranges far enough that the placer of a repair never stops to make a block of its own. */
function everyRange(occupied: ClusterSet, geometry: RefcountGeometry): ClusterSet {
  const ranges = new ClusterSet();
  ranges.addRun(0, 2 * divideUp(occupied.end(), geometry.blockEntries) + 8);
  return ranges;
}

/** The table with one more entry: 40 bytes and 24 of extra data each, as QEMU writes them, id and name behind. */
export function snapshotTableBytes(model: GrowthModel): number {
  const newEntry = { idLength: String(model.snapshotTable.snapshots.length + 1).length, nameLength: TYPICAL_NAME_BYTES };
  return [...model.snapshotTable.snapshots, newEntry].reduce((sum, entry) => sum + roundUp(64 + entry.idLength + entry.nameLength, 8), 0);
}

/** What a snapshot's name takes: only where the table crosses a host block does it matter. */
const TYPICAL_NAME_BYTES = 16;

/** One full set of bitmaps, as QEMU stores it anew at every close. Clusters and bytes. */
export interface BitmapSet {
  readonly dataClusters: number;
  readonly tables: readonly number[];
  readonly directoryBytes: number;
  readonly clusters: number;
  readonly bytes: number;
  /** Longest run it asks for. */
  readonly longestRun: number;
}

/** The set that the next close stores: `full` when the guest has written everything, else what is present. */
export function bitmapSet(state: Qcow2State, full: boolean): BitmapSet {
  const { model, facts, geometry } = state;
  const { header } = model;
  const empty = { dataClusters: 0, tables: [], directoryBytes: 0, clusters: 0, bytes: 0, longestRun: 0 };
  if (!header.bitmapsValid || header.bitmaps === undefined) return empty;
  const stored = model.bitmaps.filter((bitmap) => !bitmap.inUse);
  if (stored.length === 0) return empty;
  const dataClusters = stored.reduce((sum, bitmap) => sum + dataClustersOf(bitmap, full), 0);
  const tables = stored.map((bitmap) => bitmap.tableSize * 8);
  const directoryBytes = header.bitmaps.directorySize;
  const runs = [...tables, directoryBytes].map((bytes) => divideUp(bytes, geometry.clusterSize));
  return {
    dataClusters,
    tables,
    directoryBytes,
    clusters: dataClusters + runs.reduce((sum, run) => sum + run, 0),
    bytes:
      dataClusters * geometry.clusterSize + [...tables, directoryBytes].reduce((sum, bytes) => sum + roundUp(bytes, facts.fsBlockSize), 0),
    longestRun: runs.reduce((longest, run) => Math.max(longest, run), 0),
  };
}

function dataClustersOf(bitmap: Qcow2Bitmap, full: boolean): number {
  return full && bitmap.enabled ? bitmap.tableSize : bitmap.dataClusters.length + bitmap.allOnesCount;
}

/** A byte run of `byteLength` bytes from the start of `cluster`. */
export function bytesAt(cluster: number, byteLength: number, geometry: RefcountGeometry): Range {
  const start = cluster * geometry.clusterSize;
  return { start, end: start + byteLength };
}
