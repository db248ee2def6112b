/**
 * What L2 entries say of guest bytes: a run of them at a time, as long as it stays the same. Source: qcow2 spec, "Cluster
 * mapping", L2 table entry, standard and compressed cluster descriptor; "Extended L2 Entries". What the specification leaves
 * open is answered as QEMU 7.2 does, see README.md.
 */
import { PlimsollError } from '#base';
import {
  compressedData,
  hasSubcluster,
  haveCommonSubcluster,
  isCompressed,
  isCopied,
  isZeroFlagSet,
  l2EntryBytes,
  offsetOf,
  SUBCLUSTERS_PER_CLUSTER,
} from '../entry.ts';
import type { Header } from '../header.ts';

/** A piece of an L2 table, or of guest bytes that have none. */
export interface L2Slice {
  /** Guest bytes that it maps, [start, end); `start` is a multiple of the cluster size. */
  readonly start: number;
  readonly end: number;
  /** Entries of 8 bytes, 16 with extended L2, big-endian; undefined where the L1 table names no L2 table: all unallocated. */
  readonly entries: DataView | undefined;
  /** Where the entries lie in the file. */
  readonly fileOffset: number;
  readonly l1Index: number;
}

/** Guest bytes up to `end` of one origin. Host offsets are those of the first of these bytes, in the file or data file. */
export type MappedRun =
  | { readonly kind: 'unallocated' | 'zero'; readonly end: number }
  | { readonly kind: 'data'; readonly end: number; readonly hostOffset: number }
  /** One cluster or a piece of it; offset and length are those of the whole cluster's compressed data. */
  | { readonly kind: 'compressed'; readonly end: number; readonly hostOffset: number; readonly byteLength: number };

/**
 * The run that begins at guest byte `at` of `slice` and ends at `most` or before it.
 *
 * Throws: corrupt, when an entry contradicts the format; whatever lies before it in the run is not given either.
 */
export function mapRun(slice: L2Slice, header: Header, at: number, most: number): MappedRun {
  const { entries } = slice;
  const stop = Math.min(most, slice.end);
  if (entries === undefined) return { kind: 'unallocated', end: stop };
  const index = Math.floor((at - slice.start) / header.clusterSize);
  const entryAt = index * l2EntryBytes(header);
  const high = entries.getUint32(entryAt);
  if (isCompressed(high)) {
    const end = Math.min(stop, slice.start + (index + 1) * header.clusterSize);
    return compressedRun(slice, header, entryAt, high, entries.getUint32(entryAt + 4), end);
  }
  return header.extendedL2 ? subclusterRun(slice, entries, header, at, stop) : clusterRun(slice, entries, header, at, stop);
}

function clusterRun(slice: L2Slice, entries: DataView, header: Header, at: number, stop: number): MappedRun {
  const { clusterSize } = header;
  const first = Math.floor((at - slice.start) / clusterSize);
  const last = Math.ceil((stop - slice.start) / clusterSize);
  const begin = clusterOf(slice, entries, header, first * 8, slice.start + first * clusterSize);
  let index = first + 1;
  if (begin.kind === 'data') {
    // Hot: neighbours that go on where the one before ends need no further check.
    let expected = begin.offset + clusterSize;
    while (index < last) {
      const high = entries.getUint32(index * 8);
      const low = entries.getUint32(index * 8 + 4);
      if (offsetOf(high, low) !== expected || isCompressed(high) || isZeroFlagSet(low)) break;
      expected += clusterSize;
      index += 1;
    }
    const within = at - slice.start - first * clusterSize;
    return { kind: 'data', end: Math.min(stop, slice.start + index * clusterSize), hostOffset: begin.offset + within };
  }
  while (index < last && !isCompressed(entries.getUint32(index * 8))) {
    if (clusterOf(slice, entries, header, index * 8, slice.start + index * clusterSize).kind !== begin.kind) break;
    index += 1;
  }
  return { kind: begin.kind, end: Math.min(stop, slice.start + index * clusterSize) };
}

interface Cluster {
  readonly kind: 'data' | 'zero' | 'unallocated';
  /** Of its host cluster; meaningless when it has none. */
  readonly offset: number;
}

/** Where nothing differs from one to the next they are one object: most entries of a thin image. */
const UNALLOCATED: Cluster = { kind: 'unallocated', offset: 0 };
const ZERO_PLAIN: Cluster = { kind: 'zero', offset: 0 };

