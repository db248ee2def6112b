/**
 * Counting one L2 table: which guest clusters a write would need a new host cluster for. Source: qcow2 spec, "Cluster
 * mapping"; who needs a new cluster is QEMU's `cluster_needs_new_alloc` (block/qcow2-cluster.c).
 *
 * Hot: a 1 TiB image has 16 million entries. Runs of mapped clusters and of nothing are passed over without decoding each.
 */
import { PlimsollError } from '#base';
import {
  clusterOf,
  compressedData,
  ENTRY_BYTES,
  EXTENDED_ENTRY_BYTES,
  hasOffset,
  hasReservedL2Bits,
  hasSubcluster,
  hasZeroFlag,
  haveCommonSubcluster,
  isCompressed,
  isCopied,
  isWrittenInPlace,
  isZeroFlagSet,
  l2EntryBytes,
  offsetOf,
  SUBCLUSTERS_PER_CLUSTER,
} from '../entry.ts';
import type { Header } from '../header.ts';
import { nextNonZero } from '../read/table-reader.ts';

/** What one entry says, for the collector of a walk. Host clusters are indexes, not offsets. */
export interface L2Visitor {
  /** Guest clusters that are written in place: `count` from `hostCluster` on (COPIED, not compressed). */
  inPlace(hostCluster: number, count: number, firstEntry: number): void;
  /** `count` guest clusters that need a new cluster, not compressed. */
  needing(count: number): void;
  /** A host cluster that is mapped but shared with a snapshot (no COPIED): the guest cluster needs a new one. */
  sharedData(hostCluster: number): void;
  /** A compressed guest cluster, which needs a new cluster and may free the old ones; its entry lies at `entryAt` of the file. */
  compressed(fileOffset: number, byteLength: number, entryAt: number): void;
  /** An entry contradicts the specification where QEMU may still read on: at `at` of the file, with the reason. */
  unsound?(at: number, what: string): void;
}

/**
 * Reports the first `entryCount` entries of `table` to `visitor`, ascending, in runs.
 *
 * `table` holds 8-byte entries (16-byte with extended L2), big-endian.
 * Throws: corrupt, when a host offset is not a multiple of the cluster size or lies where no refcount table reaches.
 */
export function visitL2Table(table: Uint8Array, entryCount: number, header: Header, tableOffset: number, visitor: L2Visitor): void {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const entries = new Float64Array(table.buffer, table.byteOffset, table.byteLength / 8);
  const stride = l2EntryBytes(header);
  const { clusterSize, externalDataFile } = header;
  const zeroFlag = hasZeroFlag(header);
  const limit = externalDataFile ? 2 ** 53 / clusterSize : header.hostClusterLimit;
  const clustersPerHalf = 0x100000000 / clusterSize;
  let needing = 0;
  let runFirst = 0;
  let runCluster = -1;
  let runLength = 0;
  for (let entry = 0; entry < entryCount; entry += 1) {
    const at = entry * stride;
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if (!isCompressed(high) && hasReservedL2Bits(high, low, zeroFlag)) visitor.unsound?.(tableOffset + at, 'reserved bits are set');
    if (header.extendedL2 && !areSubclustersSound(view, at, externalDataFile)) visitor.unsound?.(tableOffset + at + 8, SUBCLUSTERS);
    if (isWrittenInPlace(high)) {
      const cluster = clusterOf(high, low, clusterSize, clustersPerHalf);
      if (cluster === runCluster + runLength && runLength > 0 && cluster < limit) {
        runLength += 1;
        continue;
      }
      if (cluster !== 0 || externalDataFile) {
        if (cluster % 1 !== 0 || cluster >= limit) throw badOffset(high, low, tableOffset + at, header);
        if (needing > 0) visitor.needing(needing);
        needing = 0;
        if (runLength > 0) visitor.inPlace(runCluster, runLength, runFirst);
        runCluster = cluster;
        runLength = 1;
        runFirst = entry;
        const following = countFollowing(view, at, stride, Math.min(entryCount, entry + limit - cluster) * stride, clusterSize);
        if (header.extendedL2)
          for (let next = at + stride; next <= at + following * stride; next += stride)
            if (!areSubclustersSound(view, next, externalDataFile)) visitor.unsound?.(tableOffset + next + 8, SUBCLUSTERS);
        runLength += following;
        entry += following;
        continue;
      }
    }
    if (runLength > 0) visitor.inPlace(runCluster, runLength, runFirst);
    runLength = 0;
    if (isCompressed(high)) {
      if (needing > 0) visitor.needing(needing);
      needing = 0;
      const data = compressedData(high, low, header.clusterBits);
      visitor.compressed(data.offset, data.byteLength, tableOffset + at);
      continue;
    }
    if (high === 0 && low === 0 && stride === 8) {
      // Nearly all that is not mapped is nothing at all.
      const next = Math.min(entryCount, nextNonZero(entries, entry + 1));
      needing += next - entry;
      entry = next - 1;
      continue;
    }
    needing += 1;
    const offset = offsetOf(high, low);
    if (offset !== 0 && !isCopied(high)) {
      if (offset % clusterSize !== 0 || offset / clusterSize >= limit) throw badOffset(high, low, tableOffset + at, header);
      visitor.sharedData(offset / clusterSize);
    }
  }
  if (needing > 0) visitor.needing(needing);
  if (runLength > 0) visitor.inPlace(runCluster, runLength, runFirst);
}

