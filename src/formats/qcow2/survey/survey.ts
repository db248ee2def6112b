/**
 * The survey of a qcow2 file: every table is read once and every host cluster accounted for. It holds what the figures rest
 * on and keeps no table. Theory: docs/commitment.md; source: qcow2 spec, "Cluster mapping", "Host cluster management".
 */
import { divideUp, PlimsollError } from '#base';
import { type ReadableDevice, withTableMemory } from '#block';
import { ChunkBudget, type ClusterSet } from '../../clusters/index.ts';
import { type Bitmap, readBitmaps } from '../bitmap.ts';
import { ENTRY_BYTES } from '../entry.ts';
import type { GrowthModel } from '../growth-model.ts';
import type { Header } from '../header.ts';
import { readTables } from '../read/table-reader.ts';
import { type InternalSnapshot, readSnapshotTable, type SnapshotTable } from '../snapshot.ts';
import { ActiveTables } from './active-tables.ts';
import { ClusterReferences, type InvalidEntry } from './cluster-references.ts';
import { readL1Table } from './l1-table.ts';
import { lastClusterBytes } from './l2-table.ts';
import { readRefcounts } from './refcount-blocks.ts';

/** The growth model of a file, and the anomalies of its tables. */
export interface Census extends GrowthModel {
  readonly header: Header;
  /** Used clusters without a reference, and referenced clusters with refcount 0. */
  readonly leakedCount: number;
  readonly unaccountedCount: number;
  /** Host clusters that more than one guest cluster of the active tables uses: 0 in a valid image. */
  readonly usedTwice: number;
  /** Host clusters that hold the compressed data of more guest clusters than their refcount allows. */
  readonly undercounted: number;
  /** A host cluster of guest data (shared, of a snapshot, compressed) that also holds a table: nothing writes it in place. */
  readonly dataOverTable: number | undefined;
  readonly unsound: InvalidEntry | undefined;
}

/**
 * Reads every table of the image and counts its clusters.
 *
 * Bounds: each table is read once; the device's budget bounds the bytes, its memory and ClusterSet the sets made of them.
 * Throws: corrupt (tables that overlap, entries unaligned, outside the file), over-budget, io; AbortError.
 */
export async function readCensus(device: ReadableDevice, header: Header, signal?: AbortSignal): Promise<Census> {
  const surveyor = withTableMemory(device.memory, () => new Surveyor(device, header, signal));
  return surveyor.survey();
}

class Surveyor {
  readonly #device: ReadableDevice;
  readonly #header: Header;
  readonly #signal: AbortSignal | undefined;
  readonly #budget = new ChunkBudget();
  readonly #references: ClusterReferences;
  readonly #active: ActiveTables;

  constructor(device: ReadableDevice, header: Header, signal: AbortSignal | undefined) {
    this.#device = device;
    this.#header = header;
    this.#signal = signal;
    this.#references = new ClusterReferences(header, device.byteLength, this.#budget);
    this.#active = new ActiveTables(device, header, this.#references, this.#budget);
  }

