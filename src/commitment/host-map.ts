/**
 * How many blocks a filesystem can need to record where a file's data lies: ext4's extent tree, the indirect blocks of ext2
 * and ext3, XFS's B+tree. Counts of blocks in, counts of blocks out. Derivation and measurements: docs/commitment.md.
 *
 * Sources: Linux fs/ext4/ext4_extents.h and extents.c (ext4_ext_split: a full node is cut at the place of the insertion, nodes
 * are never joined), fs/ext4/indirect.c, fs/xfs/libxfs/xfs_btree.c (nodes are cut in half and joined below half).
 */
import { divideUp } from '#base';

/** struct ext4_extent_header, struct ext4_extent: 12 bytes each; the checksum fits into what is left over. */
const EXT4_RECORD_BYTES = 12;
/** Levels of an ext4 extent tree below the inode at the most: EXT4_MAX_EXTENT_DEPTH. */
const EXT4_MAX_DEPTH = 5;
/** Entries of an extent tree in the inode itself. */
const EXT4_ROOT_ENTRIES = 4;
/** Margin on the extent tree of an order made of sweeps, see `extentTreeBlocks`. */
const SWEEP_MARGIN = 1.25;
/** Blocks of a file that the inode of ext2, ext3 and ext4 points at directly. */
const DIRECT_BLOCKS = 12;
const POINTER_BYTES = 4;
/** XFS: struct xfs_btree_lblock with a checksum; version 4 filesystems have a shorter one. */
const XFS_HEADER_BYTES = 72;
/** XFS: a record is 16 bytes, and so are a key and a pointer together. */
const XFS_RECORD_BYTES = 16;

/** Extents in one block of `blockSize` bytes: 84, 169 or 340 for 1, 2 and 4 KiB. */
export function extentsPerBlock(blockSize: number): number {
  return Math.floor((blockSize - EXT4_RECORD_BYTES) / EXT4_RECORD_BYTES);
}

/** Records in one block of XFS's extent map: 59, 123 or 251 for 1, 2 and 4 KiB. */
export function xfsRecordsPerBlock(blockSize: number): number {
  return Math.floor((blockSize - XFS_HEADER_BYTES) / XFS_RECORD_BYTES);
}

/**
 * Blocks that ext4's extent tree can grow by when `pieces` extents come up one by one in a file of `extents`, in an order made
 * of sweeps: ascending, descending or random passes with any stride, of any number, also through several openings.
 *
 * A full node of n entries is cut where the new entry goes. A sweep that puts one extent into each gap of full nodes leaves
 * 2, 4, 8, ... entries behind, so ceil(log2 n) + 1 nodes hold 2 n entries (n = 340: 10 nodes of 68 on average; measured 68 to
 * 76). An order that is made to cut each time reaches one node for each piece: no useful bound, a finding of its own.
 */
export function extentTreeBlocks(extents: number, pieces: number, blockSize: number): number {
  if (pieces === 0) return 0;
  const capacity = extentsPerBlock(blockSize);
  const nodesOfSweep = Math.ceil(Math.log2(capacity)) + 1;
  let total = 0;
  let present = extents;
  let coming = pieces;
  for (let level = 0; level < EXT4_MAX_DEPTH && coming > 0; level += 1) {
    const nodes = Math.min((present + coming * nodesOfSweep) / capacity, ((present + coming) * nodesOfSweep) / (2 * capacity));
    const made = Math.min(coming, Math.ceil(SWEEP_MARGIN * nodes));
    total += made;
    if (made <= 1) break;
    present = divideUp(present, capacity);
    coming = made;
  }
  return total;
}

/**
 * Blocks of the extent trees of `files` files on ext4 at the most, with `extents` extents in all of them, whatever was written,
 * zeroed and discarded before, in any order.
 *
 * A node is freed when its last entry goes, so no level has more nodes than there are extents. The root has 4 entries and a tree
 * at most 5 levels below it (the kernel rejects a deeper one: ext4_find_extent), so a level holds at most 4, 4 n, 4 n^2, ...
 * nodes from the top, with n entries in a node.
 */
export function extentTreeAtMost(extents: number, blockSize: number, files = 1): number {
  let total = 0;
  let level = files * EXT4_ROOT_ENTRIES;
  for (let depth = 0; depth < EXT4_MAX_DEPTH; depth += 1) {
    total += Math.min(extents, level);
    level *= extentsPerBlock(blockSize);
  }
  return total;
}

/** Blocks of an extent tree to which extents are added at the end only: full nodes. */
export function appendedTreeBlocks(extents: number, blockSize: number): number {
  let total = 0;
  for (let nodes = extents; nodes > EXT4_ROOT_ENTRIES; ) {
    nodes = divideUp(nodes, extentsPerBlock(blockSize));
    total += nodes;
  }
  return total;
}

/** Blocks of XFS's extent map at the most with so many extents, in any order: every node but the root is half full or more. */
export function xfsTreeBlocks(extents: number, blockSize: number): number {
  const least = Math.floor(xfsRecordsPerBlock(blockSize) / 2);
  let total = 0;
  for (let nodes = divideUp(extents, least); ; nodes = divideUp(nodes, least)) {
    total += nodes;
    if (nodes <= 1) return total;
  }
}

/** Indirect blocks of a file whose first `blocks` blocks all have storage: its place in the file decides, no order does. */
export function indirectBlocks(blocks: number, blockSize: number): number {
  const pointers = blockSize / POINTER_BYTES;
  let total = 0;
  let behind = blocks - DIRECT_BLOCKS;
  for (let level = 1, reach = pointers; level <= 3 && behind > 0; level += 1, reach *= pointers) {
    const inLevel = Math.min(behind, reach);
    for (let span = pointers; span <= reach; span *= pointers) total += divideUp(inLevel, span);
    behind -= inLevel;
  }
  return total;
}
