/**
 * The census of a qcow2 file: every table read once, every host cluster accounted for. It holds what the figures rest
 * on and keeps no table. Theory: docs/commitment.md; source: qcow2 spec, "Cluster mapping", "Host cluster management".
 */
import { divideUp, PlimsollError } from '#base';
import type { BlockDevice } from '#block';
import { type Bitmap, readBitmaps } from './bitmap.ts';
import { ClusterSet } from './cluster-set.ts';
import { type Header, parseHeader } from './header.ts';
import { visitL2Table } from './l2-table.ts';
import { addUsedClusters, refcountOf } from './refcount.ts';
import { type InternalSnapshot, readSnapshotTable, type SnapshotTable } from './snapshot.ts';

/** Compressed guest clusters in guest order; arrays of one length. */
export interface CompressedClusters {
  readonly count: number;
  /** Clusters that the guest's writes allocate before this one's turn: L2 tables and data. */
  readonly allocatedBefore: readonly number[];
  /** Host clusters it touches: first and how many (1 or 2). */
  readonly firstCluster: readonly number[];
  readonly clusterCount: readonly number[];
  /** Bytes of compressed data in all, each stored byte range counted once an entry. */
  readonly byteLength: number;
  /** Refcounts of the host clusters they touch. */
  readonly refcounts: ReadonlyMap<number, number>;
}

/** What the file's own bytes say; host clusters are indexes. */
export interface Census {
  readonly header: Header;
  /** Guest clusters of the capacity. */
  readonly guestClusters: number;
  /** L1 entries that the capacity needs. */
  readonly l1Needed: number;
  /** D: guest clusters that a write needs a new cluster for (0 with an external data file). */
  readonly needing: number;
  /** L: L1 entries whose L2 table a write has to allocate or copy. */
  readonly tablesNeeding: number;
  /** Of those, missing tables whose guest clusters all need one: `needing` counts them. */
  readonly missingTables: number;
  /** Longest run of neighbouring guest clusters in D inside one L2 table, and with table borders ignored. */
  readonly longestRun: number;
  readonly longestRunAcrossTables: number;
  /** Host clusters of guest data that is written in place. */
  readonly inPlace: ClusterSet;
  readonly inPlaceCount: number;
  /** The last guest cluster, when it is in place and the capacity ends inside it. */
  readonly partialInPlace: { readonly hostCluster: number; readonly byteLength: number } | undefined;
  /** The last guest cluster needs a new cluster, and the capacity ends inside it. */
  readonly partialNeeding: number | undefined;
  /** Active L2 tables with COPIED, and of those the ones with a cluster in D: they are rewritten by the guest's writes. */
  readonly copiedTables: ClusterSet;
  readonly rewrittenTables: ClusterSet;
  readonly compressed: CompressedClusters;
  /** Clusters with a refcount above 0, or with the dirty bit set: with a reference. */
  readonly used: ClusterSet;
  /** Refcount-table indexes that have a block, and the blocks' clusters. */
  readonly refcountBlocks: ReadonlyMap<number, number>;
  readonly snapshotTable: SnapshotTable;
  readonly bitmaps: readonly Bitmap[];
  /** Used clusters that nothing refers to, and referenced clusters with refcount 0. */
  readonly leakedCount: number;
  readonly unaccountedCount: number;
  /** The dirty bit is set and referenced clusters have refcount 0: the next writable open rebuilds all refcounts. */
  readonly needsRebuild: boolean;
  /** Guest data that lies behind the end of the file. */
  readonly beyondEnd: number;
}

/** Snapshot L1 tables and L2 tables are read in pieces of this size. */
const READ_BYTES = 1024 * 1024;

/** Compressed clusters whose order is remembered: 256 GiB at 64 KiB; beyond, `expected` is an estimate. */
const MAX_COMPRESSED_REMEMBERED = 4 * 1024 * 1024;

/** The checked header of `device`. Throws: corrupt, unsupported, io. */
export async function readHeader(device: BlockDevice): Promise<Header> {
  const prefix = await device.read(0, 4096);
  const first = parseHeader(prefix, device.byteLength);
  if (!('needs' in first)) return first;
  const whole = parseHeader(await device.read(0, first.needs), device.byteLength);
  if ('needs' in whole) throw new PlimsollError('corrupt', 'QCOW2_HEADER_END', { doing: 'read qcow2 header', found: 'extensions without an end', expected: 'an end inside the first cluster' });
  return whole;
}

