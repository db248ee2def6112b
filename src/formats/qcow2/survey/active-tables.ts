/**
 * The active L1 and L2 tables, counted: which guest clusters a write needs a new cluster for, which are written in place, and in
 * what runs. Theory: docs/commitment.md; source: qcow2 spec, "Cluster mapping".
 */
import { divideUp, PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import { type ChunkBudget, ClusterSet } from '../../clusters/index.ts';
import { ENTRY_BYTES } from '../entry.ts';
import type { Header } from '../header.ts';
import { readTables } from '../read/table-reader.ts';
import type { ClusterReferences } from './cluster-references.ts';
import { CompressedCollector } from './compressed-clusters.ts';
import { readL1Table } from './l1-table.ts';
import { type L2Visitor, lastClusterBytes, lastInPlaceBytes, visitL2Table } from './l2-table.ts';

interface CountedTable {
  readonly cluster: number;
  readonly copied: boolean;
}

export class ActiveTables {
  /** As in GrowthModel. With an external data file, `needing` and the runs still count its clusters. */
  needing = 0;
  tablesNeeding = 0;
  missingTables = 0;
  inPlaceCount = 0;
  longestRun = 0;
  longestRunAcrossTables = 0;
  beyondEnd = 0;
  readonly inPlace: ClusterSet;
  readonly copiedTables: ClusterSet;
  readonly rewrittenTables: ClusterSet;
  readonly compressed = new CompressedCollector();
  /** The host cluster of the last guest cluster when it is written in place, else -1. */
  lastInPlace = -1;
  /** How much a write fills of the last cluster, in place and in a new one; set where the last table is read. */
  lastInPlaceBytes = 0;
  lastClusterBytes: number | undefined;

  readonly #device: ReadableDevice;
  readonly #header: Header;
  readonly #references: ClusterReferences;
  readonly #guestClusters: number;
  /** L1 entries that the capacity needs. */
  readonly #l1Needed: number;
  /** What is shared with a snapshot, and how often it is mapped. */
  readonly #shared: ClusterSet;
  #sharedCount = 0;
  #runInTable = 0;
  #runAcrossTables = 0;
  #lastEntry = -1;
  #lastCluster = -1;
  /** The table that is being counted belongs to a snapshot, too. */
  #isTableShared = false;

  constructor(device: ReadableDevice, header: Header, references: ClusterReferences, budget: ChunkBudget) {
    this.#device = device;
    this.#header = header;
    this.#references = references;
    this.#guestClusters = divideUp(header.capacity, header.clusterSize);
    this.#l1Needed = divideUp(this.#guestClusters, header.l2Entries);
    this.inPlace = new ClusterSet(budget);
    this.copiedTables = new ClusterSet(budget);
    this.rewrittenTables = new ClusterSet(budget);
    this.#shared = new ClusterSet(budget);
  }

  /** L1 entries that the capacity needs are counted; of those behind it (VM state, a disk that shrank) only the references. */
  async walk(signal: AbortSignal | undefined): Promise<void> {
    const { clusterSize, l1TableOffset, l1Size } = this.#header;
    const l1 = await readL1Table(this.#device, this.#header, l1TableOffset, l1Size);
    for (let at = 0; at < l1.clusters.length; at += 1) {
      const cluster = l1.clusters[at] as number;
      if (this.#references.tables.has(cluster))
        throw tableTwice(l1TableOffset + (l1.indexes[at] as number) * ENTRY_BYTES, cluster * clusterSize);
      this.#references.claimTable(cluster);
    }
    let next = 0;
    let at = 0;
    for await (const tables of readTables(this.#device, clusterSize, l1.clusters)) {
      signal?.throwIfAborted();
      for (const table of tables) {
        const index = l1.indexes[at] as number;
        const cluster = l1.clusters[at] as number;
        for (; next < Math.min(index, this.#l1Needed); next += 1) this.#countMissingTable(next);
        next = index + 1;
        this.#references.referenced.add(cluster);
        if (index < this.#l1Needed) this.#countTable(table, index, { cluster, copied: l1.copied[at] === 1 });
        else this.referenceTable(table, cluster);
        at += 1;
      }
    }
    for (; next < this.#l1Needed; next += 1) this.#countMissingTable(next);
  }

  /** Adds the references of a table that is not counted: of a snapshot, or behind the capacity. */
  referenceTable(table: Uint8Array, cluster: number): void {
    if (this.#header.externalDataFile) return;
    const { clusterSize, l2Entries } = this.#header;
    visitL2Table(table, l2Entries, this.#header, cluster * clusterSize, this.#referrer);
  }

  /** Host clusters that more than one guest cluster uses. */
  multiplyReferenced(): number {
    if (this.#header.externalDataFile) return 0;
    const shared = this.#shared.count();
    const inBoth = shared - this.#shared.countWithout(this.inPlace);
    return this.inPlaceCount - this.inPlace.count() + this.#sharedCount - shared + inBoth;
  }

  /** Host clusters that hold the compressed data of more guest clusters than their refcount allows. */
  underReferenced(): number {
    let count = 0;
    for (const [cluster, references] of this.compressed.references) {
      if (references > (this.compressed.refcounts.get(cluster) ?? 0)) count += 1;
    }
    return count;
  }

  /** Entries of the table at `index` of L1 that the capacity needs. */
  #entryCountAt(index: number): number {
    const { l2Entries } = this.#header;
    return Math.min(l2Entries, this.#guestClusters - index * l2Entries);
  }

  #countMissingTable(index: number): void {
    const entryCount = this.#entryCountAt(index);
    this.tablesNeeding += 1;
    this.missingTables += 1;
    this.needing += entryCount;
    this.#runInTable = 0;
    this.#extendRun(entryCount);
    this.lastInPlace = -1;
  }

  #countTable(table: Uint8Array, index: number, { cluster, copied }: CountedTable): void {
    const { clusterSize } = this.#header;
    const entryCount = this.#entryCountAt(index);
    if (copied) this.copiedTables.add(cluster);
    else this.tablesNeeding += 1;
    this.#isTableShared = !copied;
    this.#runInTable = 0;
    this.#lastEntry = -1;
    const neededBefore = this.needing;
    visitL2Table(table, entryCount, this.#header, cluster * clusterSize, this.#counter);
    if (copied && this.needing > neededBefore) this.rewrittenTables.add(cluster);
    if (index < this.#l1Needed - 1) return;
    this.lastInPlace = this.#lastEntry === entryCount - 1 ? this.#lastCluster : -1;
    const partialBytes = this.#header.capacity % clusterSize;
    this.lastClusterBytes = lastClusterBytes(table, entryCount - 1, this.#header, partialBytes);
    this.lastInPlaceBytes = lastInPlaceBytes(table, entryCount - 1, this.#header, partialBytes);
  }

  /** One object for all tables, since an image can have millions. */
  readonly #counter: L2Visitor = {
    inPlace: (hostCluster, count, firstEntry) => {
      const { clusterSize, externalDataFile } = this.#header;
      this.#endRuns();
      this.inPlaceCount += count;
      this.#lastEntry = firstEntry + count - 1;
      this.#lastCluster = hostCluster + count - 1;
      if (externalDataFile) return;
      this.inPlace.addRun(hostCluster, hostCluster + count);
      const end = divideUp(this.#device.byteLength, clusterSize);
      this.beyondEnd += Math.max(0, Math.min(count, hostCluster + count - end));
    },
    needing: (count) => {
      this.needing += count;
      this.#extendRun(count);
    },
    sharedData: (hostCluster) => {
      if (this.#header.externalDataFile) return;
      this.#references.addData(hostCluster, hostCluster + 1);
      this.#shared.add(hostCluster);
      this.#sharedCount += 1;
    },
    compressed: (fileOffset, byteLength, entryAt) => {
      const { start, end } = this.#references.addCompressed(fileOffset, byteLength, entryAt);
      this.compressed.add(start, end, byteLength, this.needing + this.tablesNeeding);
      if (this.#header.dirty && this.#isTableShared) this.compressed.keep(start, end);
      this.needing += 1;
      this.#extendRun(1);
    },
    unsound: (at, what) => this.#references.noteInvalid(at, what),
  };

  readonly #referrer: L2Visitor = {
    inPlace: (hostCluster, count) => this.#references.addData(hostCluster, hostCluster + count),
    needing: () => undefined,
    sharedData: (hostCluster) => this.#references.addData(hostCluster, hostCluster + 1),
    compressed: (fileOffset, byteLength, entryAt) => {
      const { start, end } = this.#references.addCompressed(fileOffset, byteLength, entryAt);
      if (this.#header.dirty) this.compressed.keep(start, end);
    },
    unsound: (at, what) => this.#references.noteInvalid(at, what),
  };

  #extendRun(count: number): void {
    this.#runInTable += count;
    this.#runAcrossTables += count;
    if (this.#runInTable > this.longestRun) this.longestRun = this.#runInTable;
    if (this.#runAcrossTables > this.longestRunAcrossTables) this.longestRunAcrossTables = this.#runAcrossTables;
  }

  #endRuns(): void {
    this.#runInTable = 0;
    this.#runAcrossTables = 0;
  }
}

function tableTwice(at: number, offset: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_L2_TABLE_TWICE', {
    doing: 'read qcow2 L1 table',
    field: 'L2 table offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: 'an L2 table that no other entry uses',
  });
}
