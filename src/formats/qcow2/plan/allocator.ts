/**
 * Where QEMU puts the clusters of an image that it makes: the search for free runs, refcount blocks that describe
 * themselves, and the refcount table that moves when it is full. Replayed step by step, so that a new image has the
 * length and the clusters that `qemu-img create` gives it, holes included.
 * Source: facts from block/qcow2-refcount.c of QEMU 7.2 (`alloc_clusters_noref`, `update_refcount`,
 * `alloc_refcount_block`, `qcow2_refcount_area`).
 */
import { divideUp, type Range, roundUp } from '#base';
import { refcountMetadataBlocks, type RefcountShape } from '../alloc/refcount-metadata.ts';
import { FreeRuns } from './free-runs.ts';

export class NewImageAllocator {
  readonly shape: RefcountShape;
  readonly #free = new FreeRuns();
  /** Cluster of the refcount block of each range, 0 or missing where there is none. */
  readonly #blocks: number[] = [];
  #blockCount = 0;
  #tableCluster = 1;
  #tableClusters = 1;
  /** Where the refcount table lay before it moved: free, but written once. */
  readonly #abandoned: Range[] = [];
  /** No search looks below this cluster until something there is freed. */
  #next = 0;

  constructor(shape: RefcountShape) {
    this.shape = shape;
  }

  /** An image of three clusters, as QEMU starts each: header, refcount table, refcount block. */
  static start(shape: RefcountShape): NewImageAllocator {
    const allocator = new NewImageAllocator(shape);
    allocator.#blocks[0] = 2;
    allocator.#blockCount = 1;
    allocator.allocate(3);
    return allocator;
  }

  get free(): FreeRuns {
    return this.#free;
  }
  get blocks(): readonly number[] {
    return this.#blocks;
  }
  get blockCount(): number {
    return this.#blockCount;
  }
  get tableCluster(): number {
    return this.#tableCluster;
  }
  get tableClusters(): number {
    return this.#tableClusters;
  }
  get abandoned(): readonly Range[] {
    return this.#abandoned;
  }

  /** Takes one run of `count` clusters and returns its start. */
  allocate(count: number): number {
    let start: number;
    do start = this.#search(count);
    while (!this.#use(start, count));
    return start;
  }

  /** Takes up to `count` clusters from `start` on, as far as they are free, and returns how many. */
  allocateAt(start: number, count: number): number {
    let available: number;
    do available = this.#free.freeAt(start, count);
    while (!this.#use(start, available));
    return available;
  }

  /**
   * A new refcount table from `start` on, behind everything, with the blocks that are missing for `additional` clusters
   * behind it. Returns the cluster after it.
   */
  placeRefcountArea(start: number, additional: number, exact: boolean): number {
    const { blockEntries, clusterSize } = this.shape;
    const blockTotal = refcountMetadataBlocks(start + additional, this.shape, !exact);
    const entries = roundUp(exact ? blockTotal : blockTotal + divideUp(blockTotal, 2), clusterSize / 8);
    let at = start;
    for (let range = Math.floor(start / blockEntries); range < blockTotal; range += 1) {
      if (this.#hasBlock(range)) continue;
      this.#setBlock(range, at);
      at += 1;
    }
    const end = at + (entries * 8) / clusterSize;
    this.#free.take(start, end);
    this.#abandonTable();
    this.#tableCluster = at;
    this.#tableClusters = end - at;
    return end;
  }

  #abandonTable(): void {
    const old = { start: this.#tableCluster, end: this.#tableCluster + this.#tableClusters };
    this.#free.release(old.start, old.end);
    this.#abandoned.push(old);
    this.#next = Math.min(this.#next, old.start);
  }

  #search(count: number): number {
    const start = this.#free.firstRun(this.#next, count);
    this.#next = start + count;
    return start;
  }

  /** Counts references to [start, start + count). False: a refcount block had to be made, search again. */
  #use(start: number, count: number): boolean {
    const end = start + count;
    for (let at = start; at < end; at = (this.#rangeOf(at) + 1) * this.shape.blockEntries) {
      if (this.#hasBlock(this.#rangeOf(at))) continue;
      // What was counted so far stays counted while the block looks for its place, and is given back before the retry.
      this.#free.take(start, at);
      this.#addBlock(this.#rangeOf(at), at);
      this.#free.release(start, at);
      this.#next = Math.min(this.#next, start);
      return false;
    }
    this.#free.take(start, end);
    return true;
  }

  #addBlock(range: number, cluster: number): void {
    const block = this.#search(1);
    if (this.#rangeOf(block) === range) this.#free.take(block, block + 1);
    else if (!this.#use(block, 1)) return;
    this.#setBlock(range, block);
    if (range < (this.#tableClusters * this.shape.clusterSize) / 8) return;
    const covered = divideUp(Math.max(cluster, block) + 1, this.shape.blockEntries);
    this.placeRefcountArea(covered * this.shape.blockEntries, 0, false);
  }

  #hasBlock(range: number): boolean {
    return (this.#blocks[range] ?? 0) !== 0;
  }

  #setBlock(range: number, cluster: number): void {
    while (this.#blocks.length < range) this.#blocks.push(0);
    this.#blocks[range] = cluster;
    this.#blockCount += 1;
  }

  #rangeOf(cluster: number): number {
    return Math.floor(cluster / this.shape.blockEntries);
  }
}
