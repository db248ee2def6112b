/** Compares the references to every cluster with its refcount, and the refcount with COPIED. Source: qcow2 spec, "Refcounts". */
import type { ReadableDevice } from '#block';
import type { Header } from '../header.ts';
import { readTables } from '../read/table-reader.ts';
import { FaultCounter, type TableCheck } from './check-result.ts';
import {
  type ClusterOwners,
  hasCopied,
  isActiveWithoutCopied,
  type OwnerPage,
  ONCE_IN_PLACE,
  PAGE_CLUSTERS,
  referencesIn,
} from './cluster-owners.ts';
import { areAllZero, decodeRefcounts } from './refcount-values.ts';

export type RefcountCheck = Pick<TableCheck, 'missing' | 'tooLow' | 'copiedWrong' | 'leakedCount' | 'usedEnd'>;

/**
 * `blocks`: by index of the refcount table, the clusters of the refcount blocks.
 *
 * Throws: corrupt (the file shrank), io, over-budget; AbortError.
 */
export async function compareRefcounts(
  device: ReadableDevice,
  header: Header,
  owners: ClusterOwners,
  blocks: ReadonlyMap<number, number>,
  signal: AbortSignal | undefined,
): Promise<RefcountCheck> {
  const comparison = new Comparison(header, owners);
  const indexes = blocks.keys();
  for await (const tables of readTables(device, header.clusterSize, [...blocks.values()])) {
    signal?.throwIfAborted();
    for (const table of tables) comparison.addBlock(table, indexes.next().value as number);
  }
  comparison.addUncovered(blocks);
  return comparison.result();
}

/** Leaked clusters of which it is known that they are: enough for those in which signs of formats are looked for. */
const MAX_LEAKS_KEPT = 2 ** 20;

class Comparison {
  readonly #header: Header;
  readonly #owners: ClusterOwners;
  readonly #missing = new FaultCounter();
  readonly #tooLow = new FaultCounter();
  readonly #copiedWrong = new FaultCounter();
  readonly #values = new Float64Array(PAGE_CLUSTERS);
  #leakedCount = 0;
  #usedEnd = 0;

  constructor(header: Header, owners: ClusterOwners) {
    this.#header = header;
    this.#owners = owners;
  }

  result(): RefcountCheck {
    return {
      missing: this.#missing.result(),
      tooLow: this.#tooLow.result(),
      copiedWrong: this.#copiedWrong.result(),
      leakedCount: this.#leakedCount,
      usedEnd: this.#usedEnd,
    };
  }

  addBlock(block: Uint8Array, index: number): void {
    const { refcountOrder, refcountBlockEntries } = this.#header;
    const first = index * refcountBlockEntries;
    for (let at = 0; at < refcountBlockEntries; ) {
      const cluster = first + at;
      const within = cluster % PAGE_CLUSTERS;
      const count = Math.min(refcountBlockEntries - at, PAGE_CLUSTERS - within);
      const page = this.#owners.page((cluster - within) / PAGE_CLUSTERS);
      if (page !== undefined || !areAllZero(block, refcountOrder, at, count)) {
        decodeRefcounts(block, refcountOrder, at, count, this.#values);
        for (let one = 0; one < count; one += 1) {
          const value = page?.[within + one] ?? 0;
          const refcount = this.#values[one] as number;
          // Hot: data that one entry with COPIED refers to.
          if (refcount === 1 && value === ONCE_IN_PLACE) this.#usedEnd = Math.max(this.#usedEnd, cluster + one + 1);
          else if (value !== 0 || refcount !== 0) this.#compare(cluster + one, value, refcount);
        }
      }
      at += count;
    }
  }

  #compare(cluster: number, value: number, refcount: number): void {
    const references = referencesIn(value);
    if (refcount !== 0 && cluster >= this.#usedEnd) this.#usedEnd = cluster + 1;
    if (references > refcount) (refcount === 0 ? this.#missing : this.#tooLow).add(cluster);
    else if (references < refcount) this.#countLeak(cluster, references);
    if (refcount === 1 ? isActiveWithoutCopied(value) : hasCopied(value)) this.#copiedWrong.add(cluster);
  }

  #countLeak(cluster: number, references: number): void {
    this.#leakedCount += 1;
    if (references === 0 && this.#leakedCount <= MAX_LEAKS_KEPT) this.#owners.add(cluster, cluster + 1, 'leaked cluster');
  }

  /** Clusters that no refcount block describes have refcount 0. */
  addUncovered(blocks: ReadonlyMap<number, number>): void {
    for (const index of this.#owners.pageIndexes()) {
      const page = this.#owners.page(index) as OwnerPage;
      for (let at = 0; at < PAGE_CLUSTERS; at += 1) {
        if (page[at] === 0) continue;
        const cluster = index * PAGE_CLUSTERS + at;
        if (!blocks.has(Math.floor(cluster / this.#header.refcountBlockEntries))) this.#compare(cluster, page[at] as number, 0);
      }
    }
  }
}
