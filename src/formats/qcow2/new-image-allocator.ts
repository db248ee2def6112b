/**
 * Where QEMU puts the clusters of an image that it makes: the search for free runs, refcount blocks that describe
 * themselves, and the refcount table that moves when it is full. Replayed step by step, so that a new image has the
 * length and the clusters that `qemu-img create` gives it, holes included.
 * Source: facts from block/qcow2-refcount.c of QEMU 7.2 (`alloc_clusters_noref`, `update_refcount`,
 * `alloc_refcount_block`, `qcow2_refcount_area`).
 */
import { divideUp, type Range, roundUp } from '#base';
import { FreeRuns } from './new-image-free-runs.ts';

export interface RefcountShape {
  readonly clusterSize: number;
  /** Clusters that one refcount block covers. */
  readonly blockEntries: number;
}

/** Refcount blocks that `clusters` clusters need, the refcount structures' own clusters included. */
export function refcountBlocksFor(clusters: number, shape: RefcountShape, generous: boolean): number {
  let counted = clusters;
  let blocks = 0;
  let table = 0;
  let total = -1;
  let isGenerous = generous;
  for (;;) {
    blocks = divideUp(counted + table + blocks, shape.blockEntries);
    table = divideUp(blocks * 8, shape.clusterSize);
    const sum = counted + blocks + table;
    if (sum === total && !isGenerous) return blocks;
    if (sum === total) {
      counted += divideUp(table, 2);
      isGenerous = false;
    }
    total = sum;
  }
}

export class NewImageAllocator {
  readonly shape: RefcountShape;
  #free = new FreeRuns();
  /** Cluster of the refcount block of each range, 0 or missing where there is none. */
  #blocks: number[] = [];
  #blockCount = 0;
  #tableCluster = 1;
  #tableClusters = 1;
  /** Where the refcount table lay before it moved: free, but written once. */
  #abandoned: Range[] = [];
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

  clone(): NewImageAllocator {
    const copy = new NewImageAllocator(this.shape);
    copy.#free = this.#free.clone();
    copy.#blocks = this.#blocks.slice();
    copy.#blockCount = this.#blockCount;
    copy.#tableCluster = this.#tableCluster;
    copy.#tableClusters = this.#tableClusters;
    copy.#abandoned = [...this.#abandoned];
    copy.#next = this.#next;
    return copy;
  }

  /** The image is closed and opened again: the search begins at its start. */
  reopen(): void {
    this.#next = 0;
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
   * Takes `count` clusters by requests of one cluster each, and returns the last of them (-1 for none). Ranges that have
   * their block are taken at one go.
   */
  allocateSingly(count: number): number {
    let last = -1;
    for (let left = count; left > 0; ) {
      const start = this.#free.firstRun(this.#next, 1);
      const range = this.#rangeOf(start);
      if (!this.#hasBlock(range)) {
        last = this.allocate(1);
        left -= 1;
        continue;
      }
      const taken = this.#free.freeAt(start, Math.min(left, (range + 1) * this.shape.blockEntries - start));
      this.#free.take(start, start + taken);
      this.#next = start + taken;
      last = start + taken - 1;
      left -= taken;
    }
    return last;
  }

  /**
   * A new refcount table from `start` on, behind everything, with the blocks that are missing for `additional` clusters
   * behind it. Returns the cluster after it.
   */
  placeRefcountArea(start: number, additional: number, exact: boolean): number {
    const { blockEntries, clusterSize } = this.shape;
    const blockTotal = refcountBlocksFor(start + additional, this.shape, !exact);
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
