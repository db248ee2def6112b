/** The tables of a QED image: L1 kept, L2 read in pieces. Every entry is checked as QEMU does (qed_check_cluster_offset). */
import { PlimsollError, readUint64 } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { findOverlap } from '../block-table.ts';
import type { QedHeader } from './header.ts';
import { ENTRY_BYTES } from './layout.ts';

/** L2 tables are read in pieces of at most this size. */
const PIECE_BYTES = 256 * 1024;
export const PIECE_ENTRIES = PIECE_BYTES / ENTRY_BYTES;

/** Values of an L2 entry that are not an offset. Source: qed_spec.txt, "L1 and L2 tables". */
export const UNALLOCATED = 0;
export const ZERO = 1;

/** In the list of L1: without an L2 table. */
export const WITHOUT_TABLE = 0xffffffff;

/** First cluster of each L2 table that the capacity needs, WITHOUT_TABLE where there is none. */
export type L1Table = Uint32Array;

/**
 * The L1 table. Entries that QEMU's repair drops, in an image that was not closed, are without a table.
 *
 * Bounds: the header's limit; three times the entries in the device's memory.
 * Throws: corrupt (a table outside of the file, over the L1 table, or two entries with one table); io, over-budget; AbortError.
 */
export async function readL1(device: ReadableDevice, header: QedHeader, signal?: AbortSignal): Promise<L1Table> {
  device.memory?.take(3 * header.l1Entries * 4);
  const table = new Uint32Array(header.l1Entries).fill(WITHOUT_TABLE);
  const { clusterSize, tableBytes, l1Offset } = header;
  for (let first = 0; first < header.l1Entries; first += PIECE_ENTRIES) {
    signal?.throwIfAborted();
    const count = Math.min(PIECE_ENTRIES, header.l1Entries - first);
    const view = await readEntries(device, l1Offset, first, count);
    for (let index = 0; index < count; index += 1) {
      if (isZero(view, index)) continue;
      const at = l1Offset + (first + index) * ENTRY_BYTES;
      const offset = readUint64(
        view,
        index * ENTRY_BYTES,
        'read QED L1 table',
        `entry ${first + index}`,
        l1Offset + first * ENTRY_BYTES,
        true,
      );
      const isOverL1 = offset < l1Offset + tableBytes && offset + tableBytes > l1Offset;
      if (isPlace(header, offset, tableBytes) && isOverL1) throw overlap('an L2 table', at, offset, 'clusters apart from the L1 table');
      if (isPlace(header, offset, tableBytes)) table[first + index] = offset / clusterSize;
      else if (!header.needsCheck) throw badEntry('QED_L1_ENTRY', 'read QED L1 table', at, offset, header);
    }
  }
  const twice = findOverlap(table, tableBytes / clusterSize, WITHOUT_TABLE);
  if (twice === undefined) return table;
  const at = l1Offset + twice * ENTRY_BYTES;
  const found = (table[twice] as number) * clusterSize;
  throw new PlimsollError('corrupt', 'QED_TABLE_TWICE', {
    doing: 'read QED L1 table',
    field: `entry ${twice}`,
    at,
    found,
    expected: 'a table that no other entry has',
  });
}

/**
 * The entries [first, first + count) of the L2 table at `tableOffset`: UNALLOCATED, ZERO, or the offset of a cluster. At most
 * PIECE_ENTRIES. An offset outside of the file is UNALLOCATED in an image that was not closed, as QEMU repairs it.
 *
 * Throws: corrupt (a cluster outside of the file); io, over-budget.
 */
export async function readL2(
  device: ReadableDevice,
  header: QedHeader,
  { tableOffset, first, count }: { readonly tableOffset: number; readonly first: number; readonly count: number },
): Promise<Float64Array> {
  const view = await readEntries(device, tableOffset, first, count);
  const entries = new Float64Array(count);
  for (let index = 0; index < count; index += 1) {
    if (isZero(view, index)) continue;
    const start = tableOffset + first * ENTRY_BYTES;
    const value = readUint64(view, index * ENTRY_BYTES, 'read QED L2 table', `entry ${first + index}`, start, true);
    if (value === ZERO || isPlace(header, value, header.clusterSize)) entries[index] = value;
    else if (!header.needsCheck) throw badEntry('QED_L2_ENTRY', 'read QED L2 table', start + index * ENTRY_BYTES, value, header);
  }
  return entries;
}

async function readEntries(device: ReadableDevice, tableOffset: number, first: number, count: number): Promise<DataView> {
  const content = await readExactly(device, tableOffset + first * ENTRY_BYTES, count * ENTRY_BYTES, 'IMAGE_TRUNCATED', 'read QED table');
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

/** Most entries of most images. */
function isZero(view: DataView, index: number): boolean {
  return view.getUint32(index * ENTRY_BYTES) === 0 && view.getUint32(index * ENTRY_BYTES + 4) === 0;
}

function isPlace({ clusterSize, headerBytes, usedBytes }: QedHeader, offset: number, byteLength: number): boolean {
  return offset % clusterSize === 0 && offset >= headerBytes && offset + byteLength <= usedBytes;
}

/** A guest that writes to such clusters, or has them allocated, changes table entries. */
export function overlap(field: string, at: number, found: number | string, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'QED_OVERLAP', { doing: 'read QED tables', field, at, found, expected });
}

function badEntry(code: string, doing: string, at: number, found: number, { headerBytes, usedBytes }: QedHeader): PlimsollError {
  const expected = `whole clusters behind the header (${headerBytes}), inside of the file (${usedBytes})`;
  return new PlimsollError('corrupt', code, { doing, field: 'entry', at, found, expected });
}
