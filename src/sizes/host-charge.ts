/**
 * What the host's filesystem charges on top of an image's own bytes: its map of the file, and the rounding of extent
 * size hints. Each is an addend whose name starts with "host: ". Measured in docs/commitment.md.
 */
import { divideUp, GiB, KiB, roundDown, roundUp } from '#base';
import { type FileFacts, type FilesystemKind, storedBytes, type StorageMap } from '#block';
import type { Addend } from '#wire';

/** ext4: extents in one 4 KiB tree block (12 bytes of header and tail, 12 an extent). */
const EXT4_EXTENTS_PER_BLOCK = 340;
/** ext4: extents in the inode itself. */
const EXT4_EXTENTS_IN_INODE = 4;
/** ext4: the longest written extent, in blocks. */
const EXT4_LONGEST_EXTENT = 32768;
/** Tree blocks for what a small file's extents do: which ones join, and when, differs from run to run. */
const SPARE_TREE_BLOCKS = 5;
/** XFS: records in one 4 KiB block of the extent map's B+tree. */
const XFS_RECORDS_PER_BLOCK = 250;
/** XFS: records in the inode itself, at the default inode size. */
const XFS_RECORDS_IN_INODE = 9;

/** The future of a file as the host sees it. */
export interface Growth {
  /** Storage without the host's charges, when everything is written. */
  readonly storage: number;
  /** Longest the file can get. */
  readonly maxLength: number;
  /** Bytes of one separate piece of data at the least: a qcow2 cluster, or a host block for raw. */
  readonly grain: number;
  /** Pieces of storage that can still come up at places of their own (not appended). */
  readonly scattered: number;
}

/** XFS: the longest extent, and so the largest speculative preallocation, is 2^21 - 1 blocks. */
const XFS_LONGEST_PREALLOCATION = 8 * GiB;
const SPECULATIVE = 'host: XFS speculative preallocation';

/**
 * What XFS has taken for copies of shared blocks, and gives back before it lets a write fail: such a copy is charged before the
 * block that it replaces is given up.
 */
export const COPIES = 'host: XFS copies of shared blocks ahead of writes, given back in time';

/** The host's charges on top of `growth.storage`. */
export function hostCharges(facts: FileFacts, growth: Growth): Addend[] {
  const charges: Addend[] = [];
  const mapped = facts.map === undefined ? undefined : storedBytes(facts.map);
  const beyondMap = mapped === undefined ? 0 : Math.max(0, facts.allocation - roundUp(mapped, 512));
  const now = facts.copyStep > 0 ? Math.min(beyondMap, mostTreeBytes(facts)) : beyondMap;
  if (now > 0) charges.push({ name: `host: ${facts.filesystem}'s own map of the file, now`, bytes: now });
  const copies = Math.max(beyondMap - now, copyCharge(facts));
  if (copies > 0) charges.push({ name: COPIES, bytes: copies });
  const hint = hintCharge(facts, growth);
  if (hint > 0) charges.push({ name: `host: extent size hint of ${facts.extentSizeHint} bytes`, bytes: hint });
  // Beside the blocks that it has: those can be nearly empty where much was punched out, and stay.
  const tree = treeCharge(facts, growth);
  if (tree > 0) charges.push({ name: `host: ${facts.filesystem}'s own map of the file, to come`, bytes: tree });
  const speculative = speculativeCharge(facts, growth);
  if (speculative > 0) charges.push({ name: SPECULATIVE, bytes: speculative });
  return charges;
}

/** A file that is to be made. Units: bytes. */
export interface NewFile {
  /** Stored when it is made, and how much of that is preallocated and not written. */
  readonly stored: number;
  readonly unwritten: number;
  readonly growth: Growth;
  /** XFS: the hint that it will get; 0 for none. */
  readonly extentSizeHint: number;
}

/**
 * What the making itself takes, at the most: a block of inodes (XFS: 64 of up to 2 KiB), blocks of the directory and of the
 * filesystem's indexes; and a few of the file's map, since its storage may come to lie in more pieces than are known.
 */
const MAKING_BYTES = { ext4: 36 * KiB, xfs: 212 * KiB, btrfs: 0, tmpfs: 4 * KiB, other: 0 } as const;