/**
 * Reads every table of the image and counts its clusters.
 *
 * Bounds: each table is read once; the device's budget bounds the bytes, ClusterSet the memory.
 * Throws: corrupt (tables that overlap, entries unaligned, outside the file), over-budget, io; AbortError.
 */
export async function readCensus(device: BlockDevice, header: Header, signal?: AbortSignal): Promise<Census> {
  return new CensusTaker(device, header, signal).take();
}

class CensusTaker {
  readonly #device: BlockDevice;
  readonly #header: Header;
  readonly #signal: AbortSignal | undefined;
  readonly #inPlace = new ClusterSet();
  readonly #referenced = new ClusterSet();
  readonly #tables = new ClusterSet();
  readonly #copiedTables = new ClusterSet();
  readonly #rewrittenTables = new ClusterSet();
  readonly #compressed = { count: 0, allocatedBefore: [] as number[], firstCluster: [] as number[], clusterCount: [] as number[], byteLength: 0, refcounts: new Map<number, number>() };
  #needing = 0;
  #tablesNeeding = 0;
  #missingTables = 0;
  #inPlaceCount = 0;
  #longestRun = 0;
  #longestRunAcrossTables = 0;
  #runInTable = 0;
  #runAcrossTables = 0;
  #lastInPlace = -1;
  #beyondEnd = 0;

  constructor(device: BlockDevice, header: Header, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#header = header;
    this.#signal = signal;
  }

