/** The guest's disk of a QED image: its map by one walk over the tables, and its bytes. */
import { PlimsollError } from '#base';
import type { BlockDevice, Extent, ImageDevice } from '#block';
import { readWhole } from '../block-table.ts';
import { ExtentJoiner } from '../join-extents.ts';
import type { QedHeader } from './header.ts';
import { type L1Table, PIECE_ENTRIES, readL2, UNALLOCATED, WITHOUT_TABLE, ZERO } from './tables.ts';

export class QedDevice implements ImageDevice {
  readonly byteLength: number;
  readonly #file: BlockDevice;
  readonly #header: QedHeader;
  readonly #l1: L1Table;

  constructor(file: BlockDevice, header: QedHeader, l1: L1Table) {
    this.byteLength = header.capacity;
    this.#file = file;
    this.#header = header;
    this.#l1 = l1;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const end = Math.min(offset + length, this.byteLength);
    const target = new Uint8Array(Math.max(0, end - offset));
    for await (const { start, end: runEnd, status, fileOffset } of this.extents(offset, end)) {
      if (status === 'unallocated' && this.#header.backingFile !== undefined) throw backingNeeded(start);
      if (fileOffset !== undefined) target.set(await readWhole(this.#file, fileOffset, runEnd - start), start - offset);
    }
    return target;
  }

  async *extents(from: number, to: number, signal?: AbortSignal): AsyncGenerator<Extent> {
    const joiner = new ExtentJoiner();
    for await (const next of this.#pieces(Math.max(0, from), Math.min(to, this.byteLength), signal)) {
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
