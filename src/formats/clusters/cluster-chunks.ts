/**
 * Host clusters as a bitmap in chunks, so that the few clusters of a huge sparse file cost little and the many of a full
 * one cost a bit each; where everything is in the set, nothing. ClusterSet is what others use.
 */
import type { Range } from '#base';
import type { ChunkBudget } from './chunk-budget.ts';
import {
  CHUNK_CLUSTERS,
  CHUNK_WORDS,
  countBits,
  countDifference,
  findRuns,
  firstCommonBit,
  FULL_CHUNK,
  isFull,
  lastBit,
  setBits,
} from './chunk-words.ts';

/** Chunks of one group: a group that is wholly in the set is one number. */
const GROUP_CHUNKS = 1024;
const GROUP_CLUSTERS = GROUP_CHUNKS * CHUNK_CLUSTERS;

export class ClusterChunks {
  readonly #chunks = new Map<number, Uint32Array>();
  /** Groups that are wholly in the set; they have no chunks. */
  readonly #fullGroups = new Set<number>();
  /** Of the other groups, how many of their chunks are full. */
  readonly #fullInGroup = new Map<number, number>();
  /** The chunk that got memory last: sets are mostly filled in order, so it is full when the next one begins. */
  #last = -1;
  /**
   * The two runs added last, not yet in the chunks: what lies right before or behind one only makes it longer. Two, since
   * an allocator that takes one cluster out of turn then goes on where it was.
   */
  #older = { start: 0, end: 0 };
  #newer = { start: 0, end: 0 };
  readonly #budget: ChunkBudget;

  constructor(budget: ChunkBudget) {
    this.#budget = budget;
    budget.add(this);
  }

  add(cluster: number): void {
    this.addRun(cluster, cluster + 1);
  }

  /** Adds 32 clusters from `first` (a multiple of 32) where `mask` has a bit. */
  addWord(first: number, mask: number): void {
    if (mask === 0) return;
    const within = first % CHUNK_CLUSTERS;
    this.#addToWord((first - within) / CHUNK_CLUSTERS, within >>> 5, mask);
  }

  /** Adds [start, end). */
  addRun(start: number, end: number): void {
    if (end <= start) return;
    const [older, newer] = [this.#older, this.#newer];
    if (start === newer.end) newer.end = end;
    else if (end === newer.start) newer.start = start;
    else {
      this.#put(older.start, older.end);
      this.#older = newer;
      this.#newer = older;
      older.start = start;
      older.end = end;
      return;
    }
    if (older.end === newer.start) newer.start = older.start;
    else if (newer.end === older.start) newer.end = older.end;
    else return;
    older.start = older.end;
  }

  /** Puts the open runs into the chunks; before anything but adding. */
  #settle(): void {
    for (const run of [this.#older, this.#newer]) {
      if (run.start === run.end) continue;
      const { start } = run;
      run.start = run.end;
      this.#put(start, run.end);
    }
  }

  #put(start: number, end: number): void {
    let at = start;
    if (end - at === 1) {
      const within = at % CHUNK_CLUSTERS;
      this.#addToWord((at - within) / CHUNK_CLUSTERS, within >>> 5, 1 << (within & 31));
      return;
    }
    while (at < end) {
      if (at % GROUP_CLUSTERS === 0 && end - at >= GROUP_CLUSTERS) {
        this.#fillGroup(at / GROUP_CLUSTERS);
        at += GROUP_CLUSTERS;
        continue;
      }
      const within = at % CHUNK_CLUSTERS;
      const stop = Math.min(end, at - within + CHUNK_CLUSTERS);
      this.#fillChunk((at - within) / CHUNK_CLUSTERS, within, within + (stop - at));
      at = stop;
    }
  }

  delete(cluster: number): void {
    if (!this.has(cluster)) return;
    const within = cluster % CHUNK_CLUSTERS;
    const index = (cluster - within) / CHUNK_CLUSTERS;
    this.#breakGroup(Math.floor(index / GROUP_CHUNKS));
    const own = this.#writable(index);
    own[within >>> 5] = (own[within >>> 5] as number) & ~(1 << (within & 31));
  }

