/** What a check of a qcow2 image finds. Clusters are indexes, `at` are bytes of the file. */
import type { OwnerConflict } from './cluster-owners.ts';

/** An entry or field that contradicts the format. */
export interface Unsound {
  readonly at: number;
  readonly what: string;
}

/** Clusters of one fault: how many, and the first that was met. */
export interface FaultyClusters {
  readonly count: number;
  readonly first: number;
}

export interface TableCheck {
  /** Two structures in one cluster. */
  readonly conflict: OwnerConflict | undefined;
  /** A cluster that two entries of the active tables refer to. */
  readonly usedTwice: number | undefined;
  readonly unsound: Unsound | undefined;
  /** References that lead behind the end of the file. */
  readonly beyondEnd: FaultyClusters | undefined;
  /** Clusters that are referred to and have refcount 0. */
  readonly missing: FaultyClusters | undefined;
  /** Clusters with a refcount above 0 and below the number of their references. */
  readonly tooLow: FaultyClusters | undefined;
  /** Clusters whose active entry has COPIED at a refcount other than 1, or lacks it at a refcount of 1. */
  readonly copiedWrong: FaultyClusters | undefined;
  /** Clusters whose refcount is above the number of their references. */
  readonly leakedCount: number;
  /** Index after the last cluster with a refcount above 0. */
  readonly usedEnd: number;
  /** Compressed data of entries, each `[fileOffset, byteLength, entryAt]`, as many of them as are kept. */
  readonly compressed: readonly CompressedExtent[];
  /** Compressed entries in all. */
  readonly compressedCount: number;
  /**
   * Whether a guest's writes can have shaped the bytes of the cluster: its data, in whatever state or snapshot; what a bitmap
   * records of it; a cluster that leaked when the guest was killed; a free cluster, which the guest may have used before.
   */
  isGuests(cluster: number): boolean;
}

export interface CompressedExtent {
  readonly fileOffset: number;
  readonly byteLength: number;
  readonly entryAt: number;
}

/** Counts clusters of one fault. */
export class FaultCounter {
  #count = 0;
  #first = 0;

  add(cluster: number): void {
    if (this.#count === 0) this.#first = cluster;
    this.#count += 1;
  }

  result(): FaultyClusters | undefined {
    return this.#count === 0 ? undefined : { count: this.#count, first: this.#first };
  }
}
