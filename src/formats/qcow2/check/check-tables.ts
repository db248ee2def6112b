/**
 * The check of a qcow2 image's tables: every reference from every structure, compared with refcounts and COPIED. It finds what
 * `qemu-img check` finds, and reads whole tables, the entries behind the capacity too. Memory is bounded by ClusterOwners.
 *
 * Apart from the census, which serves figures and passes over what they do not need.
 */
import { divideUp } from '#base';
import type { ReadableDevice } from '#block';
import { readBitmaps } from '../bitmap.ts';
import { hasReservedL1Bits, hasReservedRefcountTableBits, isCopied, offsetOf, refcountBlockOffset } from '../entry.ts';
import type { Header } from '../header.ts';
import { readSnapshotTable } from '../snapshot.ts';
import { readTable, readTables } from '../read/table-reader.ts';
import { type CompressedExtent, FaultCounter, type TableCheck, type Unsound } from './check-result.ts';
import { ClusterOwners, type OwnerKind } from './cluster-owners.ts';
import { compareRefcounts } from './compare-refcounts.ts';
import { visitEntries } from './l2-entries.ts';
import { TableVisitor } from './table-visitor.ts';

/** Compressed entries that are kept, so that their data can be decoded afterwards. */
const MAX_COMPRESSED_KEPT = 32_768;

/**
 * Checks all tables of the image; it has no external data file.
 *
 * Bounds: each table is read once; the device's budget bounds the bytes, ClusterOwners the memory.
 * Throws: corrupt (a table that cannot be followed), over-budget, io; AbortError.
 */
export async function checkTables(device: ReadableDevice, header: Header, signal?: AbortSignal): Promise<TableCheck> {
  return new TableChecker(device, header, signal).check();
}

class TableChecker {
  readonly #device: ReadableDevice;
  readonly #header: Header;
  readonly #signal: AbortSignal | undefined;
  readonly #owners = new ClusterOwners();
  readonly #beyondEnd = new FaultCounter();
  readonly #endCluster: number;
  readonly #compressed: CompressedExtent[] = [];
  #compressedCount = 0;
  #unsound: Unsound | undefined;

  constructor(device: ReadableDevice, header: Header, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#header = header;
    this.#signal = signal;
    this.#endCluster = divideUp(device.byteLength, header.clusterSize);
  }

  async check(): Promise<TableCheck> {
    const { clusterSize, encryptionHeader, l1TableOffset, l1Size } = this.#header;
    this.#claim(0, clusterSize, 'header');
    this.#claim(l1TableOffset, l1Size * 8, 'L1 table');
    if (encryptionHeader !== undefined) this.#claim(encryptionHeader.offset, encryptionHeader.length, 'encryption header');
    await this.#walkTrees();
    await this.#walkBitmaps();
    const blocks = await this.#readRefcountTable();
    const refcounts = await compareRefcounts(this.#device, this.#header, this.#owners, blocks, this.#signal);
    return {
      ...refcounts,
      conflict: this.#owners.conflict,
      usedTwice: this.#owners.usedTwice,
      unsound: this.#unsound,
      beyondEnd: this.#beyondEnd.result(),
      compressed: this.#compressed,
      compressedCount: this.#compressedCount,
      isGuests: (cluster) => this.#isGuests(cluster),
    };
  }

  /**
   * A free cluster keeps the guest's bytes where QEMU does not punch a hole: a compressed cluster that was overwritten, a discard
   * that the file's own node ignores, a filesystem without holes. A cluster that the end of the file cuts is not one of those.
   */
  #isGuests(cluster: number): boolean {
    const kind = this.#owners.kindOf(cluster);
    return GUESTS.has(kind) || (kind === 'nothing' && (cluster + 1) * this.#header.clusterSize <= this.#device.byteLength);
  }

  #claim(offset: number, byteLength: number, kind: OwnerKind): void {
    if (byteLength === 0) return;
    const { clusterSize } = this.#header;
    this.#owners.add(Math.floor(offset / clusterSize), divideUp(offset + byteLength, clusterSize), kind);
  }

