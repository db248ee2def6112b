/** Persistent dirty bitmaps: directory and tables. Source: qcow2 spec, "Bitmaps". */
import { PlimsollError, readUint64, roundUp } from '#base';
import { decodeName } from './extension.ts';
import type { ReadableDevice } from '#block';
import type { BitmapsPointer } from './extension.ts';
import type { Header } from './header.ts';
import { BITMAP_AUTO, BITMAP_ENTRY, BITMAP_IN_USE, LIMITS } from './layout.ts';
import { readTable } from './read/table-reader.ts';

export interface Bitmap {
  readonly name: string;
  readonly tableOffset: number;
  /** Entries of the bitmap table. */
  readonly tableSize: number;
  readonly inUse: boolean;
  /** Recording guest writes. */
  readonly enabled: boolean;
  /** Host clusters of bitmap data, ascending by table index. */
  readonly dataClusters: readonly number[];
  /** Entries that stand for all ones without a data cluster; the next store writes them as data. */
  readonly allOnesCount: number;
  /** Each bit stands for 2^granularityBits guest bytes. */
  readonly granularityBits: number;
}

/**
 * The bitmaps that the directory lists.
 *
 * Bounds: directory and tables inside the file; at most 65535 bitmaps.
 * Throws: corrupt, over-budget.
 */
export async function readBitmaps(device: ReadableDevice, header: Header, pointer: BitmapsPointer): Promise<Bitmap[]> {
  const directory = await readTable(device, pointer.directoryOffset, pointer.directorySize, 'bitmap directory');
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const bitmaps: Bitmap[] = [];
  let at = 0;
  let entryCount = 0;
  for (let index = 0; index < pointer.nbBitmaps; index += 1) {
    const entry = BITMAP_ENTRY.read(view, at, pointer.directoryOffset);
    const nameAt = at + BITMAP_ENTRY.byteLength + entry.extraDataSize;
    const end = nameAt + entry.nameSize;
    const fileAt = pointer.directoryOffset + at;
    if (end > directory.byteLength) throw wrong('bitmap name', fileAt, `ends at ${end}`, `at most ${directory.byteLength}`);
    if (entry.nameSize > LIMITS.bitmapNameBytes)
      throw wrong('name_size', fileAt + 18, String(entry.nameSize), `at most ${LIMITS.bitmapNameBytes}`);
    if (entry.tableSize > LIMITS.bitmapDataBytes / header.clusterSize) {
      throw wrong(
        'bitmap_table_size',
        fileAt + 8,
        String(entry.tableSize),
        `at most ${LIMITS.bitmapDataBytes / header.clusterSize}: ${LIMITS.bitmapDataBytes} bytes of bitmap`,
      );
    }
    entryCount += entry.tableSize;
    if (entryCount > MAX_TABLE_ENTRIES) throw tooMany();
    if (entry.tableOffset % header.clusterSize !== 0 || entry.tableOffset + entry.tableSize * 8 > device.byteLength) {
      throw wrong(
        'bitmap_table_offset',
        fileAt,
        `0x${entry.tableOffset.toString(16)} + ${entry.tableSize} entries`,
        'cluster-aligned and inside the file',
      );
    }
    const table = await readBitmapTable(device, header, entry.tableOffset, entry.tableSize);
    bitmaps.push({
      name: decodeName(directory.subarray(nameAt, end)),
      tableOffset: entry.tableOffset,
      tableSize: entry.tableSize,
      inUse: entry.flags % 2 === BITMAP_IN_USE,
      enabled: Math.floor(entry.flags / BITMAP_AUTO) % 2 === 1,
      granularityBits: entry.granularityBits,
      ...table,
    });
    at = roundUp(end, 8);
  }
  return bitmaps;
}

/**
 * Entries of the tables of all bitmaps of one image: a full bitmap has a data cluster for each. 64 bitmaps of 32 TiB at the
 * default granularity with 64 KiB clusters; crafted directories would ask for billions.
 */
const MAX_TABLE_ENTRIES = 2 ** 19;
const CHUNK = 1024 * 1024;

/** Bitmap table entries: the offset of a data cluster in bits 9-55, or without one bit 0 for all ones. */
async function readBitmapTable(
  device: ReadableDevice,
  header: Header,
  tableOffset: number,
  tableSize: number,
): Promise<{ dataClusters: number[]; allOnesCount: number }> {
  const dataClusters: number[] = [];
  let allOnesCount = 0;
  for (let done = 0; done < tableSize * 8; done += CHUNK) {
    const chunk = await readTable(device, tableOffset + done, Math.min(CHUNK, tableSize * 8 - done), 'bitmap table');
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let at = 0; at + 8 <= chunk.byteLength; at += 8) {
      const entry = readUint64(view, at, 'read qcow2 bitmap table', 'entry', tableOffset + done);
      if (entry === 0) continue;
      if (entry === 1) allOnesCount += 1;
      else if (entry % header.clusterSize === 0 && entry / header.clusterSize < header.hostClusterLimit)
        dataClusters.push(entry / header.clusterSize);
      else
        throw wrong(
          'bitmap table entry',
          tableOffset + done + at,
          `0x${entry.toString(16)}`,
          `a multiple of the cluster size ${header.clusterSize}`,
        );
    }
  }
  return { dataClusters, allOnesCount };
}

function tooMany(): PlimsollError {
  return new PlimsollError('over-budget', 'QCOW2_BITMAP_SIZE', {
    doing: 'read qcow2 bitmaps',
    found: `more than ${MAX_TABLE_ENTRIES} table entries in all`,
    expected: `at most ${MAX_TABLE_ENTRIES}`,
  });
}

function wrong(field: string, at: number, found: string, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_BITMAP', { doing: 'read qcow2 bitmaps', field, at, found, expected });
}
