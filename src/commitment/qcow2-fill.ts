/**
 * What QEMU reaches when the guest writes every cluster once, one cluster a request, ascending, and closes the image:
 * `expected`, by replay; and the same after one more internal snapshot. Theory: docs/commitment.md.
 */
import { divideUp, type Range, roundUp, sortRanges, subtractRanges, totalLength, uniteRanges } from '#base';
import type { FileFacts } from '#block';
import { type GrowthModel, ClusterSet, ClusterAllocator } from '#formats';
import { clusterBytes, mapBytes } from './byte-runs.ts';
import { bitmapSet, bytesAt, type Qcow2State, refcountGeometry, snapshotTableBytes } from './qcow2-state.ts';

export interface Outcome {
  /** st_size afterwards. */
  readonly length: number;
  /** Storage afterwards, without what the host charges for its own map; undefined where it cannot be known (`unmapped`). */
  readonly allocation: number | undefined;
}

/** The image after the guest has written everything. */
export function fillOnce(state: Qcow2State): Outcome {
  const replay = new Replay(state);
  replay.writeEverything(false);
  replay.closeSession(true);
  return replay.outcome(true);
}

/** The image after `qemu-img snapshot -c` and then the guest writing everything. */
export function fillAfterSnapshot(state: Qcow2State): Outcome {
  const replay = new Replay(state);
  replay.takeSnapshot();
  replay.closeSession(false);
  replay.writeEverything(true);
  replay.closeSession(true);
  return replay.outcome(false);
}

/** Index after the last cluster in use once `count` clusters were allocated one by one, with the refcounts that come along. */
export function endAfterAllocating(model: GrowthModel, count: number): number {
  const allocator = allocatorOf({ used: model.used, blocks: model.refcountBlocks, geometry: refcountGeometry(model) });
  allocator.take(count);
  return Math.max(model.used.end(), allocator.highest);
}

function allocatorOf({ used, blocks, geometry }: Pick<Qcow2State, 'used' | 'blocks' | 'geometry'>): ClusterAllocator {
  return new ClusterAllocator(used, setOf(blocks.keys()), geometry);
}

class Replay {
  readonly #state: Qcow2State;
  readonly #allocator: ClusterAllocator;
  /** Byte runs written besides whole clusters. */
  readonly #partial: Range[] = [];
  /** Byte runs whose storage was given back. */
  readonly #punched: Range[] = [];
  #shortened: { cluster: number; byteLength: number } | undefined;
  #rewritesTables = false;
  #liveBitmaps: { data: number[]; tables: Range[]; directory: Range } | undefined;

  constructor(state: Qcow2State) {
    this.#state = state;
    this.#allocator = allocatorOf(state);
    for (const run of state.repaired.runs())
      this.#partial.push(bytesAt(run.start, (run.end - run.start) * state.geometry.clusterSize, state.geometry));
    if (state.repaired.count() > 0) this.#punchOldRefcounts();
    this.#liveBitmaps = presentBitmaps(state);
  }

  /** Every guest cluster once. After a snapshot nothing is in place any more and nothing compressed is freed. */
  writeEverything(afterSnapshot: boolean): void {
    const { model } = this.#state;
    const allocator = this.#allocator;
    if (afterSnapshot) allocator.take(model.guestClusters + model.l1Needed);
    else this.#writeNeeding(model);
    // The last cluster of all is the last that is taken.
    const { lastClusterBytes } = model;
    if (lastClusterBytes !== undefined && (afterSnapshot || model.lastIsNew))
      this.#shortened = { cluster: allocator.lastTaken, byteLength: lastClusterBytes };
    this.#rewritesTables = true;
  }

