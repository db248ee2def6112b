/**
 * QEMU's cluster allocator, one cluster at a time, as sizes.md and block/qcow2-refcount.c describe it: a refcount a cluster,
 * a search from `freeIndex`, a refcount block when a range has none, a larger table elsewhere when the table is full.
 * Slow and plain, to judge the quick replay by.
 */
export interface NaiveGeometry {
  readonly clusterSize: number;
  readonly blockEntries: number;
  readonly tableEntries: number;
  readonly tableCluster: number;
}

export class NaiveAllocator {
  readonly used: Set<number>;
  /** Refcount-table index to the cluster of its block. */
  readonly blocks: Map<number, number>;
  readonly #geometry: NaiveGeometry;
  #tableEntries: number;
  #tableCluster: number;
  #freeIndex = 0;
  tableMoved = false;

  constructor(used: Iterable<number>, blocks: Iterable<readonly [number, number]>, geometry: NaiveGeometry) {
    this.used = new Set(used);
    this.blocks = new Map(blocks);
    this.#geometry = geometry;
    this.#tableEntries = geometry.tableEntries;
    this.#tableCluster = geometry.tableCluster;
  }

  /** One request for `count` neighbouring clusters. */
  allocate(count: number): number {
    for (;;) {
      const start = this.#search(count);
      if (this.#markUsed(start, count)) return start;
    }
  }

  free(cluster: number): void {
    this.used.delete(cluster);
    this.#freeIndex = Math.min(this.#freeIndex, cluster);
  }

  reopen(): void {
    this.#freeIndex = 0;
  }

  #search(count: number): number {
    for (let found = 0; found < count; ) {
      const cluster = this.#freeIndex;
      this.#freeIndex += 1;
      found = this.used.has(cluster) ? 0 : found + 1;
    }
    return this.#freeIndex - count;
  }

  /** False: a refcount block had to be made, and the search starts anew at the same clusters. */
  #markUsed(start: number, count: number): boolean {
    for (let cluster = start; cluster < start + count; cluster += 1) {
      if (this.blocks.has(this.#rangeOf(cluster))) continue;
      this.#makeBlock(cluster);
      for (let taken = start; taken < cluster; taken += 1) this.used.delete(taken);
      this.#freeIndex = Math.min(this.#freeIndex, start);
      return false;
    }
    for (let cluster = start; cluster < start + count; cluster += 1) this.used.add(cluster);
    return true;
  }

  #makeBlock(cluster: number): void {
    const range = this.#rangeOf(cluster);
    const block = this.#search(1);
    if (this.#rangeOf(block) === range) this.used.add(block);
    else while (!this.#markUsed(block, 1)) continue;
    this.blocks.set(range, block);
    if (range >= this.#tableEntries) this.#growTable(cluster, block);
  }

  #growTable(cluster: number, block: number): void {
    const { blockEntries, clusterSize } = this.#geometry;
    const start = Math.ceil(Math.max(cluster + 1, block) / blockEntries) * blockEntries;
    const total = metadataBlocks(start, this.#geometry);
    const perCluster = clusterSize / 8;
    const entries = Math.ceil((total + Math.ceil(total / 2)) / perCluster) * perCluster;
    let next = start;
    for (let range = start / blockEntries; range < total; range += 1) {
      if (this.blocks.has(range)) continue;
      this.blocks.set(range, next);
      next += 1;
    }
    const table = next;
    for (let taken = start; taken < table + entries / perCluster; taken += 1) this.used.add(taken);
    const oldClusters = Math.ceil(this.#tableEntries / perCluster);
    const old = this.#tableCluster;
    this.#tableEntries = entries;
    this.#tableCluster = table;
    this.tableMoved = true;
    for (let freed = old; freed < old + oldClusters; freed += 1) this.free(freed);
  }

  #rangeOf(cluster: number): number {
    return Math.floor(cluster / this.#geometry.blockEntries);
  }
}

/** Blocks that describe `clusters` clusters, themselves and their table; room for half as large a table again. */
export function metadataBlocks(clusters: number, { clusterSize, blockEntries }: NaiveGeometry): number {
  const settle = (count: number): { blocks: number; table: number } => {
    let [blocks, table] = [0, 0];
    for (;;) {
      const [moreBlocks, moreTable] = [
        Math.ceil((count + blocks + table) / blockEntries),
        Math.ceil(Math.ceil((count + blocks + table) / blockEntries) / (clusterSize / 8)),
      ];
      if (moreBlocks === blocks && moreTable === table) return { blocks, table };
      [blocks, table] = [moreBlocks, moreTable];
    }
  };
  return settle(clusters + Math.ceil(settle(clusters).table / 2)).blocks;
}