/**
 * How much of the last guest cluster is written once it gets a new host cluster, of which the capacity needs `partialBytes`:
 * with extended L2 up to the last subcluster that is written or was allocated, else, and after compression, all of it.
 */
export function lastClusterBytes(table: Uint8Array | undefined, entry: number, header: Header, partialBytes: number): number {
  const { clusterSize, extendedL2 } = header;
  if (!extendedL2) return clusterSize;
  const subcluster = clusterSize / SUBCLUSTERS_PER_CLUSTER;
  const needed = Math.ceil(partialBytes / subcluster) * subcluster;
  if (table === undefined) return needed;
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const high = view.getUint32(entry * EXTENDED_ENTRY_BYTES);
  if (isCompressed(high)) return clusterSize;
  if (!hasOffset(high, view.getUint32(entry * EXTENDED_ENTRY_BYTES + 4))) return needed;
  const allocated = view.getUint32(entry * EXTENDED_ENTRY_BYTES + 12);
  return Math.max(needed, (SUBCLUSTERS_PER_CLUSTER - Math.clz32(allocated)) * subcluster);
}

/**
 * How much of the last guest cluster a write fills when it is in place and the capacity needs `partialBytes` of it: up to the
 * capacity where it holds data; QEMU completes with zeros the cluster under the zero flag, and the subcluster that is not
 * allocated (`calculate_l2_meta`, block/qcow2-cluster.c).
 */
export function lastInPlaceBytes(table: Uint8Array, entry: number, header: Header, partialBytes: number): number {
  const { clusterSize, extendedL2 } = header;
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  if (!extendedL2) return hasZeroFlag(header) && isZeroFlagSet(view.getUint32(entry * ENTRY_BYTES + 4)) ? clusterSize : partialBytes;
  const subcluster = clusterSize / SUBCLUSTERS_PER_CLUSTER;
  const last = Math.ceil(partialBytes / subcluster) - 1;
  const isAllocated = hasSubcluster(view.getUint32(entry * EXTENDED_ENTRY_BYTES + 12), last);
  return isAllocated ? partialBytes : (last + 1) * subcluster;
}

/** Entries of one call of `countLike`: short, so that V8 compiles it as a function and never replaces it inside its loop. */
const ENTRIES_AT_ONCE = 256;

/**
 * How many entries behind the one at `at` continue it to the letter, each one cluster further, before byte `end`: nothing is
 * decoded for those. Stops where the lower half of the offset wraps.
 */
function countFollowing(view: DataView, at: number, stride: number, end: number, clusterSize: number): number {
  const high = view.getInt32(at);
  let expected = view.getInt32(at + 4) + clusterSize;
  let next = at + stride;
  while (next < end) {
    const most = Math.min(ENTRIES_AT_ONCE, (end - next) / stride);
    const count = countLike(view, next, most, stride, high, expected, clusterSize);
    next += count * stride;
    if (count < most) break;
    expected += count * clusterSize;
  }
  return (next - at) / stride - 1;
}

/** How many of `most` entries from `at` on have the halves `high` and `low`, `low + clusterSize`, ... In 32-bit integers throughout. */
function countLike(view: DataView, at: number, most: number, stride: number, high: number, low: number, clusterSize: number): number {
  const step = clusterSize | 0;
  const last = most | 0;
  let expected = low | 0;
  let next = at;
  let count = 0;
  while (count < last && expected !== 0 && view.getInt32(next + 4) === expected && view.getInt32(next) === high) {
    expected = (expected + step) | 0;
    next += stride;
    count += 1;
  }
  return count;
}

const SUBCLUSTERS = 'a subcluster is both allocated and zeros, or allocated without a cluster';

/** Bitmap of an extended entry: no subcluster is both allocated and zeros, none is allocated without a cluster. */
function areSubclustersSound(view: DataView, at: number, externalDataFile: boolean): boolean {
  const [high, low] = [view.getUint32(at), view.getUint32(at + 4)];
  const [zero, allocated] = [view.getUint32(at + 8), view.getUint32(at + 12)];
  if (isCompressed(high)) return zero === 0 && allocated === 0;
  const hasCluster = hasOffset(high, low) || (externalDataFile && isCopied(high));
  return !haveCommonSubcluster(zero, allocated) && (hasCluster || allocated === 0);
}

function badOffset(high: number, low: number, at: number, { clusterSize, hostClusterLimit }: Header): PlimsollError {
  return new PlimsollError('corrupt', 'QCOW2_L2_ENTRY', {
    doing: 'read qcow2 L2 table',
    field: 'host cluster offset',
    at,
    found: `0x${high.toString(16)}${low.toString(16).padStart(8, '0')}`,
    expected: `an offset that is a multiple of the cluster size ${clusterSize} and below 0x${(hostClusterLimit * clusterSize).toString(16)}`,
  });
}
