/** L1 tables: where the L2 tables lie. Source: qcow2 spec, "Cluster mapping", L1 table entry. */
import { PlimsollError } from '#base';
import { ENTRY_BYTES, isCopied, offsetOf } from './entry.ts';
import type { Header } from './header.ts';
import { nonZeroEntries } from './table-reader.ts';

/** The entries that name an L2 table, ascending by index; arrays of one length. A table can have four million. */
export interface L1Table {
  readonly indexes: Uint32Array;
  /** Host clusters of the L2 tables. */
  readonly clusters: Float64Array;
  /** 1 where the entry has COPIED. */
  readonly copied: Uint8Array;
}

/**
 * The entries of the L1 table at `tableOffset` of the file.
 *
 * `table`: 8-byte entries, big-endian (entry.ts); at a position divisible by 4.
 * Throws: corrupt, when an offset is not a multiple of the cluster size or its table not wholly inside the file.
 */
export function parseL1Table(table: Uint8Array, tableOffset: number, header: Header, fileLength: number): L1Table {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const most = countNonZero(table);
  const [indexes, clusters, copied] = [new Uint32Array(most), new Float64Array(most), new Uint8Array(most)];
  let count = 0;
  for (const index of nonZeroEntries(table)) {
    const high = view.getUint32(index * ENTRY_BYTES);
    const offset = offsetOf(high, view.getUint32(index * ENTRY_BYTES + 4));
    if (offset === 0) continue;
    if (offset % header.clusterSize !== 0 || offset + header.clusterSize > fileLength)
      throw outside(tableOffset + index * ENTRY_BYTES, offset, header, fileLength);
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

function outside(at: number, offset: number, header: Header, fileLength: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_L1_ENTRY', {
    doing: 'read qcow2 L1 table',
    field: 'L2 table offset',
    at,
    found: `0x${offset.toString(16)}`,
    expected: `a multiple of the cluster size ${header.clusterSize} inside the file of ${fileLength} bytes`,
  });
}
