/** A VHD image, opened: footer, header and block allocation table checked once, then the guest's bytes. */
import { PlimsollError, type Range, roundUp } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { blockMappedImage, type BlockMapping, type BlockPlace } from '../block-mapped.ts';
import { findOverlap, readEntries } from '../block-table.ts';
import type { WriteHazard } from '../write-hazard.ts';
import {
  decodeLocator,
  parseDynamicHeader,
  parseParent,
  type VhdDynamicHeader,
  type VhdParent,
  type VhdParentLocator,
} from './dynamic-header.ts';
import { checksumOf, hasFooterCookie, isSameDisk, parseFooter, type VhdFooter } from './footer.ts';
import { BAT_UNUSED, DYNAMIC_HEADER, FOOTER, SECTOR } from './layout.ts';
import { clearRuns } from './sector-bitmap.ts';
import { writeHazards } from './write-hazards.ts';

/** The blocks of a dynamic or differencing disk. */
export interface VhdBlocks extends VhdDynamicHeader {
  /** The block allocation table: absolute sectors, 0xffffffff for a block that is not there. */
  readonly entries: Uint32Array;
  /** Blocks that the capacity needs; entries behind them are never used. */
  readonly guestBlocks: number;
  /** Of these, the ones that have a place in the file. */
  readonly allocatedBlocks: number;
  /** Where QEMU puts the next new block: behind the table and the last block. */
  readonly appendAt: number;
}

/** An open VHD image. */
export interface VhdImage {
  readonly capacity: number;
  readonly footer: VhdFooter;
  /** The last sector holds the footer too; false after a crash, or where something was appended. Always true for fixed disks. */
  readonly hasFooterAtEnd: boolean;
  /** undefined for fixed disks. */
  readonly blocks: VhdBlocks | undefined;
  /** Differencing disks only. The names are not opened here. */
  readonly parent: VhdParent | undefined;
  /**
   * The guest's bytes. A differencing disk gives those that need no parent: of sectors that its bitmaps mark as written.
   *
   * Throws: unsupported VHD_DIFFERENCING, where the parent would be needed; corrupt, io, over-budget.
   */
  readonly device: ReadableDevice;
  /** Why QEMU must not write to the image, though every reader sees the same disk in it. */
  readonly writeHazards: readonly WriteHazard[];
}

/**
 * The VHD image in `device`.
 *
 * Bounds: memory of the table, at most 16 MiB and no more than the file is long, twice while it is checked.
 * Throws: corrupt, unsupported, over-budget, io. Differencing disks open; see `VhdImage.device`.
 */
export async function openVhd(device: ReadableDevice, signal?: AbortSignal): Promise<VhdImage> {
  const { footer, hasFooterAtEnd, endOffset } = await readFooter(device);
  const { capacity } = footer;
  if (footer.dataOffset === undefined) {
    if (capacity > endOffset) {
      throw new PlimsollError('corrupt', 'VHD_FIXED_LENGTH', {
        doing: 'read VHD footer',
        field: 'capacity',
        found: capacity,
        expected: `at most ${endOffset}, what the file has in front of its footer`,
      });
    }
    const hazards = writeHazards(undefined, device.byteLength);
    const disk = fixedDisk(device, capacity);
    return { capacity, footer, hasFooterAtEnd, blocks: undefined, parent: undefined, device: disk, writeHazards: hazards };
  }
  const content = (await readExactly(device, footer.dataOffset, DYNAMIC_HEADER.byteLength, 'IMAGE_TRUNCATED', 'read image')).slice();
  const header = parseDynamicHeader(content, footer.dataOffset, device.byteLength, capacity);
  const parent = footer.diskType === 'differencing' ? await readParent(device, content, footer.dataOffset) : undefined;
  const entries = await readEntries(device, header.tableOffset, header.maxTableEntries, 'big', signal);
  const dataEnd = hasFooterAtEnd ? endOffset : device.byteLength;
  checkEntries(entries, header, dataEnd, metadataRuns(header, parent));
  const blocks = { ...header, entries, ...countBlocks(entries, header, capacity) };
  const mapping = mappingOf(device, capacity, blocks, footer.diskType === 'differencing');
  const hazards = writeHazards(blocks, device.byteLength);
  return { capacity, footer, hasFooterAtEnd, blocks, parent, device: blockMappedImage(mapping), writeHazards: hazards };
}

/**
 * Runs of guest bytes that are not zero although the sector bitmap says that they were never written: QEMU shows them,
 * readers that honour the bitmap show zeros. An honest writer leaves none. Nothing for fixed and differencing disks.
 *
 * Bounds: reads each allocated block at most once.
 * Throws: corrupt, io, over-budget; AbortError.
 */
