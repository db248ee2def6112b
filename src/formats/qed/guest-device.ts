/** The guest's disk of a QED image: its map by one walk over the tables, and its bytes. */
import { PlimsollError } from '#base';
import { type Extent, type ReadableDevice, readExactly, type ReadOptions } from '#block';
import { ExtentJoiner } from '../join-extents.ts';
import type { QedHeader } from './header.ts';
import { type L1Table, PIECE_ENTRIES, readL2, UNALLOCATED, WITHOUT_TABLE, ZERO } from './tables.ts';

export class QedDevice implements ReadableDevice {
  readonly byteLength: number;
  readonly #file: ReadableDevice;
  readonly #header: QedHeader;
  readonly #l1: L1Table;

  constructor(file: ReadableDevice, header: QedHeader, l1: L1Table) {
    this.byteLength = header.capacity;
    this.#file = file;
    this.#header = header;
    this.#l1 = l1;
  }

  async read(target: Uint8Array, offset: number, options?: ReadOptions): Promise<number> {
    const end = Math.min(offset + target.byteLength, this.byteLength);
    for await (const { start, end: runEnd, status, fileOffset } of this.extents(offset, target.byteLength, options)) {
      if (status === 'unallocated' && this.#header.backingFile !== undefined) throw backingNeeded(start);
      const piece = target.subarray(start - offset, runEnd - offset);
      if (fileOffset === undefined) piece.fill(0);
      else await readExactly(this.#file, fileOffset, runEnd - start, 'IMAGE_TRUNCATED', 'read image', piece);
    }
    return Math.max(0, end - offset);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  async *extents(offset: number, length: number, options?: ReadOptions): AsyncGenerator<Extent> {
    const joiner = new ExtentJoiner();
    for await (const next of this.#pieces(offset, Math.min(offset + length, this.byteLength), options?.signal)) {
      const whole = joiner.add(next);
      if (whole !== undefined) yield whole;
    }
    const last = joiner.finish();
    if (last !== undefined) yield last;
  }

  /** Cluster by cluster; a missing table is one piece. */
  async *#pieces(from: number, to: number, signal: AbortSignal | undefined): AsyncGenerator<Extent> {
    const { clusterSize, tableEntries } = this.#header;
    const perTable = clusterSize * tableEntries;
    let at = from;
    while (at < to) {
      signal?.throwIfAborted();
      const index = Math.floor(at / perTable);
      const table = this.#l1[index] as number;
      if (table === WITHOUT_TABLE) {
        const end = Math.min(to, (index + 1) * perTable);
        yield extent(at, end, UNALLOCATED);
        at = end;
        continue;
      }
      const first = Math.floor((at - index * perTable) / clusterSize);
      const wanted = Math.ceil((Math.min(to, (index + 1) * perTable) - index * perTable) / clusterSize) - first;
      const count = Math.min(PIECE_ENTRIES, wanted);
      for (const entry of await readL2(this.#file, this.#header, { tableOffset: table * clusterSize, first, count })) {
        const end = Math.min(to, (Math.floor(at / clusterSize) + 1) * clusterSize);
        yield extent(at, end, entry, at % clusterSize);
        at = end;
      }
    }
  }
}

function extent(start: number, end: number, entry: number, inCluster = 0): Extent {
  if (entry === UNALLOCATED) return { start, end, status: 'unallocated', depth: 0, compressed: false, fileOffset: undefined };
  if (entry === ZERO) return { start, end, status: 'zero', depth: 0, compressed: false, fileOffset: undefined };
  return { start, end, status: 'data', depth: 0, compressed: false, fileOffset: entry + inCluster };
}

function backingNeeded(at: number): PlimsollError {
  return new PlimsollError('unsupported', 'QED_BACKING', {
    doing: 'read QED image',
    field: 'guest bytes',
    at,
    found: "the backing file's",
    expected: 'bytes of this image',
  });
}
