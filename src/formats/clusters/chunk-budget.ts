/** Bounds the memory of cluster sets: what a crafted table can make them hold. */
import { PlimsollError } from '#base';
import { type TableMemory, tableMemoryInForce } from '#block';
import { CHUNK_CLUSTERS, CHUNK_WORDS } from './chunk-words.ts';

/** A set that can give up the memory of chunks that have become full. */
interface Compactable {
  /** Returns how many chunks were given up. */
  compact(): number;
}

/**
 * Chunks with memory of their own, 128 MiB of it: 64 TiB of 64 KiB clusters in disorder. A crafted table can scatter one
 * entry a chunk; this stops it.
 */
const MAX_CHUNKS = 131072;

/** What a chunk takes: its words, the object that holds them, and its place in the map. */
const CHUNK_BYTES = CHUNK_WORDS * 4 + 256;

/** The chunks that sets which exist together may hold in all, and their share of `memory`. */
export class ChunkBudget {
  readonly #sets: Compactable[] = [];
  readonly #memory: TableMemory | undefined;
  #remaining = MAX_CHUNKS;

  constructor(memory: TableMemory | undefined = tableMemoryInForce()) {
    this.#memory = memory;
  }

  /** Registers a set that draws on this budget. */
  add(set: Compactable): void {
    this.#sets.push(set);
  }

  /** Takes one chunk. Throws: over-budget, when none is left and few have become full since. */
  acquire(): void {
    const isMemoryShort = this.#memory?.has(CHUNK_BYTES) === false;
    if (this.#remaining === 0 || isMemoryShort) {
      const held = MAX_CHUNKS - this.#remaining;
      let freed = 0;
      for (const set of this.#sets) freed += set.compact();
      this.release(freed);
      if (this.#remaining < MAX_CHUNKS / 8 && !isMemoryShort) throw fragmented();
      // Throws: few chunks have become full, and there is no memory for others.
      if (isMemoryShort && freed < held / 8) this.#memory?.take(Number.POSITIVE_INFINITY);
    }
    this.#memory?.take(CHUNK_BYTES);
    this.#remaining -= 1;
  }

  release(count: number): void {
    this.#remaining += count;
    this.#memory?.give(count * CHUNK_BYTES);
  }
}

function fragmented(): PlimsollError {
  return new PlimsollError('over-budget', 'QCOW2_CLUSTERS_SCATTERED', {
    doing: 'count qcow2 clusters',
    found: `more than ${MAX_CHUNKS} separate regions`,
    expected: `clusters within ${MAX_CHUNKS} regions of ${CHUNK_CLUSTERS} clusters`,
  });
}
