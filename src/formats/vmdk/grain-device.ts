/** The guest's disk in a sparse extent: its bytes and its extents. */
import { roundDown } from '#base';
import { type Extent, type ReadableDevice, readExactly, type ReadOptions } from '#block';
import { readCompressedGrain } from './compressed-grain.ts';
import type { GrainEntry, GrainTables } from './grain-tables.ts';
import type { Header } from './header.ts';
import { GTES_PER_GT, SECTOR } from './layout.ts';

/** A piece of a request that lies in one grain, or in grains that lie one behind the other in the file. */
interface Piece {
  /** Where it begins in the disk. */
  readonly start: number;
  end: number;
  readonly entry: GrainEntry;
}

/** An extent that may go on. */
type OpenExtent = Omit<Extent, 'end'> & { end: number };

export class GrainDevice implements ReadableDevice {
  readonly byteLength: number;
  readonly #file: ReadableDevice;
  readonly #header: Header;
  readonly #tables: GrainTables;
  /** The grain that was inflated last. */
  #inflated: { readonly index: number; readonly bytes: Promise<Uint8Array> } | undefined;

  constructor(file: ReadableDevice, header: Header, tables: GrainTables) {
    this.byteLength = header.capacity;
    this.#file = file;
    this.#header = header;
    this.#tables = tables;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const end = Math.min(offset + target.byteLength, this.byteLength);
    for await (const piece of this.#pieces(offset, end, options?.signal)) {
      await this.#fill(piece, target.subarray(piece.start - offset, piece.end - offset));
    }
    return Math.max(0, end - offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    let open: OpenExtent | undefined;
    for await (const piece of this.#pieces(offset, Math.min(offset + length, this.byteLength), options?.signal)) {
      const next = this.#extentOf(piece);
      if (open !== undefined && continues(open, next)) open.end = next.end;
      else {
        if (open !== undefined) yield open;
        open = next;
      }
    }
    if (open !== undefined) yield open;
  }

  /** The disk's bytes [start, end) in pieces, ascending; what lies together in the file is one piece. */
  async *#pieces(start: number, end: number, signal?: AbortSignal): AsyncGenerator<Piece> {
    const { grainBytes } = this.#header;
    const tableBytes = grainBytes * GTES_PER_GT;
    for (let at = start; at < end; ) {
      signal?.throwIfAborted();
      const index = Math.floor(at / tableBytes);
      const tableEnd = Math.min(end, (index + 1) * tableBytes);
      const table = await this.#tables.load(index);
      if (table === undefined) yield { start: at, end: tableEnd, entry: 'unallocated' };
      else yield* this.#tablePieces(table, index * tableBytes, at, tableEnd);
      at = tableEnd;
    }
  }

  *#tablePieces(table: Uint32Array, tableStart: number, start: number, end: number): Generator<Piece> {
    const { grainBytes } = this.#header;
    let open: Piece | undefined;
    for (let at = start; at < end; ) {
      const entry = this.#tables.entry(table[Math.floor((at - tableStart) / grainBytes)] as number);
      const grainEnd = Math.min(end, roundDown(at, grainBytes) + grainBytes);
      if (open !== undefined && this.#isJoined(open, entry, at)) open.end = grainEnd;
      else {
        if (open !== undefined) yield open;
        open = { start: at, end: grainEnd, entry };
      }
      at = grainEnd;
    }
    if (open !== undefined) yield open;
  }

  #isJoined(open: Piece, entry: GrainEntry, at: number): boolean {
    if (typeof entry === 'string' || typeof open.entry === 'string') return entry === open.entry;
    const sectors = (at - roundDown(open.start, this.#header.grainBytes)) / SECTOR;
    return this.#header.kind === 'sparse' && entry.sector === open.entry.sector + sectors;
  }

  async #fill({ start, entry }: Piece, target: Uint8Array): Promise<void> {
    if (typeof entry === 'string') {
      target.fill(0);
      return;
    }
    const { kind, grainBytes } = this.#header;
    const inGrain = start % grainBytes;
    if (kind === 'stream') {
      const grain = await this.#inflate(Math.floor(start / grainBytes), entry.sector);
      target.set(grain.subarray(inGrain, inGrain + target.byteLength));
      return;
    }
    await readExactly(this.#file, entry.sector * SECTOR + inGrain, target.byteLength, 'VMDK_TRUNCATED', 'read VMDK image', target);
  }

  async #inflate(index: number, sector: number): Promise<Uint8Array> {
    if (this.#inflated?.index === index) return this.#inflated.bytes;
    const inflated = { index, bytes: readCompressedGrain(this.#file, this.#header, index, sector) };
    this.#inflated = inflated;
    try {
      return await inflated.bytes;
    } catch (error) {
      if (this.#inflated === inflated) this.#inflated = undefined;
      throw error;
    }
  }

  #extentOf({ start, end, entry }: Piece): OpenExtent {
    const common = { start, end, depth: 0 };
    if (typeof entry === 'string') return { ...common, status: entry, compressed: false, fileOffset: undefined };
    if (this.#header.kind === 'stream') return { ...common, status: 'data', compressed: true, fileOffset: undefined };
    return { ...common, status: 'data', compressed: false, fileOffset: entry.sector * SECTOR + (start % this.#header.grainBytes) };
  }
}

function continues(one: Extent, next: Extent): boolean {
  if (one.status !== next.status || one.compressed !== next.compressed) return false;
  if (one.fileOffset === undefined || next.fileOffset === undefined) return one.fileOffset === next.fileOffset;
  return next.fileOffset === one.fileOffset + (one.end - one.start);
}
