/**
 * The block allocation table: for each payload block of the disk where in the file it lies, with an entry for a sector
 * bitmap behind each chunk, which only differencing disks use. Source: [MS-VHDX] 2.5.
 */
import { divideUp, type Range, subtractRanges, roundUp } from '#base';
import { type ReadableDevice, readExactly } from '#block';
import { LIMITS, PAYLOAD_BLOCK, SECTORS_PER_BITMAP, UNIT_BYTES } from './layout.ts';
import type { Metadata } from './metadata.ts';
import type { Region, Regions } from './region-table.ts';
import { UnitSet } from './unit-set.ts';
import { hex, type Place, vhdxError } from './error.ts';

const DOING = 'read VHDX block allocation table';
const ENTRY_BYTES = 8;
/** The table is read in pieces of this size. */
const PIECE_BYTES = 64 * 1024;

/** What an entry says of its payload block. Offsets in bytes of the file. */
export type Mapping =
  | { readonly kind: 'data'; readonly fileOffset: number }
  | { readonly kind: 'zero' }
  /** Never written, undefined or unmapped: reads as zeros in a disk without parent. */
  | { readonly kind: 'unallocated' };

const ZERO: Mapping = { kind: 'zero' };
const UNALLOCATED: Mapping = { kind: 'unallocated' };

/** Neighbouring entries of the table. */
export interface BatPiece {
  /** The first block that is not in it any more. */
  readonly endBlock: number;
  /** Where a block is, from the one asked for up to `endBlock`. Throws: corrupt (state, place). */
  mapping(block: number): Mapping;
}

/** The payload blocks of a disk, counted by what its table says of them. */
export interface BlockCensus {
  readonly blockCount: number;
  readonly presentCount: number;
  readonly zeroCount: number;
  /** The last block has a place in the file. */
  readonly lastIsPresent: boolean;
  /** Bytes of the file that hold the guest's, ascending, disjoint; each block as far as the disk reaches. */
  presentRuns(): Iterable<Range>;
}

export class BlockAllocationTable {
  readonly blockCount: number;
  /** Bytes of the table that are in use. */
  readonly byteLength: number;
  readonly #device: ReadableDevice;
  readonly #region: Region;
  readonly #blockSize: number;
  readonly #capacity: number;
  readonly #chunkRatio: number;
  #piece: { readonly index: number; readonly view: Promise<DataView> } | undefined;

  /** Throws: corrupt, when the region has not enough room for the entries of the disk. */
  constructor(device: ReadableDevice, region: Region, { blockSize, capacity, logicalSectorSize }: Metadata) {
    this.#device = device;
    this.#region = region;
    this.#blockSize = blockSize;
    this.#capacity = capacity;
    this.#chunkRatio = (SECTORS_PER_BITMAP * logicalSectorSize) / blockSize;
    this.blockCount = divideUp(capacity, blockSize);
    const entryCount = this.blockCount === 0 ? 0 : this.#entryIndex(this.blockCount - 1) + 1;
    this.byteLength = entryCount * ENTRY_BYTES;
    if (this.byteLength > region.byteLength) {
      const expected = `${this.byteLength} for ${this.blockCount} blocks`;
      throw vhdxError('corrupt', 'VHDX_BAT', place('Length', region.fileOffset), region.byteLength, expected);
    }
  }

