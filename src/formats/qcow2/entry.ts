/**
 * Entries of qcow2's tables: the only file with their bit masks. An entry has 64 bits, given as its two 32-bit halves, `high`
 * and `low`, since a `number` holds only 53; with extended L2 a second such pair follows, the subcluster bitmap.
 *
 * Source: qcow2 spec, "Host cluster management" (refcount table) and "Cluster mapping" (L1 table, which snapshots have too; L2
 * table, standard and compressed cluster descriptors); "Extended L2 Entries". Hot: all functions are small enough to be inlined.
 */

/** Bytes of an entry of the L1 table, the refcount table, and an L2 table without subclusters. */
export const ENTRY_BYTES = 8;
/** Bytes of an extended L2 entry: the entry, and a bitmap with 32 bits "allocated" below 32 bits "zeros". */
export const EXTENDED_ENTRY_BYTES = 16;
/** Subclusters of a cluster with extended L2 entries. */
export const SUBCLUSTERS_PER_CLUSTER = 32;

/** Bits 32-55 in the high half, 9-31 in the low half: the host offset in an entry of an L1 or L2 table. */
const OFFSET_HIGH = 0x00ffffff;
const OFFSET_LOW = 0xfffffe00;
/** Bit 63: the refcount of the cluster is exactly one, so that it is written in place. */
const COPIED = 0x80000000;
/** Bit 62 of an L2 entry. */
const COMPRESSED = 0x40000000;
/** Bit 0 of a standard L2 entry of version 3 without extended L2: the cluster reads as zeros. */
const ZERO = 1;

/** Reserved: bits 56-62 and 0-8 of an L1 entry; 56-61 and 1-8, mostly 0 too, of a standard L2 entry; 0-8 of a refcount table entry. */
const L1_RESERVED_HIGH = 0x7f000000;
const L2_RESERVED_HIGH = 0x3f000000;
const L2_RESERVED_LOW = 0x1fe;
const RESERVED_LOW = 0x1ff;

/** Bits 0-61 of a compressed cluster descriptor, and the unit in which it counts. */
const DESCRIPTOR_HIGH = 0x3fffffff;
const SECTOR = 512;

const HALF = 0x100000000;

/** What of a header decides the meaning of L2 entries. */
export interface EntryShape {
  readonly version: number;
  readonly extendedL2: boolean;
  readonly clusterBits: number;
}

/** Bytes from one L2 entry to the next. */
export function l2EntryBytes({ extendedL2 }: Pick<EntryShape, 'extendedL2'>): number {
  return extendedL2 ? EXTENDED_ENTRY_BYTES : ENTRY_BYTES;
}

/** The host offset in bytes: of an L2 table in an L1 entry, of a cluster in a standard L2 entry. 0: none. Below 2^56. */
export function offsetOf(high: number, low: number): number {
  return (high & OFFSET_HIGH) * HALF + ((low & OFFSET_LOW) >>> 0);
}

/** The host offset in units of `clusterSize`; a fraction when it is not aligned. `clustersPerHalf`: 2^32 / clusterSize. */
export function clusterOf(high: number, low: number, clusterSize: number, clustersPerHalf: number): number {
  return (high & OFFSET_HIGH) * clustersPerHalf + ((low & OFFSET_LOW) >>> 0) / clusterSize;
}

/** Whether a standard L2 entry names a host cluster other than the one at offset 0. */
export function hasOffset(high: number, low: number): boolean {
  return (high & OFFSET_HIGH) !== 0 || (low & OFFSET_LOW) !== 0;
}

/** The host offset of a refcount block, in bits 9-63 of an entry of the refcount table. 0: none. May exceed 2^53. */
export function refcountBlockOffset(high: number, low: number): number {
  return high * HALF + ((low & OFFSET_LOW) >>> 0);
}

export function isCopied(high: number): boolean {
  return (high & COPIED) !== 0;
}

export function isCompressed(high: number): boolean {
  return (high & COMPRESSED) !== 0;
}

/** COPIED and not compressed: the guest's writes go to the cluster itself. */
export function isWrittenInPlace(high: number): boolean {
  return high >>> 30 === 2;
}

/** The zero flag of a standard entry. It exists in version 3 without extended L2: see `hasZeroFlag`. */
export function isZeroFlagSet(low: number): boolean {
  return (low & ZERO) !== 0;
}

/** Whether bit 0 of standard L2 entries is the zero flag; otherwise it is reserved. */
export function hasZeroFlag({ version, extendedL2 }: Pick<EntryShape, 'version' | 'extendedL2'>): boolean {
  return version === 3 && !extendedL2;
}

export function hasReservedL1Bits(high: number, low: number): boolean {
  return (high & L1_RESERVED_HIGH) !== 0 || (low & RESERVED_LOW) !== 0;
}

/** `zeroFlag`: as `hasZeroFlag` gives it for the image. */
export function hasReservedL2Bits(high: number, low: number, zeroFlag: boolean): boolean {
  return (high & L2_RESERVED_HIGH) !== 0 || (low & L2_RESERVED_LOW) !== 0 || (!zeroFlag && (low & ZERO) !== 0);
}

export function hasReservedRefcountTableBits(low: number): boolean {
  return (low & RESERVED_LOW) !== 0;
}

/**
 * Where compressed data lies. `byteLength` reaches from `offset` to the end of the last sector: the low `62 - (clusterBits - 8)`
 * bits are the offset, those above count the further sectors of 512 bytes.
 */
export function compressedData(high: number, low: number, clusterBits: number): { readonly offset: number; readonly byteLength: number } {
  const highUnits = 2 ** (62 - (clusterBits - 8) - 32);
  const descriptor = high & DESCRIPTOR_HIGH;
  const offset = (descriptor % highUnits) * HALF + low;
  const sectors = Math.floor(descriptor / highUnits) + 1;
  return { offset, byteLength: sectors * SECTOR - (offset % SECTOR) };
}

/** Whether the bit of `subcluster` (0 to 31) is set in one half of a subcluster bitmap. */
export function hasSubcluster(bits: number, subcluster: number): boolean {
  return ((bits >>> subcluster) & 1) === 1;
}

/** Whether a subcluster is both allocated and zeros, which the format rules out. */
export function haveCommonSubcluster(zeros: number, allocated: number): boolean {
  return (zeros & allocated) !== 0;
}

/** The high half of an entry with COPIED set, and without it. */
export function withCopied(high: number): number {
  return (high | COPIED) >>> 0;
}

export function withoutCopied(high: number): number {
  return (high & ~COPIED) >>> 0;
}