  has(cluster: number): boolean {
    if (this.#older.start < this.#older.end || this.#newer.start < this.#newer.end) this.#settle();
    const within = cluster % CHUNK_CLUSTERS;
    const words = this.#wordsOf((cluster - within) / CHUNK_CLUSTERS);
    return words !== undefined && (((words[within >>> 5] as number) >>> (within & 31)) & 1) === 1;
  }

  /** How many clusters are in the set. */
  count(): number {
    this.#settle();
    let total = this.#fullGroups.size * GROUP_CLUSTERS;
    for (const words of this.#chunks.values()) total += words === FULL_CHUNK ? CHUNK_CLUSTERS : countBits(words);
    return total;
  }

  /** How many clusters are in this set and not in `other`. */
  countWithout(other: ClusterChunks): number {
    this.#settle();
    other.#settle();
    let total = 0;
    for (const index of this.#chunkIndexes()) {
      const theirs = other.#wordsOf(index);
      const ours = this.#wordsOf(index) as Uint32Array;
      if (theirs !== FULL_CHUNK) total += theirs === undefined ? countBits(ours) : countDifference(ours, theirs);
    }
    return total;
  }

  /** The lowest cluster that is in both sets. */
  firstCommon(other: ClusterChunks): number | undefined {
    this.#settle();
    other.#settle();
    for (const index of [...this.#chunkIndexes()].sort((a, b) => a - b)) {
      const theirs = other.#wordsOf(index);
      if (theirs === undefined) continue;
      const common = firstCommonBit(this.#wordsOf(index) as Uint32Array, theirs);
      if (common !== undefined) return index * CHUNK_CLUSTERS + common;
    }
    return undefined;
  }

  /** Index after the last cluster of the set; 0 when it is empty. */
  end(): number {
    this.#settle();
    let end = 0;
    for (const group of this.#fullGroups) end = Math.max(end, (group + 1) * GROUP_CLUSTERS);
    const indexes = [...this.#chunks.keys()].sort((a, b) => b - a);
    for (const index of indexes) {
      const last = lastBit(this.#chunks.get(index) as Uint32Array);
      if (last >= 0) return Math.max(end, index * CHUNK_CLUSTERS + last + 1);
    }
    return end;
  }

  /** The runs of neighbouring clusters, ascending, not touching each other. */
  *runs(): Generator<Range> {
    this.#settle();
    const found: number[] = [];
    let start = -1;
    let end = -1;
    for (const { base, words } of this.#inOrder()) {
      const count = words === undefined ? wholeGroup(found) : findRuns(words, found);
      for (let at = 0; at < count; at += 2) {
        const from = base + (found[at] as number);
        if (from !== end) {
          if (start >= 0) yield { start, end };
          start = from;
        }
        end = base + (found[at + 1] as number);
      }
    }
    if (start >= 0) yield { start, end };
  }

  /** Gives up the memory of chunks that have become full; how many. */
  compact(): number {
    // Not the open runs: this is called while one is being put into chunks.
    const full = [...this.#chunks.keys()].filter((index) => this.#isFilled(index));
    for (const index of full) this.#becomeFull(index);
    return full.length;
  }

  #isFilled(index: number): boolean {
    const words = this.#chunks.get(index);
    return words !== undefined && words !== FULL_CHUNK && isFull(words);
  }

  /** All clusters of the chunk are in the set: it needs no memory, and perhaps its group neither. */
  #becomeFull(index: number): void {
    this.#chunks.set(index, FULL_CHUNK);
    const group = Math.floor(index / GROUP_CHUNKS);
    const count = (this.#fullInGroup.get(group) ?? 0) + 1;
    if (count === GROUP_CHUNKS) this.#fillGroup(group);
    else this.#fullInGroup.set(group, count);
  }

  #wordsOf(index: number): Uint32Array | undefined {
    return (
      this.#chunks.get(index) ??
      (this.#fullGroups.size > 0 && this.#fullGroups.has(Math.floor(index / GROUP_CHUNKS)) ? FULL_CHUNK : undefined)
    );
  }

  *#chunkIndexes(): Generator<number> {
    yield* this.#chunks.keys();
    for (const group of this.#fullGroups)
      for (let index = group * GROUP_CHUNKS; index < (group + 1) * GROUP_CHUNKS; index += 1) yield index;
  }

  /** Chunks and full groups (no words), ascending, each from cluster `base` on. */
  *#inOrder(): Generator<{ base: number; words: Uint32Array | undefined }> {
    const groups = [...this.#fullGroups].sort((a, b) => a - b);
    let next = 0;
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      for (; next < groups.length && (groups[next] as number) * GROUP_CHUNKS < index; next += 1)
        yield { base: (groups[next] as number) * GROUP_CLUSTERS, words: undefined };
      yield { base: index * CHUNK_CLUSTERS, words: this.#chunks.get(index) };
    }
    for (; next < groups.length; next += 1) yield { base: (groups[next] as number) * GROUP_CLUSTERS, words: undefined };
  }

  #addToWord(index: number, word: number, mask: number): void {
    let words = this.#wordsOf(index);
    if (words === FULL_CHUNK) return;
    words ??= this.#ownChunk(index);
    words[word] = (words[word] as number) | mask;
  }

  #fillChunk(index: number, start: number, end: number): void {
    const words = this.#wordsOf(index);
    if (words === FULL_CHUNK) return;
    if (end - start < CHUNK_CLUSTERS) setBits(words ?? this.#ownChunk(index), start, end);
    else {
      if (words !== undefined) this.#budget.release(1);
      this.#becomeFull(index);
    }
  }

  #fillGroup(group: number): void {
    if (this.#fullGroups.has(group)) return;
    for (let index = group * GROUP_CHUNKS; index < (group + 1) * GROUP_CHUNKS && this.#chunks.size > 0; index += 1) {
      const words = this.#chunks.get(index);
      if (words !== undefined && words !== FULL_CHUNK) this.#budget.release(1);
      this.#chunks.delete(index);
    }
    this.#fullInGroup.delete(group);
    this.#fullGroups.add(group);
  }

  #breakGroup(group: number): void {
    if (!this.#fullGroups.delete(group)) return;
    for (let index = group * GROUP_CHUNKS; index < (group + 1) * GROUP_CHUNKS; index += 1) this.#chunks.set(index, FULL_CHUNK);
    this.#fullInGroup.set(group, GROUP_CHUNKS);
  }

  /** The words of a chunk that is there, with memory of its own. */
  #writable(index: number): Uint32Array {
    const words = this.#chunks.get(index) as Uint32Array;
    if (words !== FULL_CHUNK) return words;
    const group = Math.floor(index / GROUP_CHUNKS);
    this.#fullInGroup.set(group, (this.#fullInGroup.get(group) ?? 1) - 1);
    return this.#ownChunk(index).fill(0xffffffff);
  }

  /** A new chunk, empty, with memory of its own. */
  #ownChunk(index: number): Uint32Array {
    const words = this.#reclaimed() ?? this.#allotted();
    this.#chunks.set(index, words);
    this.#last = index;
    return words;
  }

  /** The memory of the chunk before, which has become full. */
  #reclaimed(): Uint32Array | undefined {
    if (!this.#isFilled(this.#last)) return undefined;
    const words = this.#chunks.get(this.#last) as Uint32Array;
    this.#becomeFull(this.#last);
    return words.fill(0);
  }

  #allotted(): Uint32Array {
    this.#budget.acquire();
    return new Uint32Array(CHUNK_WORDS);
  }
}

function wholeGroup(found: number[]): number {
  found[0] = 0;
  found[1] = GROUP_CLUSTERS;
  return 2;
}