  /** Bytes of the disk in a block: a whole block, except the last one perhaps. */
  guestBytes(block: number): number {
    return Math.min(this.#blockSize, this.#capacity - block * this.#blockSize);
  }

  /**
   * The entries of `block` and those behind it that lie in the same piece of the table.
   *
   * Bounds: at most one read of 64 KiB. Throws: corrupt (truncated), io, over-budget.
   */
  async pieceOf(block: number): Promise<BatPiece> {
    const index = Math.floor((this.#entryIndex(block) * ENTRY_BYTES) / PIECE_BYTES);
    const pieceAt = index * PIECE_BYTES;
    const view = await this.#pieceAt(index);
    const entries = this.#entriesIn(index);
    return {
      endBlock: Math.min(this.blockCount, entries - Math.floor(entries / (this.#chunkRatio + 1))),
      mapping: (one) => {
        const at = this.#entryIndex(one) * ENTRY_BYTES;
        return this.#decode(view, at - pieceAt, one, at);
      },
    };
  }

  /**
   * Reads the whole table once: counts its blocks and sees to it that no two of them, nor one and a region, lie in one
   * place.
   *
   * Bounds: memory of a bit for each MiB of the file. Throws: corrupt, io, over-budget.
   */
  async census(regions: Regions): Promise<BlockCensus> {
    const occupied = new UnitSet(this.#device.memory);
    let presentCount = 0;
    let zeroCount = 0;
    let last: Mapping = UNALLOCATED;
    for (let block = 0; block < this.blockCount; ) {
      const piece = await this.pieceOf(block);
      for (; block < piece.endBlock; block += 1) {
        last = piece.mapping(block);
        if (last.kind === 'zero') zeroCount += 1;
        if (last.kind !== 'data') continue;
        presentCount += 1;
        this.#occupy(last.fileOffset, block, occupied, regions);
      }
    }
    const beyondDisk = this.#beyondDisk(last);
    return {
      blockCount: this.blockCount,
      presentCount,
      zeroCount,
      lastIsPresent: last.kind === 'data',
      *presentRuns() {
        yield* subtractRanges(unitBytes(occupied), beyondDisk.start < beyondDisk.end ? [beyondDisk] : []);
      },
    };
  }

  #occupy(fileOffset: number, block: number, occupied: UnitSet, regions: Regions): void {
    const end = fileOffset + roundUp(this.guestBytes(block), UNIT_BYTES);
    const region = regionAt(regions.all, fileOffset, end);
    const at = this.#entryIndex(block) * ENTRY_BYTES;
    if (region !== undefined) {
      const found = `${hex(fileOffset)}, inside ${region.name}`;
      throw vhdxError('corrupt', 'VHDX_BAT_ENTRY', this.#entryPlace(at), found, 'a place of its own');
    }
    if (occupied.add(fileOffset / UNIT_BYTES, end / UNIT_BYTES)) return;
    throw vhdxError('corrupt', 'VHDX_BLOCK_TWICE', this.#entryPlace(at), hex(fileOffset), 'a place where no other block lies');
  }

  /** What the last block's units hold behind the end of the disk. */
  #beyondDisk(last: Mapping): Range {
    if (last.kind !== 'data') return { start: 0, end: 0 };
    const used = this.guestBytes(this.blockCount - 1);
    return { start: last.fileOffset + used, end: last.fileOffset + roundUp(used, UNIT_BYTES) };
  }

  /** A sector bitmap's entry stands behind those of each chunk of payload blocks. */
  #entryIndex(block: number): number {
    return block + Math.floor(block / this.#chunkRatio);
  }

  /** Entries of the table up to the end of piece `index`, those of sector bitmaps included. */
  #entriesIn(index: number): number {
    return (index + 1) * (PIECE_BYTES / ENTRY_BYTES);
  }

  async #pieceAt(index: number): Promise<DataView> {
    const kept = this.#piece;
    if (kept?.index === index) return kept.view;
    const at = index * PIECE_BYTES;
    const byteLength = Math.min(PIECE_BYTES, this.byteLength - at);
    const view = readExactly(
      this.#device,
      this.#region.fileOffset + at,
      byteLength,
      'VHDX_TRUNCATED',
      'read VHDX block allocation table',
    ).then((bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    this.#piece = { index, view };
    // What failed is tried again.
    view.catch(() => {
      if (this.#piece?.view === view) this.#piece = undefined;
    });
    return view;
  }

  /** Bits 0-2 state, 3-19 reserved, 20-63 offset in MiB; the offset counts only in blocks that are present. */
  #decode(view: DataView, viewAt: number, block: number, at: number): Mapping {
    const low = view.getUint32(viewAt, true);
    const state = low % 8;
    if (state === PAYLOAD_BLOCK.zero) return ZERO;
    if (state === PAYLOAD_BLOCK.fullyPresent) {
      const units = view.getUint32(viewAt + 4, true) * 4096 + Math.floor(low / UNIT_BYTES);
      const fileOffset = units * UNIT_BYTES;
      const end = Math.min(this.#device.byteLength, LIMITS.fileBytes);
      if (units > 0 && fileOffset <= end && fileOffset + this.guestBytes(block) <= end) return { kind: 'data', fileOffset };
      const found = `${hex(BigInt(units) * BigInt(UNIT_BYTES))} + ${this.guestBytes(block)} bytes`;
      throw vhdxError(
        'corrupt',
        'VHDX_BAT_ENTRY',
        this.#entryPlace(at),
        found,
        `behind the header section, inside the file of ${end} bytes`,
      );
    }
    const isKnown =
      state === PAYLOAD_BLOCK.notPresent ||
      state === PAYLOAD_BLOCK.undefined ||
      state === PAYLOAD_BLOCK.unmapped ||
      state === PAYLOAD_BLOCK.unmappedV095;
    if (isKnown) return UNALLOCATED;
    const expected = 'a state that a disk without parent can have: 0, 1, 2, 3, 5 or 6';
    throw vhdxError('corrupt', 'VHDX_BAT_ENTRY', this.#entryPlace(at), `state ${state}`, expected);
  }

  #entryPlace(at: number): Place {
    return place('entry', this.#region.fileOffset + at);
  }
}

/** The region that has bytes of [start, end), by halving: there can be two thousand. */
function regionAt(regions: readonly Region[], start: number, end: number): Region | undefined {
  let least = 0;
  let most = regions.length;
  while (least < most) {
    const middle = Math.floor((least + most) / 2);
    const region = regions[middle] as Region;
    if (region.fileOffset + region.byteLength <= start) least = middle + 1;
    else most = middle;
  }
  const region = regions[least];
  return region !== undefined && region.fileOffset < end ? region : undefined;
}

function* unitBytes(units: UnitSet): Generator<Range> {
  for (const { start, end } of units.runs()) yield { start: start * UNIT_BYTES, end: end * UNIT_BYTES };
}

function place(field: string, at: number): Place {
  return { doing: DOING, field, at };
}
