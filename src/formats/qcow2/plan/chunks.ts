/**
 * The bytes of a new qcow2's metadata, streamed: header, refcount table and blocks, L1 and L2 tables, in pieces of at
 * most 1 MiB, so that a preallocated petabyte needs no more memory than its list of clusters.
 * Source: qcow2 specification, "Host cluster management" and "Cluster mapping".
 */
import { MiB, type Range } from '#base';
import { withCopied } from '../entry.ts';
import { type NewBacking, newHeaderCluster, writeUint64 } from './header.ts';
import type { NewQcow2Plan } from './layout.ts';
import { writtenTail } from './storage.ts';

export interface FileChunk {
  readonly fileOffset: number;
  /** At most 1 MiB; valid until the next chunk is asked for. */
  readonly bytes: Uint8Array;
}

const MAX_CHUNK_BYTES = MiB;

/** All that has to be written; what is not written reads as zeros. Offsets rise within each structure only. */
export function* newQcow2Chunks(plan: NewQcow2Plan, backing?: NewBacking): Generator<FileChunk> {
  const { clusterSize } = plan.geometry;
  yield* pieces(0, newHeaderCluster(plan, backing));
  yield* refcountBlocks(plan);
  yield* refcountTable(plan);
  yield* l1Table(plan);
  yield* l2Tables(plan);
  // QEMU frees a refcount table that it has moved away from, and its storage stays: so it does here, as zeros.
  for (const run of unusedClusters(plan)) yield* zeros(run.start * clusterSize, (run.end - run.start) * clusterSize);
  const tail = plan.preallocation === 'metadata' && plan.options.dataFile === undefined ? writtenTail(plan) : undefined;
  if (tail !== undefined) yield* zeros(tail.start, tail.end - tail.start);
}

/** Each block whole; a cluster in use counts one reference. */
function* refcountBlocks(plan: NewQcow2Plan): Generator<FileChunk> {
  const { clusterSize, blockEntries } = plan.geometry;
  const block = new Uint8Array(clusterSize);
  const { holes, frontier } = plan.allocator.free;
  let hole = 0;
  for (const [range, cluster] of plan.allocator.blocks.entries()) {
    if (cluster === 0) continue;
    const first = range * blockEntries;
    const end = first + blockEntries;
    block.fill(0);
    while (hole > 0 && (holes[hole - 1] as Range).end > first) hole -= 1;
    let at = first;
    for (; hole < holes.length && (holes[hole] as Range).start < end; hole += 1) {
      const { start, end: holeEnd } = holes[hole] as Range;
      if (start > at) countReferences(block, plan.options.refcountBits, at - first, start - first);
      at = Math.max(at, Math.min(holeEnd, end));
    }
    countReferences(block, plan.options.refcountBits, at - first, Math.min(end, frontier) - first);
    yield* pieces(cluster * clusterSize, block);
  }
}

/** Sets entries [start, end) to 1. Widths below a byte fill from its lowest bits, wider ones are big-endian. */
function countReferences(block: Uint8Array, refcountBits: number, start: number, end: number): void {
  if (refcountBits >= 8) {
    const width = refcountBits / 8;
    for (let index = start; index < end; index += 1) block[index * width + width - 1] = 1;
    return;
  }
  const perByte = 8 / refcountBits;
  for (let index = start; index < end; index += 1) {
    const at = Math.floor(index / perByte);
    block[at] = (block[at] as number) | (1 << ((index % perByte) * refcountBits));
  }
}

function* refcountTable(plan: NewQcow2Plan): Generator<FileChunk> {
  const { allocator, geometry } = plan;
  const { clusterSize } = geometry;
  const table = new EntryStream(allocator.tableCluster * clusterSize, allocator.tableClusters * clusterSize);
  for (const cluster of allocator.blocks) yield* table.add(cluster * clusterSize, false);
  yield* table.finish();
}

