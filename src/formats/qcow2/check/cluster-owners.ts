/**
 * For each host cluster: the kind of structure that it holds, how many references lead to it, and whether entries of the
 * active tables claim it with COPIED or without. A page covers 1024 clusters; a page without references takes no memory.
 */
import { PlimsollError } from '#base';

/** Kinds of structures; the index is the value that is kept. */
export const OWNER_KINDS = [
  'nothing',
  'header',
  'L1 table',
  'L2 table',
  'guest data',
  'compressed data',
  'refcount table',
  'refcount block',
  'snapshot table',
  "snapshot's L1 table",
  'bitmap directory',
  'bitmap table',
  'bitmap data',
  'encryption header',
  'leaked cluster',
] as const;
export type OwnerKind = (typeof OWNER_KINDS)[number];

/** Two structures in one cluster. */
export interface OwnerConflict {
  readonly cluster: number;
  readonly held: OwnerKind;
  readonly claimed: OwnerKind;
}

/**
 * How a reference is made: by an entry of the active tables with COPIED or without, or by anything else. Entries of compressed
 * clusters are of the last sort: they never carry COPIED, whatever the refcount.
 */
export type ReferenceFlag = 'copied' | 'shared' | 'other';

/** Clusters of one page. */
export const PAGE_CLUSTERS = 1024;

/** Memory of all pages. Dense, at one byte for a cluster: 24 TiB of 64 KiB clusters. Units: bytes. */
const MAX_PAGE_BYTES = 384 * 2 ** 20;

/** Layout of a value: bits 0-3 the kind, 4 COPIED, 5 active without COPIED, from bit 6 on the number of references. */
const KIND_MASK = 0x0f;
const FLAG_BITS: Readonly<Record<ReferenceFlag, number>> = { copied: 0x10, shared: 0x20, other: 0 };
const ACTIVE_MASK = 0x30;
const ONE_REFERENCE = 0x40;
const MAX_SMALL = 0xff;
const MAX_LARGE = 0xffffffff;

/** Kinds that more than one reference may lead to. */
const SHAREABLE: ReadonlySet<number> = new Set(
  (['L2 table', 'guest data', 'compressed data'] as const).map((kind) => OWNER_KINDS.indexOf(kind)),
);

export type OwnerPage = Uint8Array | Uint32Array;

export class ClusterOwners {
  readonly #pages = new Map<number, OwnerPage>();
  #bytes = 0;
  /** The first cluster that holds two structures. */
  conflict: OwnerConflict | undefined;
  /** The first cluster that two entries of the active tables refer to. */
  usedTwice: number | undefined;

  /** Notes `references` more references to each cluster of [start, end). Throws: over-budget, when pages take too much memory. */
  add(start: number, end: number, kind: OwnerKind, flag: ReferenceFlag = 'other', references = 1): void {
    const kindValue = OWNER_KINDS.indexOf(kind);
    const added = kindValue | FLAG_BITS[flag];
    for (let at = start; at < end; ) {
      const index = Math.floor(at / PAGE_CLUSTERS);
      const first = index * PAGE_CLUSTERS;
      const stop = Math.min(end, first + PAGE_CLUSTERS);
      this.#addInPage(index, at - first, stop - first, added, references);
      at = stop;
    }
  }

  #addInPage(index: number, from: number, to: number, added: number, references: number): void {
    let page = this.#pages.get(index) ?? this.#newPage(index);
    for (let at = from; at < to; at += 1) {
      const old = page[at] as number;
      if (old !== 0) this.#compare(index * PAGE_CLUSTERS + at, old, added);
      const kind = old === 0 ? added : old | (added & ACTIVE_MASK);
      const value = Math.min(MAX_LARGE, kind + references * ONE_REFERENCE);
      if (value > MAX_SMALL && page instanceof Uint8Array) page = this.#enlarge(index, page);
      page[at] = value;
    }
  }

  #compare(cluster: number, old: number, added: number): void {
    const [held, claimed] = [old & KIND_MASK, added & KIND_MASK];
    if (held !== claimed || !SHAREABLE.has(held))
      this.conflict ??= { cluster, held: OWNER_KINDS[held] as OwnerKind, claimed: OWNER_KINDS[claimed] as OwnerKind };
    else if ((old & ACTIVE_MASK) !== 0 && (added & ACTIVE_MASK) !== 0) this.usedTwice ??= cluster;
  }

  kindOf(cluster: number): OwnerKind {
    return OWNER_KINDS[this.#valueOf(cluster) & KIND_MASK] as OwnerKind;
  }

  references(cluster: number): number {
    return referencesIn(this.#valueOf(cluster));
  }

  /** Whether an entry of the active tables refers to it. */
  isActive(cluster: number): boolean {
    return (this.#valueOf(cluster) & ACTIVE_MASK) !== 0;
  }

  /** The values of the clusters from `index` * PAGE_CLUSTERS on; undefined: none of them is referred to. */
  page(index: number): OwnerPage | undefined {
    return this.#pages.get(index);
  }

  pageIndexes(): Iterable<number> {
    return this.#pages.keys();
  }

  #valueOf(cluster: number): number {
    const index = Math.floor(cluster / PAGE_CLUSTERS);
    return this.#pages.get(index)?.[cluster - index * PAGE_CLUSTERS] ?? 0;
  }

  #newPage(index: number): OwnerPage {
    this.#take(PAGE_CLUSTERS);
    const page = new Uint8Array(PAGE_CLUSTERS);
    this.#pages.set(index, page);
    return page;
  }

  #enlarge(index: number, page: Uint8Array): OwnerPage {
    this.#take(3 * PAGE_CLUSTERS);
    const larger = Uint32Array.from(page);
    this.#pages.set(index, larger);
    return larger;
  }

  #take(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes <= MAX_PAGE_BYTES) return;
    throw new PlimsollError('over-budget', 'QCOW2_CLUSTERS_SCATTERED', {
      doing: 'count references to qcow2 clusters',
      found: `references that take more than ${MAX_PAGE_BYTES} bytes of memory to count`,
      expected: `referenced clusters within fewer regions of ${PAGE_CLUSTERS} clusters`,
    });
  }
}

/** The value of a cluster of guest data that one entry of the active tables refers to, with COPIED. */
export const ONCE_IN_PLACE = OWNER_KINDS.indexOf('guest data') | FLAG_BITS.copied | ONE_REFERENCE;

/** How many references a value of a page stands for. */
export function referencesIn(value: number): number {
  return value >>> 6;
}

/** Whether an entry of the active tables with COPIED, or one without, leads to the cluster of this value. */
export function hasCopied(value: number): boolean {
  return (value & FLAG_BITS.copied) !== 0;
}

/** As above. */
export function isActiveWithoutCopied(value: number): boolean {
  return (value & FLAG_BITS.shared) !== 0;
}
