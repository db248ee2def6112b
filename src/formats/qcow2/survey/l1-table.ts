/** L1 tables: where the L2 tables lie. Source: qcow2 spec, "Cluster mapping", L1 table entry. */
import type { ReadableDevice } from '#block';
import { ENTRY_BYTES, isCopied, offsetOf } from '../entry.ts';
import type { Header } from '../header.ts';
import { requireL2Table } from '../read/table-location.ts';
import { nonZeroEntries, readTable } from '../read/table-reader.ts';

/** The entries that name an L2 table, ascending by index; arrays of one length. A table can have four million. */
export interface L1Table {
  readonly indexes: Uint32Array;
  /** Host clusters of the L2 tables. */
  readonly clusters: Float64Array;
  /** 1 where the entry has COPIED. */
  readonly copied: Uint8Array;
}

/** The L1 table of `entryCount` entries at `offset` of the file. Throws: corrupt, as parseL1Table; io, over-budget. */
export async function readL1Table(device: ReadableDevice, header: Header, offset: number, entryCount: number): Promise<L1Table> {
  return parseL1Table(await readTable(device, offset, entryCount * ENTRY_BYTES, 'L1 table'), offset, header, device.byteLength);
}

/**
 * The entries of the L1 table at `tableOffset` of the file.
 *
 * `table`: 8-byte entries, big-endian (entry.ts); at a position divisible by 4.
 * Throws: corrupt, when an offset is not a multiple of the cluster size or its table not wholly inside the file.
 */
function parseL1Table(table: Uint8Array, tableOffset: number, header: Header, fileLength: number): L1Table {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const most = countNonZero(table);
  const [indexes, clusters, copied] = [new Uint32Array(most), new Float64Array(most), new Uint8Array(most)];
  let count = 0;
  for (const index of nonZeroEntries(table)) {
    const high = view.getUint32(index * ENTRY_BYTES);
    const offset = offsetOf(high, view.getUint32(index * ENTRY_BYTES + 4));
    if (offset === 0) continue;
    requireL2Table(offset, header, { entryAt: tableOffset + index * ENTRY_BYTES, fileLength });
    indexes[count] = index;
    clusters[count] = offset / header.clusterSize;
    copied[count] = isCopied(high) ? 1 : 0;
    count += 1;
  }
  return { indexes: indexes.subarray(0, count), clusters: clusters.subarray(0, count), copied: copied.subarray(0, count) };
}

function countNonZero(table: Uint8Array): number {
  const words = new Uint32Array(table.buffer, table.byteOffset, table.byteLength / 4);
  let count = 0;
  for (let at = 0; at < words.length; at += 2) if (words[at] !== 0 || words[at + 1] !== 0) count += 1;
  return count;
}
