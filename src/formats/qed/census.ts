/** What the figures need to know of a QED image: one walk over all of its tables. */
import type { ReadableDevice } from '#block';
import { ChunkBudget, ClusterSet } from '../clusters/index.ts';
import type { QedHeader } from './header.ts';
import { type L1Table, overlap, PIECE_ENTRIES, readL2, UNALLOCATED, WITHOUT_TABLE, ZERO } from './tables.ts';

export interface QedCensus {
  readonly header: QedHeader;
  /** L2 tables that there are, and those that are missing for the capacity. */
  readonly l2Tables: number;
  readonly missingTables: number;
  readonly allocatedClusters: number;
  readonly zeroClusters: number;
  /** Clusters of the disk that take a new place once they are written, zero clusters included. */
  readonly needing: number;
  /** Clusters of the file that hold guest data. */
  readonly dataClusters: ClusterSet;
  readonly l1: L1Table;
  /** Entries of the table at `index` of L1 that the capacity needs. */
  readonly entriesOf: (index: number) => number;
}

/**
 * Bounds: each table is read once, as far as the capacity needs it.
 * Throws: corrupt (also guest data over a table); io, over-budget; AbortError.
 */
export async function takeQedCensus(device: ReadableDevice, header: QedHeader, l1: L1Table, signal?: AbortSignal): Promise<QedCensus> {
  const { clusterSize, tableEntries, capacity } = header;
  const guestClusters = Math.ceil(capacity / clusterSize);
  const entriesOf = (index: number): number => Math.min(tableEntries, guestClusters - index * tableEntries);
  const budget = new ChunkBudget(device.memory);
  const [dataClusters, tables] = [new ClusterSet(budget), new ClusterSet(budget)];
  const addTable = (cluster: number): void => tables.addRun(cluster, cluster + header.tableBytes / clusterSize);
  addTable(header.l1Offset / clusterSize);
  const counts = { l2Tables: 0, missingTables: 0, allocatedClusters: 0, zeroClusters: 0 };
  for (const [index, cluster] of l1.entries()) {
    if (cluster === WITHOUT_TABLE) {
      counts.missingTables += 1;
      continue;
    }
    counts.l2Tables += 1;
    addTable(cluster);
    const entries = entriesOf(index);
    for (let first = 0; first < entries; first += PIECE_ENTRIES) {
      signal?.throwIfAborted();
      const count = Math.min(PIECE_ENTRIES, entries - first);
      for (const entry of await readL2(device, header, { tableOffset: cluster * clusterSize, first, count })) {
        if (entry === UNALLOCATED) continue;
        if (entry === ZERO) counts.zeroClusters += 1;
        else {
          counts.allocatedClusters += 1;
          dataClusters.add(entry / clusterSize);
        }
      }
    }
  }
  const common = dataClusters.firstCommon(tables);
  if (common !== undefined) throw overlap('guest data', common * clusterSize, 'over a table', 'clusters of its own');
  return { header, ...counts, needing: guestClusters - counts.allocatedClusters, dataClusters, l1, entriesOf };
}