  #writeNeeding(model: GrowthModel): void {
    const { compressed } = model;
    const refcounts = new Map(compressed.refcounts);
    let done = 0;
    for (let index = 0; index < compressed.allocatedBefore.length; index += 1) {
      const before = compressed.allocatedBefore[index] as number;
      this.#allocator.take(before - done + 1);
      done = before + 1;
      const first = compressed.firstCluster[index] as number;
      for (let cluster = first; cluster < first + (compressed.clusterCount[index] as number); cluster += 1) {
        const left = (refcounts.get(cluster) as number) - 1;
        refcounts.set(cluster, left);
        if (left === 0) this.#allocator.free(cluster);
      }
    }
    this.#allocator.take(model.needing + model.tablesNeeding - done);
  }

  /** Closing stores all consistent bitmaps anew and frees the old set afterwards. */
  closeSession(full: boolean): void {
    const set = bitmapSet(this.#state, full);
    if (set.clusters === 0) return;
    const { geometry } = this.#state;
    const old = this.#liveBitmaps;
    const data: number[] = [];
    const tables: Range[] = [];
    const bitmaps = this.#state.model.bitmaps.filter((bitmap) => !bitmap.inUse);
    for (const bitmap of bitmaps) {
      const count = full && bitmap.enabled ? bitmap.tableSize : bitmap.dataClusters.length + bitmap.allOnesCount;
      for (let index = 0; index < count; index += 1) {
        this.#allocator.take(1);
        data.push(this.#allocator.lastTaken);
      }
      tables.push(this.#takeBytes(bitmap.tableSize * 8));
    }
    const directory = this.#takeBytes(set.directoryBytes);
    this.#partial.push({ start: 0, end: geometry.clusterSize });
    if (old !== undefined) {
      this.#release(old.directory);
      for (const table of old.tables) this.#release(table);
      for (const cluster of old.data) {
        this.#punched.push(bytesAt(cluster, geometry.clusterSize, geometry));
        this.#allocator.written.delete(cluster);
        this.#allocator.free(cluster);
      }
    }
    this.#liveBitmaps = { data, tables, directory };
    this.#allocator.reopen();
  }

  /** L1 copy and a new snapshot table; the old table is freed and punched. */
  takeSnapshot(): void {
    const { model } = this.#state;
    this.#takeBytes(model.header.l1Size * 8);
    this.#takeBytes(snapshotTableBytes(model));
    if (model.snapshotTable.byteLength > 0) {
      const start = model.header.snapshotsOffset;
      const old = { start, end: start + roundUp(model.snapshotTable.byteLength, this.#state.geometry.clusterSize) };
      this.#punched.push(old);
      this.#release(old);
    }
    this.#partial.push({ start: model.header.l1TableOffset, end: model.header.l1TableOffset + model.header.l1Size * 8 });
    this.#rewritesTables = true;
    this.#allocator.reopen();
  }

  outcome(writesInPlace: boolean): Outcome {
    const { model, facts, geometry } = this.#state;
    const highest = this.#allocator.highest * geometry.clusterSize;
    let length = Math.max(facts.length, highest);
    const shortened = this.#shortened;
    if (shortened !== undefined && (shortened.cluster + 1) * geometry.clusterSize === length)
      length -= geometry.clusterSize - shortened.byteLength;
    const end = this.#partial.reduce((most, run) => Math.max(most, run.end), 0);
    length = Math.max(length, end);
    const written = shortened === undefined ? this.#allocator.written : copyWithout(this.#allocator.written, shortened.cluster);
    const shortenedRuns = shortened === undefined ? [] : [bytesAt(shortened.cluster, shortened.byteLength, geometry)];
    const touched = [
      clusterBytes(written, geometry.clusterSize),
      sortRanges([...this.#partial, ...shortenedRuns, ...this.#touchedMetadata()]),
      this.#rewritesTables ? clusterBytes(writesInPlace ? model.rewrittenTables : model.copiedTables, geometry.clusterSize) : [],
      writesInPlace ? inPlaceBytes(model, geometry.clusterSize) : [],
    ];
    const writes = [...uniteRanges(touched, facts.fsBlockSize)];
    const punched = sortRanges(this.#punched);
    const { map } = facts;
    if (map === undefined) return { length, allocation: unmapped(facts, writes, punched) };
    return { length, allocation: totalLength(uniteRanges([subtractRanges(mapBytes(map), punched), writes], facts.fsBlockSize)) };
  }

  #takeBytes(byteLength: number): Range {
    const { geometry } = this.#state;
    if (byteLength === 0) return { start: 0, end: 0 };
    const run = bytesAt(this.#allocator.takeRun(divideUp(byteLength, geometry.clusterSize)), byteLength, geometry);
    this.#partial.push(run);
    return run;
  }

  #release(run: Range): void {
    const { clusterSize } = this.#state.geometry;
    for (let cluster = run.start / clusterSize; cluster * clusterSize < run.end; cluster += 1) this.#allocator.free(cluster);
  }

  /** Old refcount structures are freed and punched once a rebuilt set stands. */
  #punchOldRefcounts(): void {
    const { model } = this.#state;
    const { header } = model;
    this.#punched.push({
      start: header.refcountTableOffset,
      end: header.refcountTableOffset + header.refcountTableClusters * header.clusterSize,
    });
    for (const cluster of model.refcountBlocks.values()) this.#punched.push(bytesAt(cluster, header.clusterSize, this.#state.geometry));
  }

  /** Refcount blocks of the ranges that changed, the table entries of new blocks, L1 entries of new tables. */
  #touchedMetadata(): Range[] {
    const { model, geometry, blocks } = this.#state;
    const runs: Range[] = [];
    const ranges = new Set<number>();
    for (const { start, end } of this.#allocator.written.runs()) {
      for (let range = Math.floor(start / geometry.blockEntries); range * geometry.blockEntries < end; range += 1) ranges.add(range);
    }
    for (const range of ranges) {
      const cluster = blocks.get(range);
      if (cluster !== undefined) runs.push(bytesAt(cluster, geometry.clusterSize, geometry));
    }
    if (!this.#allocator.tableMoved) {
      for (const range of this.#allocator.newBlocks)
        runs.push({
          start: geometry.tableCluster * geometry.clusterSize + range * 8,
          end: geometry.tableCluster * geometry.clusterSize + range * 8 + 8,
        });
    }
    if (model.tablesNeeding > 0) runs.push({ start: model.header.l1TableOffset, end: model.header.l1TableOffset + model.l1Needed * 8 });
    return runs;
  }
}

/**
 * Storage after `writes` where the filesystem gives no map of the file. Of what is allocated beyond the ranges that are known
 * the place is not: it counts only where that makes no difference, in a file that has storage throughout, or where the writes
 * fall into known ranges and behind the file's end.
 */
function unmapped(facts: FileFacts, writes: readonly Range[], punched: readonly Range[]): number | undefined {
  const known = [...uniteRanges([mapBytes(facts.written ?? [])], facts.fsBlockSize)];
  const file = { start: 0, end: roundUp(facts.length, facts.fsBlockSize) };
  const elsewhere = facts.allocation - totalLength(known);
  const places = totalLength(subtractRanges([file], known));
  const stored = elsewhere === 0 ? known : elsewhere === places ? [file] : undefined;
  if (stored !== undefined) return totalLength(uniteRanges([subtractRanges(stored, punched), writes], facts.fsBlockSize));
  const isFileTouched = totalLength(subtractRanges(subtractRanges([file], known), writes)) < places;
  if (isFileTouched || elsewhere > places || punched.length > 0) return undefined;
  return totalLength(uniteRanges([known, writes], facts.fsBlockSize)) + elsewhere;
}

/** Guest data in place, the last cluster only as far as a write fills it. */
export function* inPlaceBytes(model: GrowthModel, clusterSize: number): Generator<Range> {
  const partial = model.partialInPlace;
  for (const run of clusterBytes(model.inPlace, clusterSize)) {
    if (partial === undefined || partial.hostCluster * clusterSize < run.start || partial.hostCluster * clusterSize >= run.end) yield run;
    else {
      const at = partial.hostCluster * clusterSize;
      yield { start: run.start, end: at + partial.byteLength };
      if (at + clusterSize < run.end) yield { start: at + clusterSize, end: run.end };
    }
  }
}

function presentBitmaps(state: Qcow2State): { data: number[]; tables: Range[]; directory: Range } | undefined {
  const { header, bitmaps } = state.model;
  if (!header.bitmapsValid || header.bitmaps === undefined) return undefined;
  const stored = bitmaps.filter((bitmap) => !bitmap.inUse);
  return {
    data: stored.flatMap((bitmap) => bitmap.dataClusters),
    tables: stored.map((bitmap) => ({ start: bitmap.tableOffset, end: bitmap.tableOffset + bitmap.tableSize * 8 })),
    directory: { start: header.bitmaps.directoryOffset, end: header.bitmaps.directoryOffset + header.bitmaps.directorySize },
  };
}

function setOf(indexes: Iterable<number>): ClusterSet {
  const set = new ClusterSet();
  for (const index of indexes) set.add(index);
  return set;
}

function copyWithout(clusters: ClusterSet, cluster: number): ClusterSet {
  const copy = new ClusterSet();
  for (const { start, end } of clusters.runs()) copy.addRun(start, end);
  copy.delete(cluster);
  return copy;
}
