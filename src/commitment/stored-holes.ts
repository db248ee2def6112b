/**
 * Storage behind free clusters: how much of it guest writes are certain to use again. Theory: docs/commitment.md, "Storage
 * that is used again".
 */
import { type Range, sortRanges } from '#base';
import type { StorageMap } from '#block';
import type { CompressedClusters } from '#formats';
import { mapBytes } from './byte-runs.ts';
import type { Qcow2State } from './qcow2-state.ts';

/** What guest writes ask for. */
export interface AskedFor {
  /** Bytes of new clusters: guest data and metadata. */
  readonly bytes: number;
  /** Longest run of one request, in clusters. */
  readonly run: number;
  /** Clusters that can be placed behind the last used one although free clusters below it would do. */
  readonly pastHoles: number;
  /** Bytes of the last guest cluster that are never written, although it takes a whole cluster. */
  readonly neverWritten: number;
  /** The refcount table moves, and its old clusters become free. */
  readonly tableMoves: boolean;
}

/**
 * Bytes of storage in `holes` (free runs of clusters below the last used one, ascending) that are used again whatever the
 * order and size of the requests.
 *
 * Either everything that is asked for finds free clusters without storage, or places behind the end by continuing a cluster
 * that is written in place: then none. Or a request went past all holes: then less than `run` clusters of each are left.
 */
export function reusedStorage(state: Qcow2State, map: StorageMap, holes: readonly Range[], asked: AskedFor): number {
  const { clusterSize } = state.geometry;
  const left = (asked.run - 1) * clusterSize;
  let certain = 0;
  let unstored = asked.pastHoles * clusterSize;
  const ranges = new StoredRanges(map);
  for (const { start, end } of holes) {
    const stored = ranges.within(start * clusterSize, end * clusterSize);
    certain += Math.max(0, stored - left);
    unstored += (end - start) * clusterSize - stored;
  }
  if (certain === 0) return 0;
  unstored += unstoredOfFreed(state, map, asked.tableMoves);
  return Math.max(0, Math.min(asked.bytes - unstored, certain - asked.neverWritten));
}

/** Clusters that guest writes free, as far as they have no storage: compressed data, and a refcount table that moves. */
function unstoredOfFreed({ model, geometry }: Qcow2State, map: StorageMap, tableMoves: boolean): number {
  const { compressed } = model;
  if (compressed.count > compressed.firstCluster.length) return Number.POSITIVE_INFINITY;
  const touched = [...freedByWrites(compressed)].map((cluster) => ({ start: cluster, end: cluster + 1 }));
  const table = { start: geometry.tableCluster, end: geometry.tableCluster + (geometry.tableEntries * 8) / geometry.clusterSize };
  const ranges = new StoredRanges(map);
  let unstored = 0;
  for (const { start, end } of sortRanges(tableMoves ? [...touched, table] : touched))
    unstored += (end - start) * geometry.clusterSize - ranges.within(start * geometry.clusterSize, end * geometry.clusterSize);
  return unstored;
}

/** Host clusters that become free once the guest has overwritten all of its compressed clusters: no snapshot keeps them. */
export function* freedByWrites({ references, refcounts }: CompressedClusters): Generator<number> {
  for (const [cluster, count] of references) if ((refcounts.get(cluster) ?? 0) <= count) yield cluster;
}

/** Sums the stored bytes of ascending, disjoint ranges in one pass over the map. */
class StoredRanges {
  readonly #ranges: Iterator<Range>;
  #range: IteratorResult<Range>;

  constructor(map: StorageMap) {
    this.#ranges = mapBytes(map);
    this.#range = this.#ranges.next();
  }

  /** Stored bytes of [start, end). */
  within(start: number, end: number): number {
    let stored = 0;
    while (this.#range.done !== true && this.#range.value.end <= start) this.#range = this.#ranges.next();
    while (this.#range.done !== true && this.#range.value.start < end) {
      stored += Math.min(end, this.#range.value.end) - Math.max(start, this.#range.value.start);
      if (this.#range.value.end > end) break;
      this.#range = this.#ranges.next();
    }
    return stored;
  }
}
