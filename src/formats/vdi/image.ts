/** A VDI image, opened: header and block map checked once, then the guest's bytes. */
import { PlimsollError } from '#base';
import { type ReadableDevice, readUpTo } from '#block';
import { blockMappedImage, type BlockPlace } from '../block-mapped.ts';
import { findOverlap, readEntries } from '../block-table.ts';
import type { WriteHazard } from '../write-hazard.ts';
import { parseHeader, type VdiHeader, type VdiParent } from './header.ts';
import { ENTRY_FREE, ENTRY_ZERO, HEADER } from './layout.ts';
import { writeHazards } from './write-hazards.ts';

/** An open VDI image. */
export interface VdiImage {
  readonly capacity: number;
  readonly header: VdiHeader;
  /** The block map: block numbers in the file, 0xfffffffe for zeros, 0xffffffff for nothing. */
  readonly entries: Uint32Array;
  /** Blocks that the capacity needs; entries behind them are never used. */
  readonly guestBlocks: number;
  /** Of these, the ones that have a place in the file. */
  readonly allocatedBlocks: number;
  /** Differencing images only: VDI knows its parent by UUID alone. */
  readonly parent: VdiParent | undefined;
  /**
   * The guest's bytes. A differencing image gives those of its own blocks.
   *
   * Throws: unsupported VDI_DIFFERENCING, where the parent would be needed; corrupt, io, over-budget.
   */
  readonly device: ReadableDevice;
  /** Why QEMU must not write to the image, though every reader sees the same disk in it. */
  readonly writeHazards: readonly WriteHazard[];
}

/**
 * The VDI image in `device`.
 *
 * Bounds: memory of the block map, at most 128 MiB and no more than the file is long, twice while it is checked.
 * Throws: corrupt, unsupported, over-budget, io. Differencing images open; see `VdiImage.device`.
 */
export async function openVdi(device: ReadableDevice, signal?: AbortSignal): Promise<VdiImage> {
  const { header, parent } = parseHeader(await readUpTo(device, 0, HEADER.byteLength), device.byteLength);
  const { capacity, blockSize, offsetData } = header;
  const entries = await readEntries(device, header.offsetBmap, header.blocksInImage, 'little', signal);
  const guestBlocks = Math.ceil(capacity / blockSize);
  const allocatedBlocks = checkEntries(entries, header, guestBlocks, device.byteLength);
  const placeOf = (block: number): BlockPlace => {
    const entry = entries[block] as number;
    if (entry === ENTRY_ZERO) return { status: 'zero', fileOffset: undefined };
    if (entry === ENTRY_FREE) return { status: 'unallocated', fileOffset: undefined };
    return { status: 'data', fileOffset: offsetData + entry * blockSize };
  };
  const requireOwn = (block: number, startInBlock: number): Promise<void> =>
    entries[block] === ENTRY_FREE ? Promise.reject(parentNeeded(block * blockSize + startInBlock)) : Promise.resolve();
  const mapping = { device, capacity, blockSize, placeOf, ...(parent === undefined ? {} : { requireOwn }) };
  const hazards = writeHazards(entries, header);
  return { capacity, header, entries, guestBlocks, allocatedBlocks, parent, device: blockMappedImage(mapping), writeHazards: hazards };
}

/**
 * The number of allocated blocks that the guest sees; each of them has its visible bytes inside the file, and none is
 * used twice. The last block may be cut behind the capacity.
 */
function checkEntries(entries: Uint32Array, header: VdiHeader, guestBlocks: number, fileLength: number): number {
  const { capacity, blockSize, offsetData } = header;
  let allocated = 0;
  for (let block = 0; block < entries.length; block += 1) {
    const entry = entries[block] as number;
    if (entry >= ENTRY_ZERO) continue;
    if (block < guestBlocks) allocated += 1;
    const visible = Math.max(0, Math.min(blockSize, capacity - block * blockSize));
    if (offsetData + entry * blockSize + visible > fileLength) {
      throw badEntry(header, block, entry, `a block inside the file of ${fileLength} bytes`);
    }
  }
  const twice = findOverlap(entries, 1, ENTRY_ZERO);
  if (twice !== undefined) throw badEntry(header, twice, entries[twice] as number, 'a block that no other entry has');
  return allocated;
}

function badEntry({ offsetBmap }: VdiHeader, block: number, found: number, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'VDI_MAP_ENTRY', {
    doing: 'read VDI block map',
    field: `entry ${block}`,
    at: offsetBmap + block * 4,
    found,
    expected,
  });
}

function parentNeeded(guestOffset: number): PlimsollError {
  return new PlimsollError('unsupported', 'VDI_DIFFERENCING', {
    doing: 'read differencing VDI',
    field: 'guest bytes',
    at: guestOffset,
    found: "the parent's",
    expected: 'bytes of this image',
  });
}