/** Only the entries, not the rest of the last cluster: that decides the length of an image without preallocation. */
function* l1Table(plan: NewQcow2Plan): Generator<FileChunk> {
  const { clusterSize, l2Count } = plan.geometry;
  if (l2Count === 0) return;
  const table = new EntryStream(plan.l1Cluster * clusterSize, l2Count * 8);
  for (const cluster of plan.l2Clusters) yield* table.add(cluster * clusterSize, true);
  yield* table.finish();
}

/** Every L2 table whole. Extended entries are followed by a bitmap of 0: mapped, and read as unallocated. */
function* l2Tables(plan: NewQcow2Plan): Generator<FileChunk> {
  const { clusterSize, l2Entries, l2EntryBytes, guestClusters } = plan.geometry;
  const table = new Uint8Array(clusterSize);
  const view = new DataView(table.buffer);
  let index = 0;
  for (const [l2Index, l2Cluster] of plan.l2Clusters.entries()) {
    const first = l2Index * l2Entries;
    const end = Math.min(first + l2Entries, guestClusters);
    table.fill(0);
    for (let guest = first; guest < end; ) {
      const run = plan.data.at(index);
      const runEnd = run.guestCluster + run.clusterCount;
      for (; guest < Math.min(end, runEnd); guest += 1) {
        const hostOffset = (run.hostCluster + guest - run.guestCluster) * clusterSize;
        writeEntry(view, (guest - first) * l2EntryBytes, hostOffset, true);
      }
      if (guest === runEnd) index += 1;
    }
    yield* pieces(l2Cluster * clusterSize, table);
  }
}

/** A table of 8-byte entries, given out in chunks as it fills; what is not added stays 0. */
class EntryStream {
  readonly #buffer: Uint8Array;
  readonly #view: DataView;
  #fileOffset: number;
  #left: number;
  #filled = 0;

  constructor(fileOffset: number, byteLength: number) {
    this.#fileOffset = fileOffset;
    this.#left = byteLength;
    this.#buffer = new Uint8Array(Math.min(byteLength, MAX_CHUNK_BYTES));
    this.#view = new DataView(this.#buffer.buffer);
  }

  *add(offset: number, isCopied: boolean): Generator<FileChunk> {
    writeEntry(this.#view, this.#filled, offset, isCopied);
    this.#filled += 8;
    if (this.#filled === this.#buffer.byteLength) yield this.#take(this.#filled);
  }

  *finish(): Generator<FileChunk> {
    while (this.#left > 0) yield this.#take(Math.min(this.#left, this.#buffer.byteLength));
  }

  #take(byteLength: number): FileChunk {
    this.#buffer.fill(0, this.#filled);
    const chunk = { fileOffset: this.#fileOffset, bytes: this.#buffer.subarray(0, byteLength) };
    this.#fileOffset += byteLength;
    this.#left -= byteLength;
    this.#filled = 0;
    return chunk;
  }
}

function writeEntry(view: DataView, at: number, offset: number, isCopied: boolean): void {
  writeUint64(view, at, offset);
  if (isCopied) view.setUint32(at, withCopied(view.getUint32(at)));
}

function* unusedClusters(plan: NewQcow2Plan): Generator<Range> {
  for (const old of plan.allocator.abandoned) {
    for (const hole of plan.allocator.free.holes) {
      const start = Math.max(old.start, hole.start);
      const end = Math.min(old.end, hole.end);
      if (start < end) yield { start, end };
    }
  }
}

/** Zeros over a range of the file. */
export function* zeros(fileOffset: number, byteLength: number): Generator<FileChunk> {
  const block = new Uint8Array(Math.min(byteLength, MAX_CHUNK_BYTES));
  for (let done = 0; done < byteLength; done += block.byteLength) {
    yield { fileOffset: fileOffset + done, bytes: block.subarray(0, Math.min(block.byteLength, byteLength - done)) };
  }
}

function* pieces(fileOffset: number, bytes: Uint8Array): Generator<FileChunk> {
  for (let at = 0; at < bytes.byteLength; at += MAX_CHUNK_BYTES) {
    yield { fileOffset: fileOffset + at, bytes: bytes.subarray(at, at + MAX_CHUNK_BYTES) };
  }
}
