/**
 * A set of host clusters: a bitmap in chunks, so that the few clusters of a huge sparse file cost little and the many
 * of a full one cost a bit each.
 */
import { PlimsollError } from '#base';
import type { Run } from '#block';

/** Clusters of one chunk; 1 KiB of memory. */
const CHUNK_CLUSTERS = 8192;
const CHUNK_WORDS = CHUNK_CLUSTERS / 32;

/**
 * Chunks one set may hold: 131072 × 8192 clusters are 64 TiB of 64 KiB clusters in 128 MiB of memory. A crafted table
 * can scatter one entry a chunk; this stops it.
 */
const MAX_CHUNKS = 131072;

export class ClusterSet {
  readonly #chunks = new Map<number, Uint32Array>();

  add(cluster: number): void {
    const within = cluster % CHUNK_CLUSTERS;
    const words = this.#chunkFor((cluster - within) / CHUNK_CLUSTERS);
    const word = within >>> 5;
    words[word] = (words[word] as number) | (1 << (within & 31));
  }

  /** Adds [start, end). */
  addRun(start: number, end: number): void {
    let at = start;
    while (at < end) {
      const within = at % CHUNK_CLUSTERS;
      const stop = Math.min(end, at - within + CHUNK_CLUSTERS);
      fillBits(this.#chunkFor((at - within) / CHUNK_CLUSTERS), within, within + (stop - at), true);
      at = stop;
    }
  }

  delete(cluster: number): void {
    const within = cluster % CHUNK_CLUSTERS;
    const words = this.#chunks.get((cluster - within) / CHUNK_CLUSTERS);
    if (words !== undefined) fillBits(words, within, within + 1, false);
  }

  has(cluster: number): boolean {
    const within = cluster % CHUNK_CLUSTERS;
    const words = this.#chunks.get((cluster - within) / CHUNK_CLUSTERS);
    return words !== undefined && (((words[within >>> 5] as number) >>> (within & 31)) & 1) === 1;
  }

  /** Adds 32 clusters from `first` (a multiple of 32) where `mask` has a bit. */
  addWord(first: number, mask: number): void {
    if (mask === 0) return;
    const within = first % CHUNK_CLUSTERS;
    const words = this.#chunkFor((first - within) / CHUNK_CLUSTERS);
    const word = within >>> 5;
    words[word] = (words[word] as number) | mask;
  }

  /** How many clusters are in the set. */
  count(): number {
    let total = 0;
    for (const words of this.#chunks.values()) total += countBits(words);
    return total;
  }

  /** How many clusters are in this set and not in `other`. */
  countWithout(other: ClusterSet): number {
    let total = 0;
    for (const [index, words] of this.#chunks) {
      const theirs = other.#chunks.get(index);
      total += theirs === undefined ? countBits(words) : countBits(words.map((word, at) => word & ~(theirs[at] as number)));
    }
    return total;
  }

  /** Index after the last cluster of the set; 0 when it is empty. */
  end(): number {
    const indexes = [...this.#chunks.keys()].sort((a, b) => b - a);
    for (const index of indexes) {
      const words = this.#chunks.get(index) as Uint32Array;
      for (let at = CHUNK_WORDS - 1; at >= 0; at -= 1) {
        const word = words[at] as number;
        if (word !== 0) return index * CHUNK_CLUSTERS + at * 32 + 32 - Math.clz32(word);
      }
    }
    return 0;
  }

  /** The runs of neighbouring clusters, ascending, not touching each other. */
  *runs(): Generator<Run> {
    let start = -1;
    let end = -1;
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b)) {
      for (const run of runsOfChunk(this.#chunks.get(index) as Uint32Array, index * CHUNK_CLUSTERS)) {
        if (run.start === end) end = run.end;
        else {
          if (start >= 0) yield { start, end };
          ({ start, end } = run);
        }
      }
    }
    if (start >= 0) yield { start, end };
  }

  #chunkFor(index: number): Uint32Array {
    const known = this.#chunks.get(index);
    if (known !== undefined) return known;
    if (this.#chunks.size >= MAX_CHUNKS) {
      throw new PlimsollError('over-budget', 'QCOW2_CLUSTERS_SCATTERED', {
        doing: 'count qcow2 clusters',
        found: `more than ${MAX_CHUNKS} separate regions`,
        expected: `clusters within ${MAX_CHUNKS} regions of ${CHUNK_CLUSTERS} clusters`,
      });
    }
    const words = new Uint32Array(CHUNK_WORDS);
    this.#chunks.set(index, words);
    return words;
  }
}

function fillBits(words: Uint32Array, start: number, end: number, value: boolean): void {
  let at = start;
  while (at < end) {
    if ((at & 31) === 0 && end - at >= 32) {
      const lastWord = end >>> 5;
      words.fill(value ? 0xffffffff : 0, at >>> 5, lastWord);
      at = lastWord * 32;
      continue;
    }
    const bit = 1 << (at & 31);
    const word = words[at >>> 5] as number;
    words[at >>> 5] = value ? word | bit : word & ~bit;
    at += 1;
  }
}

function countBits(words: Uint32Array): number {
  let total = 0;
  for (let at = 0; at < words.length; at += 1) {
    let word = words[at] as number;
    if (word === 0) continue;
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    total += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return total;
}

function* runsOfChunk(words: Uint32Array, base: number): Generator<Run> {
  let start = -1;
  for (let at = 0; at < CHUNK_WORDS; at += 1) {
    const word = words[at] as number;
    if (word === 0) {
      if (start >= 0) yield { start, end: base + at * 32 };
      start = -1;
      continue;
    }
    if (word === 0xffffffff) {
      if (start < 0) start = base + at * 32;
      continue;
    }
    for (let bit = 0; bit < 32; bit += 1) {
      const isSet = ((word >>> bit) & 1) === 1;
      if (isSet && start < 0) start = base + at * 32 + bit;
      else if (!isSet && start >= 0) {
        yield { start, end: base + at * 32 + bit };
        start = -1;
      }
    }
  }
  if (start >= 0) yield { start, end: base + CHUNK_CLUSTERS };
}