/** A standard entry that is not compressed, of the cluster at `guestOffset`. */
function clusterOf(slice: L2Slice, entries: DataView, header: Header, entryAt: number, guestOffset: number): Cluster {
  const high = entries.getUint32(entryAt);
  const low = entries.getUint32(entryAt + 4);
  const isZero = !header.extendedL2 && isZeroFlagSet(low);
  const offset = offsetOf(high, low);
  if (isZero && header.version < 3) throw wrong(slice, entryAt, 'zero cluster', high, low, 'no zero clusters in version 2');
  // Offset 0 is a cluster of a data file if COPIED says so.
  if (offset === 0 && (isZero || !header.externalDataFile || !isCopied(high))) return isZero ? ZERO_PLAIN : UNALLOCATED;
  if (header.externalDataFile && offset !== guestOffset)
    throw wrong(slice, entryAt, 'host cluster offset', high, low, `the guest offset 0x${guestOffset.toString(16)}, for a data file`);
  if (offset % header.clusterSize !== 0 || offset >= 2 ** 53)
    throw wrong(slice, entryAt, 'host cluster offset', high, low, `a multiple of the cluster size ${header.clusterSize} below 2^53`);
  return { kind: isZero ? 'zero' : 'data', offset };
}

/** What the bits of a bitmap say of the subclusters: bits 0-31 (low word) allocated, bits 32-63 (high word) zeros. */
function subclusterRun(slice: L2Slice, entries: DataView, header: Header, at: number, stop: number): MappedRun {
  const { clusterSize } = header;
  const size = clusterSize / SUBCLUSTERS_PER_CLUSTER;
  let kind: 'data' | 'zero' | 'unallocated' | undefined;
  let hostOffset = 0;
  let position = at;
  while (position < stop) {
    const index = Math.floor((position - slice.start) / clusterSize);
    const clusterStart = slice.start + index * clusterSize;
    const high = entries.getUint32(index * 16);
    if (isCompressed(high)) break;
    const { offset, zeros, allocated } = extendedEntry(slice, entries, header, index * 16, clusterStart);
    if (kind === 'data' && offset + (position - clusterStart) !== hostOffset + (position - at)) break;
    let subcluster = Math.floor((position - clusterStart) / size);
    while (subcluster < SUBCLUSTERS_PER_CLUSTER) {
      const isZero = hasSubcluster(zeros, subcluster);
      const isData = hasSubcluster(allocated, subcluster);
      const found = isZero ? 'zero' : isData ? 'data' : 'unallocated';
      if (kind === undefined) {
        kind = found;
        hostOffset = offset + (position - clusterStart);
      } else if (found !== kind) break;
      subcluster += 1;
    }
    position = clusterStart + subcluster * size;
    if (subcluster < SUBCLUSTERS_PER_CLUSTER) break;
  }
  const end = Math.min(stop, position);
  return kind === 'data' ? { kind, end, hostOffset } : { kind: kind ?? 'unallocated', end };
}

interface ExtendedEntry {
  readonly offset: number;
  readonly zeros: number;
  readonly allocated: number;
}

function extendedEntry(slice: L2Slice, entries: DataView, header: Header, entryAt: number, guestOffset: number): ExtendedEntry {
  const zeros = entries.getUint32(entryAt + 8);
  const allocated = entries.getUint32(entryAt + 12);
  const { kind, offset } = clusterOf(slice, entries, header, entryAt, guestOffset);
  if (kind === 'unallocated' && allocated !== 0)
    throw wrong(slice, entryAt + 8, 'subcluster bitmap', zeros, allocated, 'no subcluster allocated in an entry without a host cluster');
  if (kind === 'data' && haveCommonSubcluster(zeros, allocated))
    throw wrong(slice, entryAt + 8, 'subcluster bitmap', zeros, allocated, 'no subcluster that is both allocated and zeros');
  return { offset, zeros, allocated };
}

function compressedRun(slice: L2Slice, header: Header, entryAt: number, high: number, low: number, end: number): MappedRun {
  if (header.externalDataFile) throw wrong(slice, entryAt, 'compressed cluster', high, low, 'no compressed clusters with a data file');
  const { offset: hostOffset, byteLength } = compressedData(high, low, header.clusterBits);
  if (hostOffset >= 2 ** 53) throw wrong(slice, entryAt, 'compressed data offset', high, low, 'an offset below 2^53');
  return { kind: 'compressed', end, hostOffset, byteLength };
}

function wrong(slice: L2Slice, entryAt: number, field: string, high: number, low: number, expected: string): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_L2_ENTRY', {
    doing: 'read qcow2 L2 table',
    field,
    at: slice.fileOffset + entryAt,
    found: `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`,
    expected,
  });
}