  #noteUnsound(at: number, what: string): void {
    this.#unsound ??= { at, what };
  }

  /** The active tables and those of the snapshots. A table that several L1 tables share is read once and counted for each. */
  async #walkTrees(): Promise<void> {
    const { l1TableOffset, l1Size, nbSnapshots, snapshotsOffset } = this.#header;
    const fresh: number[] = [];
    await this.#readL1(l1TableOffset, l1Size, true, fresh);
    if (nbSnapshots > 0) {
      const { snapshots, byteLength } = await readSnapshotTable(this.#device, this.#header);
      this.#claim(snapshotsOffset, byteLength, 'snapshot table');
      for (const snapshot of snapshots) {
        this.#signal?.throwIfAborted();
        this.#claim(snapshot.l1TableOffset, snapshot.l1Size * 8, "snapshot's L1 table");
        await this.#readL1(snapshot.l1TableOffset, snapshot.l1Size, false, fresh);
      }
    }
    await this.#readL2Tables(fresh);
  }

  /** Adds the L2 tables that were not met before to `fresh`. */
  async #readL1(offset: number, entryCount: number, isActive: boolean, fresh: number[]): Promise<void> {
    const { clusterSize } = this.#header;
    for (let done = 0; done < entryCount; done += L1_ENTRIES_AT_ONCE) {
      const count = Math.min(L1_ENTRIES_AT_ONCE, entryCount - done);
      const table = await readTable(this.#device, offset + done * 8, count * 8, 'L1 table');
      const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
      for (let at = 0; at < table.byteLength; at += 8) {
        const high = view.getUint32(at);
        const low = view.getUint32(at + 4);
        if (high === 0 && low === 0) continue;
        const entryAt = offset + done * 8 + at;
        if (hasReservedL1Bits(high, low)) this.#noteUnsound(entryAt, 'reserved bits are set in an L1 entry');
        const tableOffset = offsetOf(high, low);
        const copied = isCopied(high);
        if (tableOffset === 0) {
          if (copied) this.#noteUnsound(entryAt, 'COPIED is set in an L1 entry without a table');
          continue;
        }
        if (tableOffset % clusterSize !== 0 || tableOffset + clusterSize > this.#device.byteLength) {
          this.#noteUnsound(entryAt, `the L2 table offset 0x${tableOffset.toString(16)} is not aligned, or outside the file`);
          continue;
        }
        const cluster = tableOffset / clusterSize;
        if (this.#owners.references(cluster) === 0) fresh.push(cluster);
        this.#owners.add(cluster, cluster + 1, 'L2 table', isActive ? (copied ? 'copied' : 'shared') : 'other');
      }
    }
  }

  async #readL2Tables(clusters: readonly number[]): Promise<void> {
    const { clusterSize } = this.#header;
    const visitor = new TableVisitor(this.#owners, {
      compressed: (fileOffset, byteLength, entryAt, references) => this.#addCompressed(fileOffset, byteLength, entryAt, references),
      unsound: (at, what) => this.#noteUnsound(at, what),
    });
    let at = 0;
    for await (const tables of readTables(this.#device, clusterSize, clusters)) {
      this.#signal?.throwIfAborted();
      for (const table of tables) {
        const cluster = clusters[at] as number;
        visitor.begin(this.#owners.isActive(cluster), this.#owners.references(cluster));
        visitEntries(table, this.#header, cluster * clusterSize, visitor);
        const beyond = visitor.lastCluster() - this.#endCluster;
        if (beyond >= 0) this.#beyondEnd.add(visitor.lastCluster());
        at += 1;
      }
    }
  }

  #addCompressed(fileOffset: number, byteLength: number, entryAt: number, references: number): void {
    const { clusterSize } = this.#header;
    const end = Math.floor((fileOffset + byteLength - 1) / clusterSize) + 1;
    if (fileOffset >= this.#device.byteLength || end > this.#endCluster + 1) {
      this.#noteUnsound(entryAt, `compressed data at 0x${fileOffset.toString(16)} lies behind the end of the file`);
      return;
    }
    this.#owners.add(Math.floor(fileOffset / clusterSize), end, 'compressed data', 'other', references);
    this.#compressedCount += 1;
    if (this.#compressed.length < MAX_COMPRESSED_KEPT) this.#compressed.push({ fileOffset, byteLength, entryAt });
  }

  async #walkBitmaps(): Promise<void> {
    const { bitmaps: pointer } = this.#header;
    if (pointer === undefined) return;
    this.#claim(pointer.directoryOffset, pointer.directorySize, 'bitmap directory');
    for (const bitmap of await readBitmaps(this.#device, this.#header, pointer)) {
      this.#claim(bitmap.tableOffset, bitmap.tableSize * 8, 'bitmap table');
      for (const cluster of bitmap.dataClusters) {
        if (cluster >= this.#endCluster) this.#beyondEnd.add(cluster);
        this.#owners.add(cluster, cluster + 1, 'bitmap data');
      }
    }
  }

  /** Index and cluster of every refcount block. */
  async #readRefcountTable(): Promise<Map<number, number>> {
    const { clusterSize, refcountTableOffset, refcountTableClusters } = this.#header;
    const byteLength = refcountTableClusters * clusterSize;
    this.#claim(refcountTableOffset, byteLength, 'refcount table');
    const table = await readTable(this.#device, refcountTableOffset, byteLength, 'refcount table');
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const blocks = new Map<number, number>();
    for (let at = 0; at < byteLength; at += 8) {
      const low = view.getUint32(at + 4);
      const offset = refcountBlockOffset(view.getUint32(at), low);
      if (hasReservedRefcountTableBits(low)) this.#noteUnsound(refcountTableOffset + at, 'reserved bits are set in a refcount table entry');
      if (offset === 0) continue;
      if (offset % clusterSize !== 0 || offset + clusterSize > this.#device.byteLength) {
        this.#noteUnsound(
          refcountTableOffset + at,
          `the refcount block offset 0x${offset.toString(16)} is not aligned, or outside the file`,
        );
        continue;
      }
      blocks.set(at / 8, offset / clusterSize);
      this.#claim(offset, clusterSize, 'refcount block');
    }
    return blocks;
  }
}

/** 1 MiB of an L1 table. */
const L1_ENTRIES_AT_ONCE = 131_072;

/** Kinds whose bytes a guest's writes shape. */
const GUESTS: ReadonlySet<OwnerKind> = new Set<OwnerKind>(['guest data', 'compressed data', 'bitmap data', 'leaked cluster']);
