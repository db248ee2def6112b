/** The tables of a qcow image: L1 kept, L2 read in pieces. Source: QEMU 7.2, `get_cluster_offset` and `decompress_cluster`. */
import { PlimsollError, readUint64 } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import type { QcowHeader } from './header.ts';
import { COMPRESSED, ENTRY_BYTES, HEADER, SECTOR } from './layout.ts';

/** L2 tables are read in pieces of at most this many entries. An L2 table has at most 8192. */
export const PIECE_ENTRIES = 8192;

/** The offset of each L2 table, 0 where the image has none. */
export type L1Table = Float64Array;

/** What an L2 entry names. `byteLength`: of the compressed data, or one cluster. */
export type L2Entry = { readonly kind: 'unallocated' } | StoredCluster;

export interface StoredCluster {
  readonly kind: 'data' | 'compressed';
  /** In the file. */
  readonly offset: number;
  readonly byteLength: number;
}

const UNALLOCATED: L2Entry = { kind: 'unallocated' };

/**
 * The L1 table.
 *
 * Stricter than QEMU, which reads zeros past the end of the file and then allocates over the table: a table lies in whole sectors
 * inside the file, apart from all others.
 * Bounds: the header's limit; three times the entries in the device's memory.
 * Throws: corrupt (a table outside of the file or over another structure); io, over-budget; AbortError.
 */
export async function readL1(device: ReadableDevice, header: QcowHeader, signal?: AbortSignal): Promise<L1Table> {
  const { l1Entries, l1Offset } = header;
  device.memory?.take(3 * l1Entries * ENTRY_BYTES);
  const table = new Float64Array(l1Entries);
  for (let first = 0; first < l1Entries; first += PIECE_ENTRIES) {
    signal?.throwIfAborted();
    const count = Math.min(PIECE_ENTRIES, l1Entries - first);
    const pieceAt = l1Offset + first * ENTRY_BYTES;
    const view = await readEntries(device, pieceAt, count);
    for (let index = 0; index < count; index += 1) {
      if (isZero(view, index)) continue;
      const offset = readUint64(view, index * ENTRY_BYTES, 'read qcow L1 table', `entry ${first + index}`, pieceAt);
      if (offset % SECTOR !== 0 || offset < HEADER.byteLength || offset + tableBytes(header) > device.byteLength) {
        const expected = `whole sectors behind the header, inside the file of ${device.byteLength} bytes`;
        throw wrong('QCOW_L1_ENTRY', 'read qcow L1 table', pieceAt + index * ENTRY_BYTES, offset, expected);
      }
      table[first + index] = offset;
    }
  }
  refuseOverlap(table, header);
  return table;
}

/** Bytes of one L2 table. */
export function tableBytes({ l2Entries }: QcowHeader): number {
  return l2Entries * ENTRY_BYTES;
}

function refuseOverlap(table: L1Table, header: QcowHeader): void {
  const { l1Offset, l1Entries, backingFileOffset, backingFileBytes } = header;
  const others = [
    [l1Offset, l1Entries * ENTRY_BYTES],
    [backingFileOffset, backingFileBytes?.byteLength ?? 0],
  ] as const;
  for (const [index, offset] of table.entries()) {
    const isOver = offset !== 0 && others.some(([start, length]) => offset < start + length && offset + tableBytes(header) > start);
    if (!isOver) continue;
    const expected = 'a table apart from the L1 table and the name of the backing file';
    throw wrong('QCOW_OVERLAP', 'read qcow L1 table', l1Offset + index * ENTRY_BYTES, offset, expected);
  }
  const offsets = table.filter((offset) => offset !== 0).sort();
  for (let index = 1; index < offsets.length; index += 1) {
    const [before, offset] = [offsets[index - 1] as number, offsets[index] as number];
    if (offset >= before + tableBytes(header)) continue;
    const at = header.l1Offset + table.lastIndexOf(offset) * ENTRY_BYTES;
    throw wrong('QCOW_TABLE_TWICE', 'read qcow L1 table', at, offset, 'a table apart from those of the other entries');
  }
}

/**
 * The entries [first, first + count) of the L2 table at `tableOffset`. At most PIECE_ENTRIES.
 *
 * Throws: corrupt (a cluster or compressed data outside of the file); io, over-budget.
 */
export async function readL2(
  device: ReadableDevice,
  header: QcowHeader,
  { tableOffset, first, count }: { readonly tableOffset: number; readonly first: number; readonly count: number },
): Promise<L2Entry[]> {
  const start = tableOffset + first * ENTRY_BYTES;
  const view = await readEntries(device, start, count);
  return Array.from({ length: count }, (_, index) => {
    if (isZero(view, index)) return UNALLOCATED;
    const entry = decode(view.getUint32(index * ENTRY_BYTES), view.getUint32(index * ENTRY_BYTES + 4), header);
    const isInside = entry.offset >= HEADER.byteLength && entry.offset + entry.byteLength <= device.byteLength;
    const isPlace = entry.kind === 'compressed' ? entry.byteLength > 0 : entry.offset % SECTOR === 0;
    if (isInside && isPlace) return entry;
    const expected =
      entry.kind === 'compressed'
        ? `compressed data inside the file of ${device.byteLength} bytes`
        : `a cluster of whole sectors inside the file of ${device.byteLength} bytes`;
    throw wrong('QCOW_L2_ENTRY', 'read qcow L2 table', start + index * ENTRY_BYTES, entry.offset, expected);
  });
}

/** Bit 63: compressed; then `clusterBits` bits of byte length above the offset. */
function decode(high: number, low: number, { clusterBits, clusterSize }: QcowHeader): StoredCluster {
  if (high < COMPRESSED) return { kind: 'data', offset: high * 2 ** 32 + low, byteLength: clusterSize };
  const offsetHighUnits = 2 ** (63 - clusterBits - 32);
  const descriptor = high - COMPRESSED;
  return {
    kind: 'compressed',
    offset: (descriptor % offsetHighUnits) * 2 ** 32 + low,
    byteLength: Math.floor(descriptor / offsetHighUnits),
  };
}

async function readEntries(device: ReadableDevice, offset: number, count: number): Promise<DataView> {
  const content = await readExactly(device, offset, count * ENTRY_BYTES, 'IMAGE_TRUNCATED', 'read qcow table');
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

/** Most entries of most images. */
function isZero(view: DataView, index: number): boolean {
  return view.getUint32(index * ENTRY_BYTES) === 0 && view.getUint32(index * ENTRY_BYTES + 4) === 0;
}

function wrong(code: string, doing: string, at: number, found: number, expected: string): PlimsollError {
  return new PlimsollError('corrupt', code, { doing, field: 'entry', at, found: `0x${found.toString(16)}`, expected });
}