  async take(): Promise<Census> {
    const header = this.#header;
    const guestClusters = divideUp(header.capacity, header.clusterSize);
    const l1Needed = divideUp(guestClusters, header.l2Entries);
    const l1 = await this.#device.read(header.l1TableOffset, header.l1Size * 8);
    await this.#walkActive(l1, guestClusters, l1Needed);
    const lastInPlace = this.#lastInPlace;
    const partialBytes = header.capacity % header.clusterSize;
    const bitmaps = header.bitmaps === undefined ? [] : await readBitmaps(this.#device, header, header.bitmaps);
    const snapshotTable = header.nbSnapshots === 0 ? { snapshots: [], byteLength: 0 } : await readSnapshotTable(this.#device, header);
    await this.#walkSnapshots(snapshotTable.snapshots);
    this.#referenceMetadata(snapshotTable, bitmaps);
    const { used, refcountBlocks } = await this.#readRefcounts();
    const lastNeeds = partialBytes > 0 && lastInPlace < 0 && !header.externalDataFile;
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
      partialInPlace: partialBytes > 0 && lastInPlace >= 0 ? { hostCluster: lastInPlace, byteLength: partialBytes } : undefined,
      partialNeeding: lastNeeds ? partialBytes : undefined,
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
    };
  }

  /** The active L1 table: entries the capacity needs are counted, those behind it (VM state, shrunk) only referenced. */
  async #walkActive(l1: Uint8Array, guestClusters: number, l1Needed: number): Promise<void> {
    const { l2Entries, clusterSize } = this.#header;
    const view = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
    const entries: (L1Entry & { index: number })[] = [];
    for (let index = 0; index * 8 + 8 <= l1.byteLength; index += 1) {
      const entry = l1Entry(view, index, this.#header, this.#device.byteLength);
      if (entry === undefined) continue;
      if (this.#tables.has(entry.cluster)) throw tableTwice(index, entry.cluster * clusterSize);
      this.#tables.add(entry.cluster);
      entries.push({ ...entry, index });
    }
    const tables = readClusters(this.#device, clusterSize, entries.map((entry) => entry.cluster));
    let index = 0;
    const entryCountAt = (at: number): number => Math.min(l2Entries, guestClusters - at * l2Entries);
    for (const entry of entries) {
      for (; index < Math.min(entry.index, l1Needed); index += 1) this.#countMissingTable(entryCountAt(index));
      index = entry.index + 1;
      this.#referenced.add(entry.cluster);
      const table = (await tables.next()).value as Uint8Array;
      if (entry.index < l1Needed) this.#countTable(table, entryCountAt(entry.index), entry, entry.index === l1Needed - 1);
      else this.#referenceTable(table, l2Entries, entry.cluster);
      if (index % 64 === 0) this.#signal?.throwIfAborted();
    }
    for (; index < l1Needed; index += 1) this.#countMissingTable(entryCountAt(index));
  }

  #countMissingTable(entryCount: number): void {
    this.#tablesNeeding += 1;
    this.#missingTables += 1;
    this.#needing += entryCount;
    this.#runInTable = 0;
    this.#extendRun(entryCount);
    this.#lastInPlace = -1;
  }

  #countTable(table: Uint8Array, entryCount: number, entry: L1Entry, isLast: boolean): void {
    const { clusterSize } = this.#header;
    if (entry.copied) this.#copiedTables.add(entry.cluster);
    else this.#tablesNeeding += 1;
    this.#runInTable = 0;
    const neededBefore = this.#needing;
    let lastEntry = -1;
    let lastCluster = -1;
    visitL2Table(table, entryCount, this.#header, entry.cluster * clusterSize, {
      inPlace: (hostCluster, count, firstEntry) => {
        this.#endRuns();
        this.#inPlaceCount += count;
        lastEntry = firstEntry + count - 1;
        lastCluster = hostCluster + count - 1;
        if (this.#header.externalDataFile) return;
        this.#inPlace.addRun(hostCluster, hostCluster + count);
        if ((hostCluster + count) * clusterSize > this.#device.byteLength + clusterSize - 1) this.#beyondEnd += count;
      },
      needing: (count) => {
        this.#needing += count;
        this.#extendRun(count);
      },
      sharedData: (hostCluster) => {
        if (!this.#header.externalDataFile) this.#referenced.add(hostCluster);
      },
      compressed: (fileOffset, byteLength) => this.#countCompressed(fileOffset, byteLength),
    });
    if (entry.copied && this.#needing > neededBefore) this.#rewrittenTables.add(entry.cluster);
    if (isLast) this.#lastInPlace = lastEntry === entryCount - 1 ? lastCluster : -1;
  }

  #countCompressed(fileOffset: number, byteLength: number): void {
    const { clusterSize } = this.#header;
    const first = Math.floor(fileOffset / clusterSize);
    const last = Math.floor((fileOffset + byteLength - 1) / clusterSize);
    if (fileOffset >= this.#device.byteLength) throw compressedOutside(fileOffset, this.#device.byteLength);
    const known = this.#compressed;
    known.count += 1;
    known.byteLength += byteLength;
    if (known.count <= MAX_COMPRESSED_REMEMBERED) {
      known.allocatedBefore.push(this.#needing + this.#tablesNeeding);
      known.firstCluster.push(first);
      known.clusterCount.push(last - first + 1);
      for (let cluster = first; cluster <= last; cluster += 1) known.refcounts.set(cluster, 0);
    }
    this.#referenced.addRun(first, last + 1);
    this.#needing += 1;
    this.#extendRun(1);
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
  #referenceTable(table: Uint8Array, entryCount: number, cluster: number): void {
    if (this.#header.externalDataFile) return;
    const { clusterSize } = this.#header;
    visitL2Table(table, entryCount, this.#header, cluster * clusterSize, {
      inPlace: (hostCluster, count) => this.#referenced.addRun(hostCluster, hostCluster + count),
      needing: () => undefined,
      sharedData: (hostCluster) => this.#referenced.add(hostCluster),
      compressed: (fileOffset, byteLength) => {
        if (fileOffset >= this.#device.byteLength) throw compressedOutside(fileOffset, this.#device.byteLength);
        this.#referenced.addRun(Math.floor(fileOffset / clusterSize), Math.floor((fileOffset + byteLength - 1) / clusterSize) + 1);
      },
    });
  }

  /** Snapshots keep clusters alive; a table that was seen before is not read again. */
  async #walkSnapshots(snapshots: readonly InternalSnapshot[]): Promise<void> {
    const { clusterSize, l2Entries } = this.#header;
    const seenL1 = new Set<number>();
    for (const { l1TableOffset, l1Size } of snapshots) {
      this.#signal?.throwIfAborted();
      this.#referenceBytes(l1TableOffset, l1Size * 8);
      if (l1Size === 0 || seenL1.has(l1TableOffset)) continue;
      seenL1.add(l1TableOffset);
      const l1 = await this.#device.read(l1TableOffset, l1Size * 8);
      const view = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
      const fresh: number[] = [];
      for (let index = 0; index * 8 + 8 <= l1.byteLength; index += 1) {
        const entry = l1Entry(view, index, this.#header, this.#device.byteLength);
        if (entry === undefined || this.#tables.has(entry.cluster)) continue;
        this.#tables.add(entry.cluster);
        this.#referenced.add(entry.cluster);
        fresh.push(entry.cluster);
      }
      let at = 0;
      for await (const table of readClusters(this.#device, clusterSize, fresh)) {
        this.#referenceTable(table, l2Entries, fresh[at] as number);
        at += 1;
      }
    }
  }

  #referenceMetadata(snapshotTable: SnapshotTable, bitmaps: readonly Bitmap[]): void {
    const header = this.#header;
    this.#referenced.add(0);
    this.#referenceBytes(header.l1TableOffset, header.l1Size * 8);
    this.#referenceBytes(header.snapshotsOffset, snapshotTable.byteLength);
    if (header.encryptionHeader !== undefined) this.#referenceBytes(header.encryptionHeader.offset, header.encryptionHeader.length);
    if (header.bitmaps !== undefined) this.#referenceBytes(header.bitmaps.directoryOffset, header.bitmaps.directorySize);
    for (const bitmap of bitmaps) {
      this.#referenceBytes(bitmap.tableOffset, bitmap.tableSize * 8);
      for (const cluster of bitmap.dataClusters) this.#referenced.add(cluster);
    }
    for (const run of this.#inPlace.runs()) this.#referenced.addRun(run.start, run.end);
    if (!header.dirty) this.#referenceBytes(header.refcountTableOffset, header.refcountTableClusters * header.clusterSize);
  }

  #referenceBytes(offset: number, byteLength: number): void {
    if (byteLength === 0) return;
    const { clusterSize } = this.#header;
    this.#referenced.addRun(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize));
  }

  async #readRefcounts(): Promise<{ used: ClusterSet; refcountBlocks: Map<number, number> }> {
    const header = this.#header;
    const used = new ClusterSet();
    const refcountBlocks = new Map<number, number>();
    const seen = new ClusterSet();
    const table = alignedBytes(await this.#device.read(header.refcountTableOffset, header.refcountTableClusters * header.clusterSize));
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const wanted = clustersByRange([...this.#compressed.refcounts.keys()], header.refcountBlockEntries);
    for (const index of nonZeroEntries(table)) {
      const cluster = refcountTableEntry(view, index, header, this.#device.byteLength);
      if (cluster === undefined) continue;
      if (seen.has(cluster)) throw blockTwice(index, cluster * header.clusterSize);
      seen.add(cluster);
      refcountBlocks.set(index, cluster);
      if (!header.dirty) this.#referenced.add(cluster);
    }
    const blocks = readClusters(this.#device, header.clusterSize, [...refcountBlocks.values()]);
    for (const index of refcountBlocks.keys()) {
      const block = (await blocks.next()).value as Uint8Array;
      addUsedClusters(block, header.refcountOrder, index * header.refcountBlockEntries, used);
      for (const one of wanted.get(index) ?? []) {
        this.#compressed.refcounts.set(one, refcountOf(block, header.refcountOrder, one % header.refcountBlockEntries));
      }
      if (index % 64 === 0) this.#signal?.throwIfAborted();
    }
    return { used, refcountBlocks };
  }
}

/** The table of one cluster at `offset`. Throws: corrupt, when it is not aligned or not wholly inside the file. */
export async function readCluster(device: BlockDevice, header: Header, offset: number): Promise<Uint8Array> {
  if (offset % header.clusterSize !== 0 || offset + header.clusterSize > device.byteLength) {
    throw tableOutside('QCOW2_L1_ENTRY', 'read qcow2 L1 table', 'L2 table offset', header.l1TableOffset, offset, header, device.byteLength);
  }
  return device.read(offset, header.clusterSize);
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

interface L1Entry {
  readonly cluster: number;
  readonly copied: boolean;
}

/** L1 entry: bits 9-55 the offset of an L2 table, bit 63 COPIED. undefined: no table. */
function l1Entry(view: DataView, index: number, header: Header, fileLength: number): L1Entry | undefined {
  const high = view.getUint32(index * 8);
  const offset = (high & 0x00ffffff) * 0x100000000 + ((view.getUint32(index * 8 + 4) & 0xfffffe00) >>> 0);
  if (offset === 0) return undefined;
  if (offset % header.clusterSize !== 0 || offset + header.clusterSize > fileLength) {
    throw tableOutside('QCOW2_L1_ENTRY', 'read qcow2 L1 table', 'L2 table offset', header.l1TableOffset + index * 8, offset, header, fileLength);
  }
  return { cluster: offset / header.clusterSize, copied: high >>> 31 === 1 };
}

/** Refcount table entry: bits 9-63 the offset of a block. undefined: the whole range is free. */
function refcountTableEntry(view: DataView, index: number, header: Header, fileLength: number): number | undefined {
  const offset = view.getUint32(index * 8) * 0x100000000 + ((view.getUint32(index * 8 + 4) & 0xfffffe00) >>> 0);
  if (offset === 0) return undefined;
  if (offset % header.clusterSize !== 0 || offset + header.clusterSize > fileLength) {
    throw tableOutside('QCOW2_REFCOUNT_BLOCK', 'read qcow2 refcount table', 'refcount block offset', header.refcountTableOffset + index * 8, offset, header, fileLength);
  }
  return offset / header.clusterSize;
}

/** Pieces in flight at a time, so that counting one table and fetching the next overlap. */
const READS_AHEAD = 6;

/**
 * The clusters at `clusters`, in that order, one table each; neighbours are fetched together, up to 1 MiB.
 *
 * Throws: corrupt, when the file ends inside one (it shrank meanwhile).
 */
async function* readClusters(device: BlockDevice, clusterSize: number, clusters: readonly number[]): AsyncGenerator<Uint8Array> {
  const pieces = neighbourhoods(clusters, Math.max(1, READ_BYTES / clusterSize));
  const inFlight: { reading: Promise<Uint8Array>; byteLength: number }[] = [];
  const fetchNext = (): void => {
    const piece = pieces.next();
    if (piece.done === true) return;
    const byteLength = piece.value.count * clusterSize;
    const reading = Promise.resolve().then(() => device.read(piece.value.first * clusterSize, byteLength));
    // A failure is met when its turn comes; until then it is not unhandled.
    reading.catch(() => undefined);
    inFlight.push({ reading, byteLength });
  };
  for (let count = 0; count < READS_AHEAD; count += 1) fetchNext();
  for (let piece = inFlight.shift(); piece !== undefined; piece = inFlight.shift()) {
    const bytes = alignedBytes(await piece.reading);
    fetchNext();
    if (bytes.byteLength < piece.byteLength) {
      throw new PlimsollError('corrupt', 'QCOW2_TABLE_TRUNCATED', { doing: 'read qcow2 table', found: `${bytes.byteLength} bytes`, expected: `${piece.byteLength} bytes` });
    }
    for (let at = 0; at < bytes.byteLength; at += clusterSize) yield bytes.subarray(at, at + clusterSize);
  }
}

function* neighbourhoods(clusters: readonly number[], most: number): Generator<{ first: number; count: number }> {
  let at = 0;
  while (at < clusters.length) {
    const first = clusters[at] as number;
    let count = 1;
    while (count < most && clusters[at + count] === first + count) count += 1;
    yield { first, count };
    at += count;
  }
}

/** Indexes of 8-byte entries that are not zero. */
function* nonZeroEntries(table: Uint8Array): Generator<number> {
  const words = new Uint32Array(table.buffer, table.byteOffset, table.byteLength / 4);
  for (let at = 0; at < words.length; at += 2) {
    if (words[at] !== 0 || words[at + 1] !== 0) yield at / 2;
  }
}

/** The same bytes at an even position of their buffer, as a view of 16-bit entries needs it. */
function alignedBytes(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % 8 === 0 && bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}

function tableOutside(code: string, doing: string, field: string, at: number, offset: number, header: Header, fileLength: number): PlimsollError {
  return new PlimsollError('corrupt', code, {
    doing,
    field,
    at,
    found: `0x${offset.toString(16)}`,
    expected: `a multiple of the cluster size ${header.clusterSize} inside the file of ${fileLength} bytes`,
  });
}

function tableTwice(index: number, offset: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_L2_TABLE_TWICE', { doing: 'read qcow2 L1 table', field: `entry ${index}`, found: `0x${offset.toString(16)}`, expected: 'an L2 table that no other entry uses' });
}

function blockTwice(index: number, offset: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_REFCOUNT_BLOCK_TWICE', { doing: 'read qcow2 refcount table', field: `entry ${index}`, found: `0x${offset.toString(16)}`, expected: 'a refcount block that no other entry uses' });
}

function compressedOutside(offset: number, fileLength: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_COMPRESSED_OFFSET', { doing: 'read qcow2 L2 table', field: 'compressed cluster offset', found: `0x${offset.toString(16)}`, expected: `inside the file of ${fileLength} bytes` });
}
