/**
 * The census of a qcow2 file: every table read once, every host cluster accounted for. It holds what the figures rest
 * on and keeps no table. Theory: docs/commitment.md; source: qcow2 spec, "Cluster mapping", "Host cluster management".
 */
import { divideUp, PlimsollError, type Range } from '#base';
import { type ReadableDevice, readUpTo, withTableMemory } from '#block';
import { type Bitmap, readBitmaps } from './bitmap.ts';
import { ChunkAllowance } from './cluster-chunks.ts';
import { ClusterSet } from './cluster-set.ts';
import { CompressedCollector } from './compressed-clusters.ts';
import { ENTRY_BYTES, refcountBlockOffset } from './entry.ts';
import type { GrowthModel } from './growth-model.ts';
import { type Header, parseHeader } from './header.ts';
import { type L1Table, parseL1Table } from './l1-table.ts';
import { type L2Visitor, lastClusterBytes, lastInPlaceBytes, visitL2Table } from './l2-table.ts';
import { MetadataClaims } from './metadata-claims.ts';
import { addUsedClusters, refcountOf } from './refcount.ts';
import { type InternalSnapshot, readSnapshotTable, type SnapshotTable } from './snapshot.ts';
import { nonZeroEntries, readTable, readTables } from './table-reader.ts';

/** The growth model of a file, and the anomalies of its tables. */
export interface Census extends GrowthModel {
  readonly header: Header;
  /** Used clusters that nothing refers to, and referenced clusters with refcount 0. */
  readonly leakedCount: number;
  readonly unaccountedCount: number;
  /** Host clusters that more than one guest cluster of the active tables uses: none in an image that is sound. */
  readonly usedTwice: number;
  /** Host clusters that hold the compressed data of more places than their refcount says. */
  readonly undercounted: number;
  /** A host cluster of guest data (shared, of a snapshot, compressed) that also holds a table: nothing writes it in place. */
  readonly dataOverTable: number | undefined;
  /** The first entry that contradicts the specification and that QEMU may still read: where it lies, and why. */
  readonly unsound: { readonly at: number; readonly what: string } | undefined;
}

/** The checked header of `device`. Throws: corrupt, unsupported, io. */
export async function readHeader(device: ReadableDevice): Promise<Header> {
  const prefix = await readUpTo(device, 0, 4096);
  const first = parseHeader(prefix, device.byteLength);
  if (!('needs' in first)) return first;
  const whole = parseHeader(await readUpTo(device, 0, first.needs), device.byteLength);
  if ('needs' in whole)
    throw new PlimsollError('corrupt', 'QCOW2_HEADER_END', {
      doing: 'read qcow2 header',
      found: 'extensions without an end',
      expected: 'an end inside the first cluster',
    });
  return whole;
}

/**
 * Reads every table of the image and counts its clusters.
 *
 * Bounds: each table is read once; the device's budget bounds the bytes, its memory and ClusterSet what is made of them.
 * Throws: corrupt (tables that overlap, entries unaligned, outside the file), over-budget, io; AbortError.
 */
export async function readCensus(device: ReadableDevice, header: Header, signal?: AbortSignal): Promise<Census> {
  const taker = withTableMemory(device.memory, () => new CensusTaker(device, header, signal));
  return taker.take();
}

class CensusTaker {
  readonly #device: ReadableDevice;
  readonly #header: Header;
  readonly #signal: AbortSignal | undefined;
  readonly #allowance = new ChunkAllowance();
  readonly #inPlace = new ClusterSet(this.#allowance);
  readonly #referenced = new ClusterSet(this.#allowance);
  readonly #otherData = new ClusterSet(this.#allowance);
  /** Of the active tables, what is shared, and how often. */
  readonly #activeShared = new ClusterSet(this.#allowance);
  #activeSharedCount = 0;
  #unsound: { readonly at: number; readonly what: string } | undefined;
  readonly #tables = new ClusterSet(this.#allowance);
  readonly #copiedTables = new ClusterSet(this.#allowance);
  readonly #rewrittenTables = new ClusterSet(this.#allowance);
  readonly #claims = new MetadataClaims(this.#allowance);
  readonly #compressed = new CompressedCollector();
  #needing = 0;
  #tablesNeeding = 0;
  #missingTables = 0;
  #inPlaceCount = 0;
  #longestRun = 0;
  #longestRunAcrossTables = 0;
  #runInTable = 0;
  #runAcrossTables = 0;
  #lastInPlace = -1;
  /** As in the census; set where the last table is read. */
  #lastClusterBytes: number | undefined;
  #lastInPlaceBytes = 0;
  #lastEntry = -1;
  #lastCluster = -1;
  /** The table that is being counted belongs to a snapshot, too. */
  #isTableShared = false;
  #beyondEnd = 0;