export async function* vhdAmbiguousRuns(
  device: ReadableDevice,
  { blocks, capacity, parent }: VhdImage,
  signal?: AbortSignal,
): AsyncGenerator<Range> {
  if (blocks === undefined || parent !== undefined) return;
  const { blockSize, sectorBitmapBytes } = blocks;
  for (let block = 0; block < blocks.guestBlocks; block += 1) {
    const entry = blocks.entries[block] as number;
    if (entry === BAT_UNUSED) continue;
    signal?.throwIfAborted();
    const bitmap = await readExactly(device, entry * SECTOR, sectorBitmapBytes, 'IMAGE_TRUNCATED', 'read image');
    const sectors = Math.min(blockSize, capacity - block * blockSize) / SECTOR;
    for (const { startSector, endSector } of [...clearRuns(bitmap, 0, sectors)]) {
      const start = startSector * SECTOR;
      const content = await readExactly(
        device,
        entry * SECTOR + sectorBitmapBytes + start,
        (endSector - startSector) * SECTOR,
        'IMAGE_TRUNCATED',
        'read image',
      );
      if (content.some((byte) => byte !== 0)) yield { start: block * blockSize + start, end: block * blockSize + endSector * SECTOR };
    }
  }
}

/** The footer by QEMU's rules: a copy at 0 decides, and where there is none the disk is fixed. Two that differ are refused. */
async function readFooter(device: ReadableDevice): Promise<{ footer: VhdFooter; hasFooterAtEnd: boolean; endOffset: number }> {
  const { byteLength } = device;
  if (byteLength < SECTOR) {
    throw new PlimsollError('corrupt', 'VHD_TOO_SHORT', {
      doing: 'read VHD footer',
      found: `${byteLength} bytes`,
      expected: 'at least 512',
    });
  }
  const first = (await readExactly(device, 0, SECTOR, 'IMAGE_TRUNCATED', 'read image')).slice();
  // Old programs wrote a footer of 511 bytes. QEMU looks into the last sector, zeros where the file ends in it.
  const endOffset = Math.ceil(byteLength / SECTOR) * SECTOR - SECTOR;
  const last = new Uint8Array(SECTOR);
  last.set(await readExactly(device, endOffset, byteLength - endOffset, 'IMAGE_TRUNCATED', 'read image'));
  if (!hasFooterCookie(first)) {
    const footer = parseFooter(last, endOffset);
    if (footer.diskType !== 'fixed') throw badCopy(0, `no copy of the footer of a ${footer.diskType} disk`, 'the footer');
    return { footer, hasFooterAtEnd: true, endOffset };
  }
  const footer = parseFooter(first, 0);
  if (footer.diskType === 'fixed') throw badCopy(60, 'the footer of a fixed disk', "the guest's first sector");
  const hasFooterAtEnd = hasFooterCookie(last) && isIntact(last);
  if (hasFooterAtEnd && !isSameDisk(footer, parseFooter(last, endOffset))) {
    // A guest can write a footer into the first sector of its fixed disk; a reader that trusts it reads bytes of the guest's choice.
    throw new PlimsollError('corrupt', 'VHD_FOOTERS_DIFFER', {
      doing: 'read VHD footer',
      at: endOffset,
      found: 'another disk than the copy at 0 describes',
      expected: 'the same footer twice',
    });
  }
  return { footer, hasFooterAtEnd, endOffset };
}

function isIntact(sector: Uint8Array): boolean {
  const view = new DataView(sector.buffer, sector.byteOffset, sector.byteLength);
  return view.getUint32(FOOTER.fields.checksum.at) === checksumOf(sector, FOOTER.fields.checksum.at);
}

function badCopy(at: number, found: string, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'VHD_FOOTER_COPY', { doing: 'read VHD footer', at, found, expected });
}

async function readParent(device: ReadableDevice, content: Uint8Array, fileOffset: number): Promise<VhdParent> {
  const { parent, places } = parseParent(content, fileOffset, device.byteLength);
  const locators: VhdParentLocator[] = [];
  for (const place of places) {
    const bytes = (await readExactly(device, place.fileOffset, place.byteLength, 'IMAGE_TRUNCATED', 'read image')).slice();
    locators.push({ ...place, bytes, text: decodeLocator(place.platformCode, bytes) });
  }
  return { ...parent, locators };
}

/** What no block may lie over; the footer at the end is left to the caller. */
function metadataRuns(header: VhdDynamicHeader, parent: VhdParent | undefined): Range[] {
  return [
    { start: 0, end: SECTOR },
    { start: header.fileOffset, end: header.fileOffset + DYNAMIC_HEADER.byteLength },
    { start: header.tableOffset, end: header.tableOffset + header.maxTableEntries * 4 },
    ...(parent?.locators ?? []).map((one) => ({ start: one.fileOffset, end: one.fileOffset + one.byteLength })),
  ].filter((run) => run.end > run.start);
}