/** What a filesystem of that type, as the kernel spells it, charges at the most for a file that is not there yet, making it included. */
export function hostChargesOfNew(type: string, hostBlock: number, file: NewFile): number {
  const filesystem: FilesystemKind = type === 'ext4' || type === 'xfs' || type === 'btrfs' || type === 'tmpfs' ? type : 'other';
  const { stored, unwritten, growth, extentSizeHint } = file;
  const map: StorageMap = [
    { fileOffset: 0, byteLength: unwritten, physicalOffset: undefined, unwritten: true, shared: false, encoded: false },
    { fileOffset: unwritten, byteLength: stored - unwritten, physicalOffset: undefined, unwritten: false, shared: false, encoded: false },
  ].filter(({ byteLength }) => byteLength > 0);
  const facts: FileFacts = {
    identity: '',
    length: 0,
    allocation: stored,
    filesystem,
    hostBlock,
    map,
    extentSizeHint,
    copyStep: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
  return hostCharges(facts, growth).reduce((sum, { bytes }) => sum + bytes, MAKING_BYTES[filesystem]);
}

/**
 * XFS takes storage ahead of a file that grows, up to the file's own size, unless it carries an extent size hint, if only of
 * one block; it stays for a while after the file is closed, and for ever if somebody preallocated in the file, which QEMU
 * does when it writes a part of a cluster. A file that does not grow gets none behind its end.
 */
function speculativeCharge(facts: FileFacts, growth: Growth): number {
  if (facts.filesystem !== 'xfs' || facts.extentSizeHint > 0 || growth.maxLength <= facts.length) return 0;
  return Math.min(XFS_LONGEST_PREALLOCATION, 2 ** Math.floor(Math.log2(growth.maxLength)));
}

/**
 * A write to a shared block goes to a copy, for which XFS takes storage in whole steps; st_blocks counts it beside the old
 * blocks until they are replaced. At the worst every step that holds a shared block is begun and none finished.
 */
function copyCharge(facts: FileFacts): number {
  if (facts.copyStep === 0) return 0;
  return chunkBytes(
    (facts.map ?? []).filter((range) => range.shared),
    facts.copyStep,
  );
}

/** No more than this can be XFS's map of the file as it stands: every block of the tree half full, and those above. */
function mostTreeBytes(facts: FileFacts): number {
  const extents = facts.map?.length ?? 0;
  if (extents <= XFS_RECORDS_IN_INODE) return 0;
  const leaves = divideUp(2 * extents, XFS_RECORDS_PER_BLOCK) + SPARE_TREE_BLOCKS;
  return (leaves + divideUp(2 * leaves, XFS_RECORDS_PER_BLOCK)) * facts.hostBlock;
}

/**
 * Blocks of the extent map that more extents may need; nothing where nothing more is written.
 *
 * Pieces written at places of their own come up one by one: at the worst every second one first, each an extent, in
 * tree blocks that were split in half; later pieces join them, but ext4 keeps the blocks. Measured so with 4 KiB direct
 * writes, every second block first (+0.296 %). Written parts of unwritten preallocation split its extents likewise.
 */
function treeCharge(facts: FileFacts, growth: Growth): number {
  if (facts.filesystem !== 'ext4' && facts.filesystem !== 'xfs') return 0;
  const isExt4 = facts.filesystem === 'ext4';
  const stored = facts.map === undefined ? facts.allocation : storedBytes(facts.map);
  const scattered = growth.scattered + unwrittenBytes(facts);
  if (growth.storage <= stored && scattered === 0) return 0;
  const grain = Math.max(growth.grain, facts.hostBlock, facts.extentSizeHint);
  const longest = divideUp(growth.maxLength, EXT4_LONGEST_EXTENT * facts.hostBlock);
  const extents = (facts.map?.length ?? 0) + divideUp(divideUp(scattered, grain), 2) + 2 * longest;
  if (extents <= (isExt4 ? EXT4_EXTENTS_IN_INODE : XFS_RECORDS_IN_INODE)) return SPARE_TREE_BLOCKS * facts.hostBlock;
  const perBlock = isExt4 ? EXT4_EXTENTS_PER_BLOCK : XFS_RECORDS_PER_BLOCK;
  const leaves = 2 * divideUp(extents, perBlock);
  return (leaves + divideUp(2 * leaves, perBlock) + SPARE_TREE_BLOCKS) * facts.hostBlock;
}

function unwrittenBytes(facts: FileFacts): number {
  return storedBytes((facts.map ?? []).filter((range) => range.unwritten));
}

/**
 * With an extent size hint every island of data is rounded up to it: chunks that can be touched, less what is counted.
 * An island next to storage that is there already is shifted, not cut, so that steps need not start at multiples of the
 * hint, and the last one can end nearly two hints behind the file's end.
 */
function hintCharge(facts: FileFacts, growth: Growth): number {
  const hint = facts.extentSizeHint;
  if (hint <= facts.hostBlock) return 0;
  const last = facts.map?.at(-1);
  const storedEnd = last === undefined ? 0 : last.fileOffset + last.byteLength;
  const whole = Math.max(storedEnd, roundUp(growth.maxLength, hint) + hint);
  const stored = facts.map === undefined ? 0 : storedBytes(facts.map);
  if (growth.storage <= stored && growth.scattered === 0) return 0;
  const touched =
    facts.map === undefined
      ? whole
      : chunkBytes(facts.map, hint) + roundUp(Math.max(0, growth.storage - stored), hint) + scatteredRounding(growth, hint) + 2 * hint;
  return Math.max(0, Math.min(whole, touched) - growth.storage);
}

function scatteredRounding(growth: Growth, hint: number): number {
  return growth.scattered === 0 ? hint : divideUp(growth.scattered, growth.grain) * hint;
}

/** Bytes of the chunks of `size` bytes that any of the ranges touches. */
function chunkBytes(ranges: StorageMap, size: number): number {
  let total = 0;
  let counted = 0;
  for (const { fileOffset, byteLength } of ranges) {
    const start = Math.max(counted, roundDown(fileOffset, size));
    const end = roundUp(fileOffset + byteLength, size);
    if (end > start) {
      total += end - start;
      counted = end;
    }
  }
  return total;
}
