/**
 * QEMU's cluster allocator, replayed: lowest free cluster first, refcount blocks where a range has none, the refcount
 * table moved when it is full. Source: block/qcow2-refcount.c of QEMU 7.2 (`alloc_clusters_noref`,
 * `alloc_refcount_block`, `qcow2_refcount_area`), read for facts; docs/commitment.md tells the theory.
 */
import { divideUp, type Range, roundUp } from '#base';
import { ClusterSet } from '../../clusters/index.ts';
import { FreedClusters } from './freed-clusters.ts';
import { refcountMetadataBlocks, type RefcountShape } from './refcount-metadata.ts';

export interface RefcountGeometry extends RefcountShape {
  /** Entries of the refcount table, and where it lies. */
  readonly tableEntries: number;
  readonly tableCluster: number;
}

export class ClusterAllocator {
  /** Clusters taken and written whole: guest data, L2 tables, refcount structures. */
  readonly written = new ClusterSet();
  /** Refcount-table indexes that got a block since the start. */
  readonly newBlocks: number[] = [];
  /** Index after the last cluster that was ever taken. */
  highest = 0;
  /** The cluster that was taken last by `take`. */
  lastTaken = -1;
  /** The refcount table was moved to a new place, written whole. */
  tableMoved = false;

  readonly #geometry: RefcountGeometry;
  readonly #hasBlock: ClusterSet;
  readonly #gaps: Iterator<Range>;
  /** Freed clusters, below the frontier and above it. */
  readonly #freed = new FreedClusters();
  #skipped: Range[] = [];
  #frontier: Range;
  #tableEntries: number;
  #tableCluster: number;

  /** `used` must not change while the allocator lives; `blocks`, indexes of the refcount table that have one, it changes. */
  constructor(used: ClusterSet, blocks: ClusterSet, geometry: RefcountGeometry) {
    this.#geometry = geometry;
    this.#hasBlock = blocks;
    this.#gaps = gapsBetween(used);
    this.#frontier = this.#nextGap();
    this.#tableEntries = geometry.tableEntries;
    this.#tableCluster = geometry.tableCluster;
  }

  /** Takes `count` clusters by requests of one cluster each. */
  take(count: number): void {
    let left = count;
    while (left > 0) left -= this.#takeSome(left);
  }

  /** Takes one run of `count` neighbouring clusters; not `written`, since only part of it may be. Returns its start. */
  takeRun(count: number): number {
    const start = this.#findRun(count);
    this.#noteHighest(start + count);
    for (let cluster = start; cluster < start + count; cluster += 1) {
      if (!this.#hasBlock.has(this.#rangeOf(cluster))) this.#placeBlock(this.#rangeOf(cluster), cluster);
    }
    return start;
  }

  /** Gives back a cluster. QEMU's search position falls back to it: what was passed over above it is searched again. */
  free(cluster: number): void {
    this.#freed.push(cluster);
    if (this.#skipped.length > 0) this.#restoreSkipped(cluster);
  }

  /** What was passed over is searched again after the image is closed and opened. */
  reopen(): void {
    this.#restoreSkipped(0);
  }

  #takeSome(most: number): number {
    const range = this.#rangeOf(this.#peek());
    if (!this.#hasBlock.has(range)) {
      const trigger = this.#pop();
      if (this.#placeBlock(range, trigger)) {
        this.#freed.push(trigger);
        return 0;
      }
      this.#write(trigger, trigger + 1);
      return 1;
    }
    const { start, end } = this.#frontier;
    const freed = this.#leastFreed();
    if (freed <= start) {
      const cluster = this.#freed.pop();
      // A damaged image can free a cluster that its refcounts count as free already.
      if (cluster === start) this.#advance(start + 1);
      this.#write(cluster, cluster + 1);
      return 1;
    }
    const count = Math.min(most, end - start, freed - start, (range + 1) * this.#geometry.blockEntries - start);
    this.#advance(start + count);
    this.#write(start, start + count);
    return count;
  }

  #write(start: number, end: number): void {
    this.written.addRun(start, end);
    this.lastTaken = end - 1;
    this.#noteHighest(end);
  }

  #noteHighest(end: number): void {
    if (end > this.highest) this.highest = end;
  }

