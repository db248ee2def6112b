/** The guest's disk of a qcow image: its extents by a walk over the tables, and its bytes. */
import { PlimsollError } from '#base';
import { type Extent, type ReadableDevice, readExactly, type ReadOptions } from '#block';
import { inflate } from '#codec';
import { ExtentJoiner } from '../join-extents.ts';
import type { QcowHeader } from './header.ts';
import { type L1Table, type L2Entry, PIECE_ENTRIES, readL2, type StoredCluster } from './tables.ts';

/** Guest bytes of one entry. */
interface Piece {
  readonly start: number;
  readonly end: number;
  readonly entry: L2Entry;
}

const UNALLOCATED: L2Entry = { kind: 'unallocated' };
const DOING = 'read qcow image';

export class QcowDevice implements ReadableDevice {
  readonly byteLength: number;
  readonly #file: ReadableDevice;
  readonly #header: QcowHeader;
  readonly #l1: L1Table;
  /** The cluster that was decompressed last: reads smaller than a cluster come back to it. */
  #last: { readonly offset: number; readonly byteLength: number; readonly content: Uint8Array } | undefined;

  constructor(file: ReadableDevice, header: QcowHeader, l1: L1Table) {
    this.byteLength = header.capacity;
    this.#file = file;
    this.#header = header;
    this.#l1 = l1;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const end = Math.min(offset + target.byteLength, this.byteLength);
    for await (const { start, end: pieceEnd, entry } of this.#pieces(offset, end, options?.signal)) {
      const part = target.subarray(start - offset, pieceEnd - offset);
      if (entry.kind === 'unallocated') this.#readUnallocated(part, start);
      else if (this.#header.encryption !== 'none') throw encrypted(start);
      else if (entry.kind === 'compressed')
        part.set((await this.#decompress(entry)).subarray(start % this.#header.clusterSize).subarray(0, part.byteLength));
      else
        await readExactly(this.#file, entry.offset + (start % this.#header.clusterSize), part.byteLength, 'IMAGE_TRUNCATED', DOING, part);
    }
    return Math.max(0, end - offset);
  }

  #readUnallocated(part: Uint8Array, at: number): void {
    if (this.#header.backingFile !== undefined) throw backingNeeded(at);
    part.fill(0);
  }

  /** The content of a compressed cluster: one cluster long, not to be changed. */
  async #decompress({ offset, byteLength }: StoredCluster): Promise<Uint8Array> {
    if (this.#last?.offset === offset && this.#last.byteLength === byteLength) return this.#last.content;
    const { clusterSize } = this.#header;
    const data = await readExactly(this.#file, offset, byteLength, 'IMAGE_TRUNCATED', DOING);
    const content = inflate(data, { wrapping: 'raw', mostBytes: clusterSize, doing: DOING, at: offset });
    if (content.byteLength !== clusterSize) throw wrongLength(offset, content.byteLength, clusterSize);
    this.#last = { offset, byteLength, content };
    return content;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const joiner = new ExtentJoiner();
    for await (const piece of this.#pieces(offset, Math.min(offset + length, this.byteLength), options?.signal)) {
      const whole = joiner.add(extentOf(piece, piece.start % this.#header.clusterSize));
      if (whole !== undefined) yield whole;
    }
    const last = joiner.finish();
    if (last !== undefined) yield last;
  }

  /** Cluster by cluster; what a missing table would map is one piece. */
  async *#pieces(from: number, to: number, signal: AbortSignal | undefined): AsyncGenerator<Piece> {
    signal?.throwIfAborted();
    const { clusterSize, l2Entries } = this.#header;
    const tableSpan = clusterSize * l2Entries;
    let at = from;
    while (at < to) {
      signal?.throwIfAborted();
      const index = Math.floor(at / tableSpan);
      const stop = Math.min(to, (index + 1) * tableSpan);
      const tableOffset = this.#l1[index] as number;
      if (tableOffset === 0) {
        yield { start: at, end: stop, entry: UNALLOCATED };
        at = stop;
        continue;
      }
      const first = Math.floor((at - index * tableSpan) / clusterSize);
      const count = Math.min(PIECE_ENTRIES, Math.ceil((stop - index * tableSpan) / clusterSize) - first);
      for (const entry of await readL2(this.#file, this.#header, { tableOffset, first, count })) {
        const end = Math.min(stop, (Math.floor(at / clusterSize) + 1) * clusterSize);
        yield { start: at, end, entry };
        at = end;
      }
    }
  }
}

/** `inCluster`: where the piece begins in its cluster. */
function extentOf({ start, end, entry }: Piece, inCluster: number): Extent {
  if (entry.kind === 'unallocated') return { start, end, status: 'unallocated', depth: 0, compressed: false, fileOffset: undefined };
  if (entry.kind === 'compressed') return { start, end, status: 'data', depth: 0, compressed: true, fileOffset: undefined };
  return { start, end, status: 'data', depth: 0, compressed: false, fileOffset: entry.offset + inCluster };
}

function backingNeeded(at: number): PlimsollError {
  return new PlimsollError('unsupported', 'QCOW_BACKING', {
    doing: DOING,
    field: 'guest bytes',
    at,
    found: "the backing file's",
    expected: 'bytes of this image',
  });
}

function encrypted(at: number): PlimsollError {
  return new PlimsollError('unsupported', 'QCOW_ENCRYPTED', {
    doing: DOING,
    field: 'guest bytes',
    at,
    found: 'encrypted with AES',
    expected: 'guest data that is not encrypted',
  });
}

function wrongLength(at: number, found: number, clusterSize: number): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW_COMPRESSED_LENGTH', {
    doing: DOING,
    field: 'compressed data',
    at,
    found: `${found} bytes decompressed`,
    expected: `one cluster of ${clusterSize} bytes`,
  });
}
