/**
 * Where the tables of an image lie, as far as its first bytes tell: for who must choose what to keep of a stream before the
 * rest has come. A forecast, not a reading: nothing is checked, and what is wrong with the image is found by its reader.
 *
 * Sources: the layouts of the formats; see each folder's layout.ts.
 */
import { PlimsollError, type Range } from '#base';
import { HEADER_V2 } from './qcow2/layout.ts';
import { probe } from './probe.ts';
import { HEADER as VDI_HEADER } from './vdi/layout.ts';
import { BAT_UNUSED, DYNAMIC_HEADER, FOOTER } from './vhd/layout.ts';
import {
  HEADER as VHDX_HEADER,
  HEADER_OFFSETS,
  REGION_TABLE_BYTES,
  REGION_TABLE_ENTRY,
  REGION_TABLE_HEADER,
  REGION_TABLE_OFFSETS,
} from './vhdx/layout.ts';
import { GTES_PER_GT, SPARSE_HEADER } from './vmdk/layout.ts';
import { MOST_WINDOW_BYTES } from './vmdk/table-window.ts';

const SECTOR = 512;

/** The bytes that a file begins with. */
interface Head {
  readonly view: DataView;
  readonly byteLength: number;
}

/**
 * Runs of the file that the reader of its format will want, in no order; they may overlap, and may lie anywhere. None for
 * formats that have no tables, and where the head tells nothing.
 *
 * Bounds: at most as many runs as `head` has table entries.
 */
export function* tablePlaces(head: Uint8Array): Generator<Range> {
  const finder = FINDERS[probe(head)[0]?.format ?? ''];
  if (finder === undefined) return;
  try {
    yield* finder({ view: new DataView(head.buffer, head.byteOffset, head.byteLength), byteLength: head.byteLength });
  } catch (thrown) {
    // A header that cannot be read: its reader will say why.
    if (!(thrown instanceof PlimsollError)) throw thrown;
  }
}

const FINDERS: Readonly<Record<string, ((head: Head) => Generator<Range>) | undefined>> = Object.assign(
  Object.create(null) as Record<string, (head: Head) => Generator<Range>>,
  { qcow2, vmdk, vhd, vdi, vhdx },
);

/** The L2 tables and refcount blocks that the first tables name. */
function* qcow2({ view, byteLength }: Head): Generator<Range> {
  const header = HEADER_V2.read(view);
  const clusterSize = 2 ** Math.min(header.clusterBits, 21);
  const tables = [
    { start: header.l1TableOffset, end: header.l1TableOffset + header.l1Size * 8 },
    { start: header.refcountTableOffset, end: header.refcountTableOffset + header.refcountTableClusters * clusterSize },
  ];
  yield* tables;
  for (const { start, end } of tables) {
    for (let at = start; at < end && at + 8 <= byteLength; at += 8) {
      const offset = qcow2Offset(view.getUint32(at), view.getUint32(at + 4));
      if (offset > 0) yield { start: offset, end: offset + clusterSize };
    }
  }
}

/** Bits 9 to 55 of an entry: qcow2 spec, "L1 table entry" and "Refcount table entry". */
function qcow2Offset(high: number, low: number): number {
  return (high % 2 ** 24) * 2 ** 32 + low - (low % SECTOR);
}

/** The directories, and what lies in front of the first grain: all tables of an image that was made in one go. */
function* vmdk({ view }: Head): Generator<Range> {
  const header = SPARSE_HEADER.read(view);
  // Tables are read ahead.
  yield { start: 0, end: header.overHead * SECTOR + MOST_WINDOW_BYTES };
  const directoryBytes = Math.ceil(header.capacity / header.grainSize / GTES_PER_GT) * 4;
  for (const sector of [header.gdOffset, header.rgdOffset].map(Number))
    yield { start: sector * SECTOR, end: sector * SECTOR + directoryBytes };
}

/** The block allocation table, and the sector bitmap in front of each block that it names. */
function* vhd({ view, byteLength }: Head): Generator<Range> {
  const dataOffset = Number(FOOTER.read(view).dataOffset);
  yield { start: dataOffset, end: dataOffset + DYNAMIC_HEADER.byteLength };
  if (dataOffset + DYNAMIC_HEADER.byteLength > byteLength) return;
  const { tableOffset, maxTableEntries, blockSize } = DYNAMIC_HEADER.read(view, dataOffset);
  const tableEnd = tableOffset + maxTableEntries * 4;
  yield { start: tableOffset, end: tableEnd };
  const bitmapBytes = Math.ceil(blockSize / SECTOR / 8 / SECTOR) * SECTOR;
  for (let at = tableOffset; at < tableEnd && at + 4 <= byteLength; at += 4) {
    const sector = view.getUint32(at);
    if (sector !== BAT_UNUSED) yield { start: sector * SECTOR, end: sector * SECTOR + bitmapBytes };
  }
}

function* vdi({ view }: Head): Generator<Range> {
  const { offsetBmap, blocksInImage } = VDI_HEADER.read(view);
  yield { start: offsetBmap, end: offsetBmap + blocksInImage * 4 };
}

/** The log, and the regions; of the two copies of each, both. */
function* vhdx({ view }: Head): Generator<Range> {
  for (const at of HEADER_OFFSETS) {
    const { logOffset, logLength } = VHDX_HEADER.read(view, at);
    yield { start: logOffset, end: logOffset + logLength };
  }
  const mostEntries = Math.floor((REGION_TABLE_BYTES - REGION_TABLE_HEADER.byteLength) / REGION_TABLE_ENTRY.byteLength);
  for (const table of REGION_TABLE_OFFSETS) {
    const { entryCount } = REGION_TABLE_HEADER.read(view, table);
    for (let index = 0; index < Math.min(entryCount, mostEntries); index += 1) {
      const at = table + REGION_TABLE_HEADER.byteLength + index * REGION_TABLE_ENTRY.byteLength;
      const { fileOffset, length } = REGION_TABLE_ENTRY.read(view, at);
      yield { start: fileOffset, end: fileOffset + length };
    }
  }
}