  /** Gives `range` a block at the next free cluster. Returns true when the table had to move: the search starts anew. */
  #placeBlock(range: number, trigger: number): boolean {
    const block = this.#pop();
    this.#hasBlock.add(range);
    this.newBlocks.push(range);
    this.written.add(block);
    this.#noteHighest(block + 1);
    const blockRange = this.#rangeOf(block);
    if (!this.#hasBlock.has(blockRange)) this.#placeBlock(blockRange, block);
    if (range < this.#tableEntries) return false;
    this.#growTable(trigger, block);
    return true;
  }

  /** The table moves to the next multiple of a block's range behind everything, its new blocks in front of it. */
  #growTable(trigger: number, block: number): void {
    const { blockEntries, clusterSize } = this.#geometry;
    const start = divideUp(Math.max(trigger + 1, block), blockEntries) * blockEntries;
    const blocks = refcountMetadataBlocks(start, this.#geometry, true);
    const entries = roundUp(blocks + divideUp(blocks, 2), clusterSize / 8);
    const tableClusters = (entries * 8) / clusterSize;
    let newBlocks = 0;
    for (let range = start / blockEntries; range < blocks; range += 1) {
      if (this.#hasBlock.has(range)) continue;
      this.#hasBlock.add(range);
      this.newBlocks.push(range);
      newBlocks += 1;
    }
    const end = start + newBlocks + tableClusters;
    this.written.addRun(start, end);
    this.#noteHighest(end);
    this.#reserve(start, end);
    const oldClusters = divideUp(this.#tableEntries * 8, clusterSize);
    for (let cluster = 0; cluster < oldClusters; cluster += 1) this.#freed.push(this.#tableCluster + cluster);
    this.#tableEntries = entries;
    this.#tableCluster = start + newBlocks;
    this.tableMoved = true;
  }

  /** [start, end), in the endless space behind the last gap, is taken; what lies before it stays free. */
  #reserve(start: number, end: number): void {
    const before = this.#frontier.start;
    this.#skippedTail = { start: end, end: Number.POSITIVE_INFINITY };
    this.#frontier = { start: before, end: start };
    if (before >= start) this.#frontier = this.#nextGap();
  }

  #skippedTail: Range | undefined;

  #nextGap(): Range {
    if (this.#skippedTail !== undefined) {
      const tail = this.#skippedTail;
      this.#skippedTail = undefined;
      return tail;
    }
    return this.#gaps.next().value as Range;
  }

  #peek(): number {
    return Math.min(this.#leastFreed(), this.#frontier.start);
  }

  #leastFreed(): number {
    return this.#freed.isEmpty ? Number.POSITIVE_INFINITY : this.#freed.least();
  }

  #pop(): number {
    const { start } = this.#frontier;
    if (this.#leastFreed() < start) return this.#freed.pop();
    this.#advance(start + 1);
    return start;
  }

  #advance(to: number): void {
    this.#frontier = to < this.#frontier.end ? { start: to, end: this.#frontier.end } : this.#nextGap();
  }

  #findRun(count: number): number {
    if (count === 1) return this.#pop();
    const among = this.#freed.firstConsecutive(count) ?? Number.POSITIVE_INFINITY;
    while (this.#frontier.end - this.#frontier.start < count && this.#frontier.start < among) {
      this.#skipped.push(this.#frontier);
      this.#frontier = this.#nextGap();
    }
    const { start } = this.#frontier;
    if (among < start) return this.#freed.takeConsecutive(count) as number;
    this.#advance(start + count);
    return start;
  }

  #restoreSkipped(from: number): void {
    this.#freed.pushRuns(this.#skipped.filter(({ start }) => start >= from));
    this.#skipped = this.#skipped.filter(({ start }) => start < from);
  }

  #rangeOf(cluster: number): number {
    return Math.floor(cluster / this.#geometry.blockEntries);
  }
}

/** The free runs between used ones, ascending, the last one endless. */
function* gapsBetween(used: ClusterSet): Generator<Range, Range> {
  let end = 0;
  for (const run of used.runs()) {
    if (run.start > end) yield { start: end, end: run.start };
    ({ end } = run);
  }
  return { start: end, end: Number.POSITIVE_INFINITY };
}