  constructor(device: ReadableDevice, header: Header, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#header = header;
    this.#signal = signal;
  }

  async take(): Promise<Census> {
    const header = this.#header;
    const guestClusters = divideUp(header.capacity, header.clusterSize);
    const l1Needed = divideUp(guestClusters, header.l2Entries);
    this.#claimHeader();
    await this.#walkActive(guestClusters, l1Needed);
    const lastInPlace = this.#lastInPlace;
    const partialBytes = header.capacity % header.clusterSize;
    const bitmaps = header.bitmaps === undefined ? [] : await readBitmaps(this.#device, header, header.bitmaps);
    const snapshotTable = header.nbSnapshots === 0 ? { snapshots: [], byteLength: 0 } : await readSnapshotTable(this.#device, header);
    await this.#walkSnapshots(snapshotTable.snapshots);
    this.#referenceMetadata(snapshotTable, bitmaps);
    const { used, refcountBlocks } = await this.#readRefcounts();
    this.#claims.refuseData(this.#inPlace, header.clusterSize);
    refuseShredded(header.dirty ? this.#referenced : used);
    const lastBytes = this.#lastClusterBytes ?? lastClusterBytes(undefined, 0, header, partialBytes);
    const isShort = partialBytes > 0 && lastBytes < header.clusterSize && !header.externalDataFile;
    return {
      header,
      guestClusters,
      l1Needed,
      needing: header.externalDataFile ? 0 : this.#needing,
      tablesNeeding: this.#tablesNeeding,
      missingTables: this.#missingTables,
      longestRun: header.externalDataFile ? 0 : this.#longestRun,
      longestRunAcrossTables: header.externalDataFile ? 0 : this.#longestRunAcrossTables,
      inPlace: this.#inPlace,
      inPlaceCount: this.#inPlaceCount,
      partialInPlace: partialBytes > 0 && lastInPlace >= 0 ? { hostCluster: lastInPlace, byteLength: this.#lastInPlaceBytes } : undefined,
      lastClusterBytes: isShort ? lastBytes : undefined,
      lastIsNew: lastInPlace < 0,
      copiedTables: this.#copiedTables,
      rewrittenTables: this.#rewrittenTables,
      compressed: this.#compressed,
      used: header.dirty ? this.#referenced : used,
      refcountBlocks,
      snapshotTable,
      bitmaps,
      leakedCount: used.countWithout(this.#referenced),
      unaccountedCount: header.dirty ? 0 : this.#referenced.countWithout(used),
      needsRebuild: header.dirty && this.#referenced.countWithout(used) > 0,
      beyondEnd: this.#beyondEnd,
      usedTwice: this.#usedTwice(),
      undercounted: header.dirty ? 0 : this.#undercounted(),
      unsound: this.#unsound,
      dataOverTable: this.#claims.firstWith(this.#otherData),
    };
  }

  #usedTwice(): number {
    if (this.#header.externalDataFile) return 0;
    const shared = this.#activeShared.count();
    const inBoth = shared - this.#activeShared.countWithout(this.#inPlace);
    return this.#inPlaceCount - this.#inPlace.count() + this.#activeSharedCount - shared + inBoth;
  }

  #undercounted(): number {
    let count = 0;
    for (const [cluster, references] of this.#compressed.references) {
      if (references > (this.#compressed.refcounts.get(cluster) ?? 0)) count += 1;
    }
    return count;
  }

  /** Structures that the header itself places; refcounts only where they can be trusted. */
  #claimHeader(): void {
    const { clusterSize, l1TableOffset, l1Size, refcountTableOffset, refcountTableClusters, dirty } = this.#header;
    this.#claim(0, clusterSize, 'header');
    this.#claim(l1TableOffset, l1Size * 8, 'L1 table');
    if (!dirty) this.#claim(refcountTableOffset, refcountTableClusters * clusterSize, 'refcount table');
  }

  #claim(offset: number, byteLength: number, what: string): void {
    const { clusterSize } = this.#header;
    if (byteLength > 0) this.#claims.claim(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize), what, clusterSize);
  }

  async #readL1(offset: number, entryCount: number): Promise<L1Table> {
    return parseL1Table(await readTable(this.#device, offset, entryCount * 8, 'L1 table'), offset, this.#header, this.#device.byteLength);
  }

  /** The active L1 table: entries the capacity needs are counted, those behind it (VM state, shrunk) only referenced. */
  async #walkActive(guestClusters: number, l1Needed: number): Promise<void> {
    const { l2Entries, clusterSize, l1TableOffset, l1Size } = this.#header;
    const l1 = await this.#readL1(l1TableOffset, l1Size);
    for (let at = 0; at < l1.clusters.length; at += 1) {
      const cluster = l1.clusters[at] as number;
      if (this.#tables.has(cluster)) throw tableTwice(l1TableOffset + (l1.indexes[at] as number) * 8, cluster * clusterSize);
      this.#claims.claim(cluster, cluster + 1, 'L2 table', clusterSize);
      this.#tables.add(cluster);
    }
    const entryCountAt = (index: number): number => Math.min(l2Entries, guestClusters - index * l2Entries);
    let next = 0;
    let at = 0;
    for await (const tables of readTables(this.#device, clusterSize, l1.clusters)) {
      this.#signal?.throwIfAborted();
      for (const table of tables) {
        const index = l1.indexes[at] as number;
        const cluster = l1.clusters[at] as number;
        for (; next < Math.min(index, l1Needed); next += 1) this.#countMissingTable(entryCountAt(next));
        next = index + 1;
        this.#referenced.add(cluster);
        if (index < l1Needed)
          this.#countTable(table, entryCountAt(index), { cluster, copied: l1.copied[at] === 1 }, index === l1Needed - 1);
        else this.#referenceTable(table, cluster);
        at += 1;
      }
    }
    for (; next < l1Needed; next += 1) this.#countMissingTable(entryCountAt(next));
  }

  #countMissingTable(entryCount: number): void {
    this.#tablesNeeding += 1;
    this.#missingTables += 1;
    this.#needing += entryCount;
    this.#runInTable = 0;
    this.#extendRun(entryCount);
    this.#lastInPlace = -1;
  }

  #countTable(table: Uint8Array, entryCount: number, { cluster, copied }: CountedTable, isLast: boolean): void {
    const { clusterSize } = this.#header;
    if (copied) this.#copiedTables.add(cluster);
    else this.#tablesNeeding += 1;
    this.#isTableShared = !copied;
    this.#runInTable = 0;
    this.#lastEntry = -1;
    const neededBefore = this.#needing;
    visitL2Table(table, entryCount, this.#header, cluster * clusterSize, this.#counter);
    if (copied && this.#needing > neededBefore) this.#rewrittenTables.add(cluster);
    if (!isLast) return;
    this.#lastInPlace = this.#lastEntry === entryCount - 1 ? this.#lastCluster : -1;
    const partialBytes = this.#header.capacity % clusterSize;
    this.#lastClusterBytes = lastClusterBytes(table, entryCount - 1, this.#header, partialBytes);
    this.#lastInPlaceBytes = lastInPlaceBytes(table, entryCount - 1, this.#header, partialBytes);
  }

  /** Counts what the active tables say; one object for all tables, since an image can have millions. */
  readonly #counter: L2Visitor = {
    inPlace: (hostCluster, count, firstEntry) => {
      const { clusterSize, externalDataFile } = this.#header;
      this.#endRuns();
      this.#inPlaceCount += count;
      this.#lastEntry = firstEntry + count - 1;
      this.#lastCluster = hostCluster + count - 1;
      if (externalDataFile) return;
      this.#inPlace.addRun(hostCluster, hostCluster + count);
      const end = divideUp(this.#device.byteLength, clusterSize);
      this.#beyondEnd += Math.max(0, Math.min(count, hostCluster + count - end));
    },
    needing: (count) => {
      this.#needing += count;
      this.#extendRun(count);
    },
    sharedData: (hostCluster) => {
      if (this.#header.externalDataFile) return;
      this.#referenced.add(hostCluster);
      this.#otherData.add(hostCluster);
      this.#activeShared.add(hostCluster);
      this.#activeSharedCount += 1;
    },
    compressed: (fileOffset, byteLength, entryAt) => this.#countCompressed(fileOffset, byteLength, entryAt),
    unsound: (at, what) => (this.#unsound ??= { at, what }),
  };

  /** Notes only what the other tables refer to. */
  readonly #referrer: L2Visitor = {
    inPlace: (hostCluster, count) => this.#referenceData(hostCluster, hostCluster + count),
    needing: () => undefined,
    sharedData: (hostCluster) => this.#referenceData(hostCluster, hostCluster + 1),
    compressed: (fileOffset, byteLength, entryAt) => {
      const { start, end } = this.#referenceCompressed(fileOffset, byteLength, entryAt);
      if (this.#header.dirty) this.#compressed.keep(start, end);
    },
    unsound: (at, what) => (this.#unsound ??= { at, what }),
  };

  #referenceData(start: number, end: number): void {
    this.#referenced.addRun(start, end);
    this.#otherData.addRun(start, end);
  }

  #countCompressed(fileOffset: number, byteLength: number, entryAt: number): void {
    const { start, end } = this.#referenceCompressed(fileOffset, byteLength, entryAt);
    this.#compressed.add(start, end, byteLength, this.#needing + this.#tablesNeeding);
    if (this.#header.dirty && this.#isTableShared) this.#compressed.keep(start, end);
    this.#needing += 1;
    this.#extendRun(1);
  }

  /** The host clusters that compressed data touches, now referenced. */
  #referenceCompressed(fileOffset: number, byteLength: number, entryAt: number): Range {
    const { clusterSize } = this.#header;
    if (fileOffset >= this.#device.byteLength) throw compressedOutside(fileOffset, entryAt, this.#device.byteLength);
    const run = { start: Math.floor(fileOffset / clusterSize), end: Math.floor((fileOffset + byteLength - 1) / clusterSize) + 1 };
    this.#referenceData(run.start, run.end);
    return run;
  }

  #extendRun(count: number): void {
    this.#runInTable += count;
    this.#runAcrossTables += count;
    if (this.#runInTable > this.#longestRun) this.#longestRun = this.#runInTable;
    if (this.#runAcrossTables > this.#longestRunAcrossTables) this.#longestRunAcrossTables = this.#runAcrossTables;
  }

  #endRuns(): void {
    this.#runInTable = 0;
    this.#runAcrossTables = 0;
  }

  /** Everything a table maps is referenced; nothing of it is counted. */
  #referenceTable(table: Uint8Array, cluster: number): void {
    if (this.#header.externalDataFile) return;
    const { clusterSize, l2Entries } = this.#header;
    visitL2Table(table, l2Entries, this.#header, cluster * clusterSize, this.#referrer);
  }

  /** Snapshots keep clusters alive; a table that was seen before is not read again. */
  async #walkSnapshots(snapshots: readonly InternalSnapshot[]): Promise<void> {
    for (const { l1TableOffset, l1Size } of snapshots) {
      this.#signal?.throwIfAborted();
      if (l1Size === 0) continue;
      this.#claim(l1TableOffset, l1Size * 8, "snapshot's L1 table");
      this.#referenceBytes(l1TableOffset, l1Size * 8);
      const { clusters } = await this.#readL1(l1TableOffset, l1Size);
      await this.#walkFresh(clusters.filter((cluster) => this.#isFresh(cluster)));
    }
  }

  #isFresh(cluster: number): boolean {
    if (this.#tables.has(cluster)) return false;
    this.#claims.claim(cluster, cluster + 1, 'L2 table', this.#header.clusterSize);
    this.#tables.add(cluster);
    this.#referenced.add(cluster);
    return true;
  }

  async #walkFresh(clusters: Float64Array): Promise<void> {
    let at = 0;
    for await (const tables of readTables(this.#device, this.#header.clusterSize, clusters)) {
      this.#signal?.throwIfAborted();
      for (const table of tables) {
        this.#referenceTable(table, clusters[at] as number);
        at += 1;
      }
    }
  }

  #referenceMetadata(snapshotTable: SnapshotTable, bitmaps: readonly Bitmap[]): void {
    const { encryptionHeader, bitmaps: pointer, dirty, ...header } = this.#header;
    this.#referenced.add(0);
    this.#referenceBytes(header.l1TableOffset, header.l1Size * 8);
    this.#claimAndReference(header.snapshotsOffset, snapshotTable.byteLength, 'snapshot table');
    if (encryptionHeader !== undefined) this.#claimAndReference(encryptionHeader.offset, encryptionHeader.length, 'encryption header');
    if (pointer !== undefined) this.#claimAndReference(pointer.directoryOffset, pointer.directorySize, 'bitmap directory');
    for (const bitmap of bitmaps) {
      this.#claimAndReference(bitmap.tableOffset, bitmap.tableSize * 8, 'bitmap table');
      for (const cluster of bitmap.dataClusters) this.#referenced.add(cluster);
    }
    for (const run of this.#inPlace.runs()) this.#referenced.addRun(run.start, run.end);
    if (!dirty) this.#referenceBytes(header.refcountTableOffset, header.refcountTableClusters * header.clusterSize);
  }

  #claimAndReference(offset: number, byteLength: number, what: string): void {
    this.#claim(offset, byteLength, what);
    this.#referenceBytes(offset, byteLength);
  }

  #referenceBytes(offset: number, byteLength: number): void {
    if (byteLength === 0) return;
    const { clusterSize } = this.#header;
    this.#referenced.addRun(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize));
  }

  async #readRefcounts(): Promise<{ used: ClusterSet; refcountBlocks: Map<number, number> }> {
    const { clusterSize, refcountOrder, refcountBlockEntries } = this.#header;
    const used = new ClusterSet(this.#allowance);
    const refcountBlocks = await this.#readRefcountTable();
    const wanted = clustersByRange([...this.#compressed.refcounts.keys()], refcountBlockEntries);
    const indexes = refcountBlocks.keys();
    for await (const blocks of readTables(this.#device, clusterSize, [...refcountBlocks.values()])) {
      this.#signal?.throwIfAborted();
      for (const block of blocks) {
        const index = indexes.next().value as number;
        addUsedClusters(block, refcountOrder, index * refcountBlockEntries, used);
        for (const one of wanted.get(index) ?? [])
          this.#compressed.refcounts.set(one, refcountOf(block, refcountOrder, one % refcountBlockEntries));
      }
    }
    if (this.#header.dirty) this.#compressed.countReferences();
    return { used, refcountBlocks };
  }

  /** Index and cluster of every refcount block. */
  async #readRefcountTable(): Promise<Map<number, number>> {
    const { clusterSize, dirty, refcountTableOffset, refcountTableClusters } = this.#header;
    const table = await readTable(this.#device, refcountTableOffset, refcountTableClusters * clusterSize, 'refcount table');
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const refcountBlocks = new Map<number, number>();
    const seen = new ClusterSet(this.#allowance);
    for (const index of nonZeroEntries(table)) {
      const cluster = refcountTableEntry(view, index, this.#header, this.#device.byteLength);
      if (cluster === undefined) continue;
      if (seen.has(cluster)) throw blockTwice(refcountTableOffset + index * 8, cluster * clusterSize);
      seen.add(cluster);
      refcountBlocks.set(index, cluster);
      if (dirty) continue;
      this.#claims.claim(cluster, cluster + 1, 'refcount block', clusterSize);
      this.#referenced.add(cluster);
    }
    return refcountBlocks;
  }
}

interface CountedTable {
  readonly cluster: number;
  readonly copied: boolean;
}

/** The table of one cluster at `offset`. Throws: corrupt, when it is not aligned or not wholly inside the file. */
export async function readCluster(device: ReadableDevice, header: Header, offset: number): Promise<Uint8Array> {
  if (offset % header.clusterSize !== 0 || offset + header.clusterSize > device.byteLength) {
    throw tableOutside('QCOW2_L1_ENTRY', 'read qcow2 L1 table', 'L2 table offset', header.l1TableOffset, offset, header, device.byteLength);
  }
  return readTable(device, offset, header.clusterSize, 'L2 table');
}

/** Runs of used clusters that are worked with: the arithmetic goes through them a dozen times. 8 TiB with every 32nd cluster free. */
const MAX_USED_RUNS = 2 ** 22;

function refuseShredded(used: ClusterSet): void {
  let count = 0;
  for (const _ of used.runs()) {
    count += 1;
    if (count > MAX_USED_RUNS)
      throw new PlimsollError('over-budget', 'QCOW2_CLUSTERS_SHREDDED', {
        doing: 'count qcow2 clusters',
        found: `more than ${MAX_USED_RUNS} runs of used clusters`,
        expected: `at most ${MAX_USED_RUNS}`,
      });
  }
}

function clustersByRange(clusters: readonly number[], perRange: number): Map<number, number[]> {
  const ranges = new Map<number, number[]>();
  for (const cluster of clusters) {
    const range = Math.floor(cluster / perRange);
    const known = ranges.get(range);
    if (known === undefined) ranges.set(range, [cluster]);
    else known.push(cluster);
  }
  return ranges;
}

/** The cluster of the refcount block that entry `index` names. undefined: the whole range is free. */
function refcountTableEntry(view: DataView, index: number, header: Header, fileLength: number): number | undefined {
  const offset = refcountBlockOffset(view.getUint32(index * ENTRY_BYTES), view.getUint32(index * ENTRY_BYTES + 4));
  if (offset === 0) return undefined;
  const firstCluster = index * header.refcountBlockEntries;
  // Sound to QEMU: the file can hold these clusters, but their offsets are no exact numbers here.
  if (firstCluster >= header.hostClusterLimit)
    throw new PlimsollError('unsupported', 'QCOW2_REFCOUNT_BLOCK_FAR', {
      doing: 'read qcow2 refcount table',
      field: 'refcount block',
      at: header.refcountTableOffset + index * 8,
      found: `a block for clusters from ${firstCluster} on`,
      expected: `blocks for clusters below ${header.hostClusterLimit}, whose offsets are below 2^53`,
    });
  if (offset % header.clusterSize !== 0 || offset + header.clusterSize > fileLength) {
    throw tableOutside(
      'QCOW2_REFCOUNT_BLOCK',
      'read qcow2 refcount table',
      'refcount block offset',
      header.refcountTableOffset + index * 8,
      offset,
      header,
      fileLength,
    );
  }
  return offset / header.clusterSize;
}

function tableOutside(
  code: string,
  doing: string,
  field: string,
  at: number,
  offset: number,
  header: Header,
  fileLength: number,
): PlimsollError {
  return new PlimsollError('corrupt', code, {
    doing,
    field,
    at,
    found: `0x${offset.toString(16)}`,
    expected: `a multiple of the cluster size ${header.clusterSize} inside the file of ${fileLength} bytes`,
  });
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

function blockTwice(at: number, offset: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_REFCOUNT_BLOCK_TWICE', {
    doing: 'read qcow2 refcount table',
    field: 'refcount block offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: 'a refcount block that no other entry uses',
  });
}

function compressedOutside(offset: number, at: number, fileLength: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_COMPRESSED_OFFSET', {
    doing: 'read qcow2 L2 table',
    field: 'compressed cluster offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: `inside the file of ${fileLength} bytes`,
  });
}
