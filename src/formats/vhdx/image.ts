/** A VHDX image: its facts, and the disk as the guest sees it. Source: [MS-VHDX] 2.1 and 2.5. */
import type { Range } from '#base';
import { type Extent, type ReadableDevice, readExactly, type ReadOptions, readUpTo } from '#block';
import { type BatPiece, BlockAllocationTable, type BlockCensus, type Mapping } from './bat.ts';
import { type Header, parseHeader } from './header.ts';
import { HEADER, HEADER_OFFSETS, REGION_TABLE_BYTES, REGION_TABLE_OFFSETS } from './layout.ts';
import { replayLog } from './log.ts';
import { type Metadata, readMetadata } from './metadata.ts';
import { parseRegionTables, type Regions } from './region-table.ts';
import { vhdxError } from './error.ts';

/** What an image says of itself, its log replayed. */
export interface VhdxFacts extends Metadata {
  readonly header: Header;
  readonly regions: Regions;
  /** The log, which is replayed first when the image is opened for writing; undefined if empty. */
  readonly log: PendingLog | undefined;
}

export interface PendingLog {
  readonly entryCount: number;
  /** Bytes of the file that the replay writes, unordered; runs may overlap. */
  readonly written: readonly Range[];
  /** How long the file is after it. */
  readonly fileLength: number;
}

/** The facts, and the file as it is once its log is replayed. */
export interface Vhdx {
  readonly facts: VhdxFacts;
  readonly file: ReadableDevice;
}

/** An image that is opened: the disk, without parent. */
export interface VhdxImage extends ReadableDevice {
  readonly facts: VhdxFacts;
  readonly blocks: BlockCensus;
  /** Bytes of the block allocation table that are in use. */
  readonly batBytes: number;
}

/**
 * The facts of the image in `device`; of differencing disks too, with the names of their parent, which are not opened.
 *
 * Bounds: reads the header section, the log if there is one to replay, and the metadata. Throws: corrupt, unsupported,
 * over-budget, io.
 */
export async function readVhdx(device: ReadableDevice): Promise<Vhdx> {
  const section = await readUpTo(device, 0, HEADER_OFFSETS[1] + HEADER.byteLength);
  const header = parseHeader(section, device.byteLength);
  const replayed = await replayLog(device, header);
  const file = replayed?.overlay ?? device;
  const [first, second] = REGION_TABLE_OFFSETS;
  const tables = await readExactly(file, first, second - first + REGION_TABLE_BYTES, 'VHDX_TRUNCATED', 'read VHDX region tables');
  const regions = parseRegionTables([tables.subarray(0, REGION_TABLE_BYTES), tables.subarray(second - first)], header, file.byteLength);
  const metadata = await readMetadata(file, regions.metadata);
  const log =
    replayed === undefined
      ? undefined
      : { entryCount: replayed.entryCount, written: replayed.overlay.writtenRuns(), fileLength: file.byteLength };
  return { facts: { ...metadata, header, regions, log }, file };
}

/**
 * The disk in `device`. A log is replayed in memory; the file is never written. `read`: what `readVhdx` gave for it already.
 *
 * Bounds: reads the block allocation table once; keeps a bit for each MiB of the file, the replayed sectors and 64 KiB of
 * the table. Throws: corrupt, unsupported, over-budget, io; refused, when it is a differencing disk.
 */
export async function openVhdx(device: ReadableDevice, read?: Vhdx): Promise<VhdxImage> {
  const { facts, file } = read ?? (await readVhdx(device));
  if (facts.type === 'differencing') {
    const where = { doing: 'open VHDX image', field: 'HasParent', at: facts.regions.metadata.fileOffset };
    throw vhdxError('refused', 'VHDX_DIFFERENCING', where, parentName(facts), 'a disk without parent');
  }
  const table = new BlockAllocationTable(file, facts.regions.bat, facts);
  return new OpenedVhdx(file, facts, table, await table.census(facts.regions));
}

function parentName({ parentLocator }: VhdxFacts): string {
  const texts = new Map(parentLocator?.entries.map(({ key, value }) => [key.text, value.text]));
  return texts.get('relative_path') ?? texts.get('absolute_win32_path') ?? texts.get('volume_path') ?? 'a parent without a path';
}

class OpenedVhdx implements VhdxImage {
  readonly facts: VhdxFacts;
  readonly blocks: BlockCensus;
  readonly byteLength: number;
  readonly batBytes: number;
  readonly #file: ReadableDevice;
  readonly #table: BlockAllocationTable;

  constructor(file: ReadableDevice, facts: VhdxFacts, table: BlockAllocationTable, blocks: BlockCensus) {
    this.facts = facts;
    this.blocks = blocks;
    this.byteLength = facts.capacity;
    this.batBytes = table.byteLength;
    this.#file = file;
    this.#table = table;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const end = Math.min(offset + target.byteLength, this.byteLength);
    for await (const extent of this.extents(offset, target.byteLength, options)) {
      const part = target.subarray(extent.start - offset, extent.end - offset);
      if (extent.fileOffset === undefined) part.fill(0);
      else await readExactly(this.#file, extent.fileOffset, part.byteLength, 'VHDX_TRUNCATED', 'read VHDX payload block', part);
    }
    return Math.max(0, end - offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const stop = Math.min(offset + length, this.byteLength);
    let last: Extent | undefined;
    for (let at = offset; at < stop; ) {
      options?.signal?.throwIfAborted();
      const extents = this.#extentsOf(await this.#table.pieceOf(Math.floor(at / this.facts.blockSize)), at, stop);
      for (const extent of extents) {
        if (last === undefined || !continues(last, extent)) {
          if (last !== undefined) yield last;
          last = extent;
        } else last = joined(last, extent);
        at = extent.end;
      }
    }
    if (last !== undefined) yield last;
  }

  /** Extents of one piece of the table, from `start` on. */
  *#extentsOf(piece: BatPiece, start: number, stop: number): Generator<Extent> {
    const { blockSize } = this.facts;
    let last: Extent | undefined;
    for (let at = start; at < stop; ) {
      const block = Math.floor(at / blockSize);
      if (block >= piece.endBlock) break;
      const next = extentOf(piece.mapping(block), at, Math.min(stop, (block + 1) * blockSize), at - block * blockSize);
      at = next.end;
      if (last === undefined || !continues(last, next)) {
        if (last !== undefined) yield last;
        last = next;
      } else last = joined(last, next);
    }
    if (last !== undefined) yield last;
  }
}

function joined({ start, status, fileOffset }: Extent, { end }: Extent): Extent {
  return { start, end, status, depth: 0, compressed: false, fileOffset };
}

function extentOf(mapping: Mapping, start: number, end: number, blockOffset: number): Extent {
  const fileOffset = mapping.kind === 'data' ? mapping.fileOffset + blockOffset : undefined;
  return { start, end, status: mapping.kind, depth: 0, compressed: false, fileOffset };
}

function continues(one: Extent, next: Extent): boolean {
  if (one.status !== next.status) return false;
  return one.fileOffset === undefined || next.fileOffset === one.fileOffset + (one.end - one.start);
}
