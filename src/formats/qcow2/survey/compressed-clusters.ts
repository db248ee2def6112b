/** What is remembered of compressed clusters, so that their early freeing can be replayed. Theory: docs/commitment.md. */
import { tableMemoryInForce } from '#block';

/** Compressed guest clusters in guest order; arrays of one length. */
export interface CompressedClusters {
  readonly count: number;
  /** Clusters that the guest's writes allocate before this one's turn: L2 tables and data. */
  readonly allocatedBefore: ArrayLike<number>;
  /** Host clusters it touches: first and how many (1 or more). */
  readonly firstCluster: ArrayLike<number>;
  readonly clusterCount: ArrayLike<number>;
  /** Bytes of compressed data in all, each stored byte range counted once an entry. */
  readonly byteLength: number;
  /** Refcounts of the host clusters they touch. */
  readonly refcounts: ReadonlyMap<number, number>;
  /** How many of them touch each host cluster: less than its refcount, where snapshots do too, and never more. */
  readonly references: ReadonlyMap<number, number>;
}

/** Of an image without compressed clusters. */
export const NOTHING_COMPRESSED: CompressedClusters = {
  count: 0,
  allocatedBefore: [],
  firstCluster: [],
  clusterCount: [],
  byteLength: 0,
  refcounts: new Map(),
  references: new Map(),
};

/** Compressed clusters whose order is remembered: 64 GiB at 64 KiB, some 100 MB; beyond, `expected` is an estimate. */
const MAX_REMEMBERED = 2 ** 20;
/** What one takes in the arrays, and each host cluster that it touches in the two maps. */
const BYTES_EACH = 24;
const BYTES_OF_CLUSTER = 128;

export class CompressedCollector implements CompressedClusters {
  count = 0;
  byteLength = 0;
  readonly allocatedBefore: number[] = [];
  readonly firstCluster: number[] = [];
  readonly clusterCount: number[] = [];
  readonly refcounts = new Map<number, number>();
  readonly references = new Map<number, number>();
  readonly #memory = tableMemoryInForce();
  #isFull = false;
  readonly #kept = new Set<number>();

  /** The next one in guest order: it touches the host clusters [first, end). */
  add(first: number, end: number, byteLength: number, allocatedBefore: number): void {
    this.count += 1;
    this.byteLength += byteLength;
    if (this.#isFull || this.count > MAX_REMEMBERED) return;
    const bytes = BYTES_EACH + (end - first) * BYTES_OF_CLUSTER;
    // What is remembered makes a figure exact; half of the memory is left to what no figure can do without.
    this.#isFull = this.#memory !== undefined && this.#memory.taken + bytes > this.#memory.limit / 2;
    if (this.#isFull) return;
    this.#memory?.take(bytes);
    this.allocatedBefore.push(allocatedBefore);
    this.firstCluster.push(first);
    this.clusterCount.push(end - first);
    for (let cluster = first; cluster < end; cluster += 1) {
      this.refcounts.set(cluster, 0);
      this.references.set(cluster, (this.references.get(cluster) ?? 0) + 1);
    }
  }

  /** The host clusters [first, end) hold compressed data of a snapshot, too. */
  keep(first: number, end: number): void {
    for (let cluster = first; cluster < end; cluster += 1) if (this.references.has(cluster)) this.#kept.add(cluster);
  }

  /** Refcounts by the references, where those in the file are stale: a cluster that a snapshot keeps has one more. */
  countReferences(): void {
    for (const [cluster, references] of this.references) this.refcounts.set(cluster, references + (this.#kept.has(cluster) ? 1 : 0));
  }
}