  async survey(): Promise<Census> {
    const header = this.#header;
    const active = this.#active;
    this.#claimHeader();
    await active.walk(this.#signal);
    const bitmaps = header.bitmaps === undefined ? [] : await readBitmaps(this.#device, header, header.bitmaps);
    const snapshotTable = header.nbSnapshots === 0 ? { snapshots: [], byteLength: 0 } : await readSnapshotTable(this.#device, header);
    await this.#walkSnapshots(snapshotTable.snapshots);
    this.#referenceMetadata(snapshotTable, bitmaps);
    const { used, refcountBlocks } = await readRefcounts(this.#device, header, {
      budget: this.#budget,
      references: this.#references,
      wanted: active.compressed.refcounts,
      signal: this.#signal,
    });
    if (header.dirty) active.compressed.countReferences();
    this.#references.refuseOverlap(active.inPlace);
    const { referenced } = this.#references;
    checkFragmentation(header.dirty ? referenced : used);
    const unaccountedCount = referenced.countWithout(used);
    return {
      ...this.#growthOfTables(),
      header,
      used: header.dirty ? referenced : used,
      refcountBlocks,
      snapshotTable,
      bitmaps,
      leakedCount: used.countWithout(referenced),
      unaccountedCount: header.dirty ? 0 : unaccountedCount,
      needsRebuild: header.dirty && unaccountedCount > 0,
      usedTwice: active.multiplyReferenced(),
      undercounted: header.dirty ? 0 : active.underReferenced(),
      unsound: this.#references.firstInvalidEntry,
      dataOverTable: this.#references.dataOverTable(),
    };
  }

  /** The part of the growth model that rests on the active tables alone. */
  #growthOfTables(): Omit<GrowthModel, 'header' | 'used' | 'refcountBlocks' | 'snapshotTable' | 'bitmaps' | 'needsRebuild'> {
    const header = this.#header;
    const active = this.#active;
    const guestClusters = divideUp(header.capacity, header.clusterSize);
    const partialBytes = header.capacity % header.clusterSize;
    const lastBytes = active.lastClusterBytes ?? lastClusterBytes(undefined, 0, header, partialBytes);
    const isShort = partialBytes > 0 && lastBytes < header.clusterSize && !header.externalDataFile;
    return {
      guestClusters,
      l1Needed: divideUp(guestClusters, header.l2Entries),
      needing: header.externalDataFile ? 0 : active.needing,
      tablesNeeding: active.tablesNeeding,
      missingTables: active.missingTables,
      longestRun: header.externalDataFile ? 0 : active.longestRun,
      longestRunAcrossTables: header.externalDataFile ? 0 : active.longestRunAcrossTables,
      inPlace: active.inPlace,
      inPlaceCount: active.inPlaceCount,
      partialInPlace:
        partialBytes > 0 && active.lastInPlace >= 0 ? { hostCluster: active.lastInPlace, byteLength: active.lastInPlaceBytes } : undefined,
      lastClusterBytes: isShort ? lastBytes : undefined,
      lastIsNew: active.lastInPlace < 0,
      copiedTables: active.copiedTables,
      rewrittenTables: active.rewrittenTables,
      compressed: active.compressed,
      beyondEnd: active.beyondEnd,
    };
  }

  /** Structures that the header itself places; refcounts only where they can be trusted. */
  #claimHeader(): void {
    const { clusterSize, l1TableOffset, l1Size, refcountTableOffset, refcountTableClusters, dirty } = this.#header;
    this.#references.claim(0, clusterSize, 'header');
    this.#references.claim(l1TableOffset, l1Size * ENTRY_BYTES, 'L1 table');
    if (!dirty) this.#references.claim(refcountTableOffset, refcountTableClusters * clusterSize, 'refcount table');
  }

  /** Snapshots keep clusters alive; a table that was met before is not read again. */
  async #walkSnapshots(snapshots: readonly InternalSnapshot[]): Promise<void> {
    for (const { l1TableOffset, l1Size } of snapshots) {
      this.#signal?.throwIfAborted();
      if (l1Size === 0) continue;
      this.#references.claimAndReference(l1TableOffset, l1Size * ENTRY_BYTES, "snapshot's L1 table");
      const { clusters } = await readL1Table(this.#device, this.#header, l1TableOffset, l1Size);
      await this.#referenceTables(clusters.filter((cluster) => this.#isNewTable(cluster)));
    }
  }

  #isNewTable(cluster: number): boolean {
    if (this.#references.tables.has(cluster)) return false;
    this.#references.claimTable(cluster);
    this.#references.referenced.add(cluster);
    return true;
  }

  async #referenceTables(clusters: Float64Array): Promise<void> {
    let at = 0;
    for await (const tables of readTables(this.#device, this.#header.clusterSize, clusters)) {
      this.#signal?.throwIfAborted();
      for (const table of tables) {
        this.#active.referenceTable(table, clusters[at] as number);
        at += 1;
      }
    }
  }

  #referenceMetadata(snapshotTable: SnapshotTable, bitmaps: readonly Bitmap[]): void {
    const { encryptionHeader, bitmaps: pointer, dirty, ...header } = this.#header;
    const references = this.#references;
    references.referenced.add(0);
    references.addBytes(header.l1TableOffset, header.l1Size * ENTRY_BYTES);
    references.claimAndReference(header.snapshotsOffset, snapshotTable.byteLength, 'snapshot table');
    if (encryptionHeader !== undefined) references.claimAndReference(encryptionHeader.offset, encryptionHeader.length, 'encryption header');
    if (pointer !== undefined) references.claimAndReference(pointer.directoryOffset, pointer.directorySize, 'bitmap directory');
    for (const bitmap of bitmaps) {
      references.claimAndReference(bitmap.tableOffset, bitmap.tableSize * ENTRY_BYTES, 'bitmap table');
      for (const cluster of bitmap.dataClusters) references.referenced.add(cluster);
    }
    references.addInPlace(this.#active.inPlace);
    if (!dirty) references.addBytes(header.refcountTableOffset, header.refcountTableClusters * header.clusterSize);
  }
}

/** Runs of used clusters that are worked with: the arithmetic goes through them a dozen times. 8 TiB with every 32nd cluster free. */
const MAX_USED_RUNS = 2 ** 22;

function checkFragmentation(used: ClusterSet): void {
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
