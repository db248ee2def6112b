/** The survey of a qcow image: all of its tables read once, for the figures. */
import { PlimsollError } from '#base';
import type { ReadableDevice } from '#block';
import { ChunkBudget, ClusterSet } from '../clusters/index.ts';
import type { QcowHeader } from './header.ts';
import { HEADER, SECTOR } from './layout.ts';
import { type L1Table, PIECE_ENTRIES, readL2, tableBytes } from './tables.ts';

export interface QcowSurvey {
  readonly header: QcowHeader;
  readonly l2Tables: number;
  /** L2 tables that the image does not have yet. */
  readonly missingTables: number;
  readonly dataClusters: number;
  readonly compressedClusters: number;
  /** Guest clusters that get a new place once they are written: those without data, and the compressed ones. */
  readonly clustersToAllocate: number;
  /** The last guest cluster gets a new place and is not compressed: what lies behind the capacity in it is never written. */
  readonly isTailUnallocated: boolean;
  /** Sectors of 512 bytes of the file that hold guest data, and those that the header and the tables touch. */
  readonly dataSectors: ClusterSet;
  readonly metadataSectors: ClusterSet;
}

/**
 * Bounds: each table is read once; ClusterSet bounds the memory.
 * Throws: corrupt (an entry outside of the file, guest data over a table or the header); io, over-budget; AbortError.
 */
export async function surveyQcow(device: ReadableDevice, header: QcowHeader, l1: L1Table, signal?: AbortSignal): Promise<QcowSurvey> {
  const { clusterSize, l2Entries, capacity } = header;
  const guestClusters = Math.ceil(capacity / clusterSize);
  const budget = new ChunkBudget(device.memory);
  const [dataSectors, metadataSectors] = [new ClusterSet(budget), new ClusterSet(budget)];
  const counts = { l2Tables: 0, missingTables: 0, dataClusters: 0, compressedClusters: 0 };
  let isTailUnallocated = capacity > 0;
  addHeader(metadataSectors, header);
  for (const [index, tableOffset] of l1.entries()) {
    const entries = Math.min(l2Entries, guestClusters - index * l2Entries);
    // A size that is not in whole sectors can need an entry more than the disk.
    if (tableOffset === 0) counts.missingTables += entries > 0 ? 1 : 0;
    if (tableOffset === 0) continue;
    counts.l2Tables += 1;
    addBytes(metadataSectors, tableOffset, tableBytes(header));
    for (let first = 0; first < entries; first += PIECE_ENTRIES) {
      signal?.throwIfAborted();
      const count = Math.min(PIECE_ENTRIES, entries - first);
      const piece = await readL2(device, header, { tableOffset, first, count });
      for (const entry of piece) {
        if (entry.kind === 'compressed') counts.compressedClusters += 1;
        if (entry.kind !== 'data') continue;
        counts.dataClusters += 1;
        addBytes(dataSectors, entry.offset, clusterSize);
      }
      if (index * l2Entries + first + count === guestClusters) isTailUnallocated = piece.at(-1)?.kind === 'unallocated';
    }
  }
  refuseOverlap(dataSectors, metadataSectors);
  const clustersToAllocate = guestClusters - counts.dataClusters;
  return { header, ...counts, clustersToAllocate, isTailUnallocated, dataSectors, metadataSectors };
}

function addHeader(sectors: ClusterSet, { l1Offset, l1Entries, backingFileOffset, backingFileBytes }: QcowHeader): void {
  addBytes(sectors, 0, HEADER.byteLength);
  addBytes(sectors, backingFileOffset, backingFileBytes?.byteLength ?? 0);
  addBytes(sectors, l1Offset, l1Entries * 8);
}

function addBytes(sectors: ClusterSet, offset: number, byteLength: number): void {
  if (byteLength > 0) sectors.addRun(Math.floor(offset / SECTOR), Math.ceil((offset + byteLength) / SECTOR));
}

/** A guest that writes to such a cluster writes table entries, or the name of the backing file. */
function refuseOverlap(data: ClusterSet, metadata: ClusterSet): void {
  const common = data.firstCommon(metadata);
  if (common === undefined) return;
  throw new PlimsollError('corrupt', 'QCOW_OVERLAP', {
    doing: 'read qcow tables',
    field: 'guest data',
    at: common * SECTOR,
    found: 'over the header, the name of the backing file, or a table',
    expected: 'clusters of its own',
  });
}
