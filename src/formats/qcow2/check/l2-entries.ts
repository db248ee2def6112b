/**
 * The entries of one L2 table, all of them, with what contradicts the specification. Source: qcow2 spec, "Cluster mapping",
 * L2 table entry, standard and compressed cluster descriptors; "Extended L2 Entries".
 */
import {
  compressedData,
  hasReservedL2Bits,
  hasZeroFlag,
  haveCommonSubcluster,
  isCompressed,
  isCopied,
  isZeroFlagSet,
  l2EntryBytes,
  offsetOf,
} from '../entry.ts';
import type { Header } from '../header.ts';

export interface EntryVisitor {
  /** A standard cluster: its host cluster, and whether the entry has COPIED. */
  standard(hostCluster: number, isCopied: boolean, entryAt: number): void;
  /** The entry behind a standard one continues it to the letter, one host cluster further. */
  following(): void;
  /** The bytes of the file that hold the data of one compressed cluster, to the end of its last sector. */
  compressed(fileOffset: number, byteLength: number, entryAt: number): void;
  /** The entry at byte `entryAt` of the file contradicts the format. */
  unsound(entryAt: number, what: string): void;
}

/**
 * Reports every entry of `table`, which lies at byte `tableOffset` of the file. `table` is at a position divisible by 4.
 *
 * Hot: a 1 TiB image has 16 million entries. What continues the entry before is not decoded.
 */
export function visitEntries(table: Uint8Array, header: Header, tableOffset: number, visitor: EntryVisitor): void {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const words = new Uint32Array(table.buffer, table.byteOffset, table.byteLength / 4);
  const stride = l2EntryBytes(header);
  const { clusterSize } = header;
  // Of the entry that would continue the one before; no entry has the low half -1.
  let nextHigh = 0;
  let nextLow = -1;
  for (let at = 0; at < table.byteLength; at += stride) {
    if (words[at >>> 2] === 0 && words[(at >>> 2) + 1] === 0 && (stride === 8 || isZeroPair(words, (at >>> 2) + 2))) continue;
    const high = view.getUint32(at);
    const low = view.getUint32(at + 4);
    if (low === nextLow && high === nextHigh) {
      visitor.following();
      nextLow += clusterSize;
      continue;
    }
    nextLow = -1;
    if (isCompressed(high)) visitCompressed(view, at, header, tableOffset, visitor);
    else if (visitStandard(view, at, high, low, header, tableOffset, visitor) && stride === 8 && !isZeroFlagSet(low)) {
      nextHigh = high;
      nextLow = low + clusterSize;
    }
  }
}

function isZeroPair(words: Uint32Array, index: number): boolean {
  return words[index] === 0 && words[index + 1] === 0;
}

/** Whether the entry is sound and has a host cluster. */
function visitStandard(
  view: DataView,
  at: number,
  high: number,
  low: number,
  header: Header,
  tableOffset: number,
  visitor: EntryVisitor,
): boolean {
  const { clusterSize, extendedL2 } = header;
  const isReservedSet = hasReservedL2Bits(high, low, hasZeroFlag(header));
  if (isReservedSet) visitor.unsound(tableOffset + at, 'reserved bits are set');
  const offset = offsetOf(high, low);
  if (extendedL2) visitSubclusters(view, at, offset, tableOffset, visitor);
  if (offset === 0) {
    if (isCopied(high)) visitor.unsound(tableOffset + at, 'COPIED is set without a host cluster');
    return false;
  }
  if (offset % clusterSize !== 0 || offset / clusterSize >= header.hostClusterLimit) {
    visitor.unsound(tableOffset + at, `the host cluster offset 0x${offset.toString(16)} is not aligned, or beyond what refcounts describe`);
    return false;
  }
  visitor.standard(offset / clusterSize, isCopied(high), tableOffset + at);
  return !isReservedSet;
}

function visitSubclusters(view: DataView, at: number, offset: number, tableOffset: number, visitor: EntryVisitor): void {
  const zeros = view.getUint32(at + 8);
  const allocated = view.getUint32(at + 12);
  if (haveCommonSubcluster(zeros, allocated)) visitor.unsound(tableOffset + at + 8, 'a subcluster is allocated and reads as zeros');
  if (offset === 0 && allocated !== 0) visitor.unsound(tableOffset + at + 8, 'subclusters are allocated without a host cluster');
}

function visitCompressed(view: DataView, at: number, header: Header, tableOffset: number, visitor: EntryVisitor): void {
  const high = view.getUint32(at);
  if (isCopied(high)) visitor.unsound(tableOffset + at, 'a compressed cluster has COPIED');
  if (header.extendedL2 && (view.getUint32(at + 8) !== 0 || view.getUint32(at + 12) !== 0))
    visitor.unsound(tableOffset + at + 8, 'a compressed cluster has a subcluster bitmap');
  const { offset, byteLength } = compressedData(high, view.getUint32(at + 4), header.clusterBits);
  visitor.compressed(offset, byteLength, tableOffset + at);
}