/** Every block inside the file, over no structure and over no other block; entries behind the capacity too. */
function checkEntries(entries: Uint32Array, header: VhdDynamicHeader, dataEnd: number, metadata: readonly Range[]): void {
  const byteLength = header.sectorBitmapBytes + header.blockSize;
  const metadataEnd = metadata.reduce((end, run) => Math.max(end, run.end), 0);
  const [one, other] = overlapOf(metadata);
  if (one !== undefined && other !== undefined) {
    throw new PlimsollError('corrupt', 'VHD_STRUCTURES_OVERLAP', {
      doing: 'read VHD dynamic disk header',
      at: other.start,
      found: 'a structure',
      expected: `nothing up to 0x${one.end.toString(16)}, where another one ends`,
    });
  }
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index] as number;
    if (entry === BAT_UNUSED) continue;
    const start = entry * SECTOR;
    const end = start + byteLength;
    if (end > dataEnd) throw badEntry(header, index, start, `a block that ends by 0x${dataEnd.toString(16)}`);
    if (start < metadataEnd && metadata.some((run) => start < run.end && run.start < end)) {
      throw badEntry(header, index, start, 'a block over no other structure');
    }
  }
  const twice = findOverlap(entries, byteLength / SECTOR, BAT_UNUSED);
  if (twice !== undefined) throw badEntry(header, twice, (entries[twice] as number) * SECTOR, 'a block over no other block');
}

/** Two runs that share bytes, the one that begins first in front. */
function overlapOf(runs: readonly Range[]): readonly Range[] {
  const sorted = [...runs].sort((a, b) => a.start - b.start);
  for (let at = 1; at < sorted.length; at += 1) {
    const pair = sorted.slice(at - 1, at + 1) as [Range, Range];
    if (pair[1].start < pair[0].end) return pair;
  }
  return [];
}

function badEntry({ tableOffset }: VhdDynamicHeader, index: number, found: number, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'VHD_TABLE_ENTRY', {
    doing: 'read VHD block allocation table',
    field: `entry ${index}`,
    at: tableOffset + index * 4,
    found: `0x${found.toString(16)}`,
    expected,
  });
}

function countBlocks(
  entries: Uint32Array,
  header: VhdDynamicHeader,
  capacity: number,
): Pick<VhdBlocks, 'guestBlocks' | 'allocatedBlocks' | 'appendAt'> {
  const guestBlocks = Math.ceil(capacity / header.blockSize);
  let allocatedBlocks = 0;
  let last = -1;
  for (let index = 0; index < entries.length; index += 1) {
    const entry = entries[index] as number;
    if (entry === BAT_UNUSED) continue;
    if (index < guestBlocks) allocatedBlocks += 1;
    last = Math.max(last, entry);
  }
  const tableEnd = roundUp(header.tableOffset + header.maxTableEntries * 4, SECTOR);
  const blocksEnd = last < 0 ? 0 : last * SECTOR + header.sectorBitmapBytes + header.blockSize;
  return { guestBlocks, allocatedBlocks, appendAt: Math.max(tableEnd, blocksEnd) };
}

/** The disk is the file without its footer. */
function fixedDisk(device: ReadableDevice, capacity: number): ReadableDevice {
  const placeOf = (): BlockPlace => ({ status: 'data', fileOffset: 0 });
  return blockMappedImage({ device, capacity, blockSize: Math.max(SECTOR, capacity), placeOf });
}

function mappingOf(device: ReadableDevice, capacity: number, blocks: VhdBlocks, isDifferencing: boolean): BlockMapping {
  const { entries, blockSize, sectorBitmapBytes } = blocks;
  const nothing: BlockPlace = { status: 'unallocated', fileOffset: undefined };
  const placeOf = (block: number): BlockPlace => {
    const entry = entries[block] as number;
    return entry === BAT_UNUSED ? nothing : { status: 'data', fileOffset: entry * SECTOR + sectorBitmapBytes };
  };
  if (!isDifferencing) return { device, capacity, blockSize, placeOf };
  const requireOwn = async (block: number, startInBlock: number, endInBlock: number): Promise<void> => {
    const entry = entries[block] as number;
    if (entry === BAT_UNUSED) throw parentNeeded(block * blockSize + startInBlock);
    const startSector = Math.floor(startInBlock / SECTOR);
    const endSector = Math.ceil(endInBlock / SECTOR);
    const firstByte = Math.floor(startSector / 8);
    const bitmap = await readExactly(
      device,
      entry * SECTOR + firstByte,
      Math.ceil(endSector / 8) - firstByte,
      'IMAGE_TRUNCATED',
      'read image',
    );
    for (const clear of clearRuns(bitmap, startSector - firstByte * 8, endSector - firstByte * 8)) {
      throw parentNeeded(block * blockSize + (firstByte * 8 + clear.startSector) * SECTOR);
    }
  };
  return { device, capacity, blockSize, placeOf, requireOwn };
}

function parentNeeded(guestOffset: number): PlimsollError {
  return new PlimsollError('unsupported', 'VHD_DIFFERENCING', {
    doing: 'read differencing VHD',
    field: 'guest bytes',
    at: guestOffset,
    found: "the parent's",
    expected: 'bytes of this image',
  });
}
