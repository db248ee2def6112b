/**
 * A qcow2 image as the arithmetic sees it: its census, the host's facts, and what a writable open would first repair.
 */
import { divideUp, roundUp } from '#base';
import type { FileFacts, Run } from '#block';
import { type Census, ClusterSet, type Qcow2Bitmap } from '#formats';
import { clusterBytes, mapBytes, sortedRuns, totalBytes, union, without } from './byte-runs.ts';
import { ClusterAllocator, type RefcountGeometry } from './cluster-allocator.ts';

export interface Qcow2State {
  readonly census: Census;
  readonly facts: FileFacts;
  readonly geometry: RefcountGeometry;
  /** Clusters in use once the image is open for writing. */
  readonly used: ClusterSet;
  /** Refcount-table indexes that have a block then, and the blocks' clusters. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Written by the repair of a dirty image; empty otherwise. */
  readonly repaired: ClusterSet;
}

/**
 * The state from which guest writes start.
 *
 * A dirty image (lazy refcounts, not closed) has stale refcounts: the next writable open rebuilds them. A whole new set
 * of refcount structures is written before the old one is freed.
 */
export function qcow2State(census: Census, facts: FileFacts): Qcow2State {
  const { header } = census;
  const geometry: RefcountGeometry = {
    clusterSize: header.clusterSize,
    blockEntries: header.refcountBlockEntries,
    tableEntries: (header.refcountTableClusters * header.clusterSize) / 8,
    tableCluster: header.refcountTableOffset / header.clusterSize,
  };
  const plain = { census, facts, geometry, used: census.used, blocks: census.refcountBlocks, repaired: new ClusterSet() };
  return header.dirty ? repairedState(plain) : plain;
}

function repairedState(state: Qcow2State): Qcow2State {
  const { census, geometry } = state;
  const { header } = census;
  const old = new ClusterSet();
  old.addRun(geometry.tableCluster, geometry.tableCluster + header.refcountTableClusters);
  for (const cluster of census.refcountBlocks.values()) old.add(cluster);
  const occupied = new ClusterSet();
  for (const { start, end } of census.used.runs()) occupied.addRun(start, end);
  for (const { start, end } of old.runs()) occupied.addRun(start, end);
  if (!census.needsRebuild) return { ...state, used: occupied };

  const placer = new ClusterAllocator(occupied, everyRange(occupied, geometry), geometry);
  const used = new ClusterSet();
  for (const { start, end } of census.used.runs()) used.addRun(start, end);
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

/**
 * The same state with a map put together for a host that gives none: what is known to be written; of the allocation left
 * over first clusters in use that no guest write touches (they were written once), then guest data in place.
 */
export function withAssumedMap(state: Qcow2State): Qcow2State {
  const { census, facts, geometry } = state;
  const known = [...mapBytes(facts.written ?? [])];
  const inPlace = [...clusterBytes(census.inPlace, geometry.clusterSize)];
  const held = [...without(without(clusterBytes(state.used, geometry.clusterSize), inPlace), sortedRuns(tableTails(state)))];
  const candidates = [[known, held, inPlace], [known, held], [known]];
  const unions = candidates.map((sources) => [...union(sources, facts.hostBlock)]);
  const fitting = unions.find((runs) => totalBytes(runs) <= facts.allocation) ?? known;
  const map = fitting.map(({ start, end }) => ({
    fileOffset: start,
    byteLength: end - start,
    physicalOffset: undefined,
    shared: false,
    unwritten: false,
    encoded: false,
  }));
  return { ...state, facts: { ...facts, map } };
}

/** The ends of clusters that hold tables, behind what is written of them. */
function tableTails(state: Qcow2State): Run[] {
  const { header, snapshotTable, bitmaps } = state.census;
  const tables = [
    { start: header.l1TableOffset, byteLength: header.l1Size * 8 },
    { start: header.snapshotsOffset, byteLength: snapshotTable.byteLength },
    ...snapshotTable.snapshots.map((one) => ({ start: one.l1TableOffset, byteLength: one.l1Size * 8 })),
    ...bitmaps.map((one) => ({ start: one.tableOffset, byteLength: one.tableSize * 8 })),
    ...(header.bitmaps === undefined ? [] : [{ start: header.bitmaps.directoryOffset, byteLength: header.bitmaps.directorySize }]),
  ];
  return tables.map(({ start, byteLength }) => ({
    start: roundUp(start + byteLength, state.facts.hostBlock),
    end: start + roundUp(byteLength, state.geometry.clusterSize),
  }));
}

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
  const { census, facts, geometry } = state;
  const { header } = census;
  const empty = { dataClusters: 0, tables: [], directoryBytes: 0, clusters: 0, bytes: 0, longestRun: 0 };
  if (!header.bitmapsValid || header.bitmaps === undefined) return empty;
  const stored = census.bitmaps.filter((bitmap) => !bitmap.inUse);
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
      dataClusters * geometry.clusterSize + [...tables, directoryBytes].reduce((sum, bytes) => sum + roundUp(bytes, facts.hostBlock), 0),
    longestRun: runs.reduce((longest, run) => Math.max(longest, run), 0),
  };
}

function dataClustersOf(bitmap: Qcow2Bitmap, full: boolean): number {
  return full && bitmap.enabled ? bitmap.tableSize : bitmap.dataClusters.length + bitmap.allOnesCount;
}

/** A byte run of `byteLength` bytes from the start of `cluster`. */
export function bytesAt(cluster: number, byteLength: number, geometry: RefcountGeometry): Run {
  const start = cluster * geometry.clusterSize;
  return { start, end: start + byteLength };
}
