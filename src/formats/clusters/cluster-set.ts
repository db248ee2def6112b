/**
 * A set of host clusters. Most are filled in order and have few gaps: a sorted list of runs serves those, the small image
 * and the huge one alike. A set with more runs is kept as a bitmap.
 */
import type { Range } from '#base';
import { ChunkBudget } from './chunk-budget.ts';
import { ClusterChunks } from './cluster-chunks.ts';

/** Runs that are kept as a list: adding out of order moves what lies behind. */
const MAX_RUNS = 4096;

interface OpenRun {
  start: number;
  end: number;
}

export class ClusterSet {
  /** Ascending, not touching each other; unused once there are chunks. */
  #list: OpenRun[] = [];
  #chunks: ClusterChunks | undefined;
  readonly #budget: ChunkBudget | undefined;

  /** `budget` bounds the memory of sets that live together. */
  constructor(budget?: ChunkBudget) {
    this.#budget = budget;
  }

  add(cluster: number): void {
    this.addRun(cluster, cluster + 1);
  }

  /** Adds 32 clusters from `first` (a multiple of 32) where `mask` has a bit. */
  addWord(first: number, mask: number): void {
    if (this.#chunks !== undefined) return this.#chunks.addWord(first, mask);
    let left = mask >>> 0;
    let at = first;
    while (left !== 0) {
      const gap = 31 - Math.clz32(left & -left);
      left >>>= gap;
      at += gap;
      const count = left === 0xffffffff ? 32 : 31 - Math.clz32(~left & (left + 1));
      this.addRun(at, at + count);
      left = count === 32 ? 0 : left >>> count;
      at += count;
    }
  }

  /** Adds [start, end). */
  addRun(start: number, end: number): void {
    if (end <= start) return;
    if (this.#chunks !== undefined) return this.#chunks.addRun(start, end);
    const list = this.#list;
    const last = list[list.length - 1];
    if (last === undefined || start > last.end) list.push({ start, end });
    else if (start >= last.start) last.end = Math.max(last.end, end);
    else this.#insert(start, end);
    if (list.length > MAX_RUNS) this.#toChunks();
  }

  #insert(start: number, end: number): void {
    const list = this.#list;
    const from = firstEndingFrom(list, start);
    let to = from;
    while (to < list.length && (list[to] as OpenRun).start <= end) to += 1;
    if (to === from) {
      list.splice(from, 0, { start, end });
      return;
    }
    const first = list[from] as OpenRun;
    first.start = Math.min(first.start, start);
    first.end = Math.max((list[to - 1] as OpenRun).end, end);
    if (to > from + 1) list.splice(from + 1, to - from - 1);
  }

  delete(cluster: number): void {
    if (this.#chunks !== undefined) return this.#chunks.delete(cluster);
    const list = this.#list;
    const index = firstEndingFrom(list, cluster + 1);
    const run = list[index];
    if (run === undefined || run.start > cluster) return;
    const left = { start: run.start, end: cluster };
    const right = { start: cluster + 1, end: run.end };
    list.splice(index, 1, ...[left, right].filter(({ start, end }) => start < end));
    if (list.length > MAX_RUNS) this.#toChunks();
  }

  has(cluster: number): boolean {
    if (this.#chunks !== undefined) return this.#chunks.has(cluster);
    const run = this.#list[firstEndingFrom(this.#list, cluster + 1)];
    return run !== undefined && run.start <= cluster;
  }

  /** How many clusters are in the set. */
  count(): number {
    if (this.#chunks !== undefined) return this.#chunks.count();
    return this.#list.reduce((total, { start, end }) => total + end - start, 0);
  }

  /** How many clusters are in this set and not in `other`. */
  countWithout(other: ClusterSet): number {
    if (this.#chunks === undefined && other.#chunks === undefined) return this.count() - countCommon(this.#list, other.#list);
    return this.#asChunks().countWithout(other.#asChunks());
  }

  /** The lowest cluster that is in both sets. */
  firstCommon(other: ClusterSet): number | undefined {
    if (this.#chunks !== undefined || other.#chunks !== undefined) return this.#asChunks().firstCommon(other.#asChunks());
    for (const { start } of commonRuns(this.#list, other.#list)) return start;
    return undefined;
  }

  /** Index after the last cluster of the set; 0 when it is empty. */
  end(): number {
    return this.#chunks === undefined ? (this.#list.at(-1)?.end ?? 0) : this.#chunks.end();
  }

  /** The runs of neighbouring clusters, ascending, not touching each other; good until the set changes. */
  runs(): Iterable<Range> {
    return this.#chunks === undefined ? this.#list : this.#chunks.runs();
  }

  #toChunks(): void {
    this.#chunks = this.#inChunks(this.#budget ?? new ChunkBudget());
    this.#list = [];
  }

  /** For comparing with a set that has chunks: a copy that lives as long as the comparison. */
  #asChunks(): ClusterChunks {
    return this.#chunks ?? this.#inChunks(new ChunkBudget());
  }

  #inChunks(budget: ChunkBudget): ClusterChunks {
    const chunks = new ClusterChunks(budget);
    for (const { start, end } of this.#list) chunks.addRun(start, end);
    return chunks;
  }
}

/** Index of the first run that ends at `cluster` or behind it. */
function firstEndingFrom(list: readonly Range[], cluster: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((list[middle] as Range).end < cluster) low = middle + 1;
    else high = middle;
  }
  return low;
}

function countCommon(some: readonly Range[], others: readonly Range[]): number {
  let total = 0;
  for (const { start, end } of commonRuns(some, others)) total += end - start;
  return total;
}

/** What two ascending lists have in common, ascending. */
function* commonRuns(some: readonly Range[], others: readonly Range[]): Generator<Range> {
  let at = 0;
  for (const one of some) {
    while (at < others.length && (others[at] as Range).end <= one.start) at += 1;
    for (let next = at; next < others.length && (others[next] as Range).start < one.end; next += 1) {
      const other = others[next] as Range;
      yield { start: Math.max(one.start, other.start), end: Math.min(one.end, other.end) };
    }
  }
}
