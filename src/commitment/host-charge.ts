/**
 * What the host's filesystem charges on top of an image's own bytes: its map of the file, and the rounding of extent
 * size hints. Each is a component whose code begins with `host-`. Measured in docs/commitment.md.
 */
import { divideUp, GiB, KiB, roundDown, roundUp } from '#base';
import { type FileFacts, type FilesystemKind, type MapGeometry, storedBytes, type StorageMap, type StorageRules } from '#block';
import { type Component, component, sumOfComponents } from '#wire';
import { appendedTreeBlocks, extentTreeAtMost, extentTreeBlocks, indirectBlocks, xfsTreeBlocks } from './host-map.ts';

/** ext4: the longest written extent, in blocks. */
const EXT4_LONGEST_EXTENT = 32768;
/** Map blocks for what a small file's extents do: which ones join, and when, differs from run to run. */
const SPARE_MAP_BLOCKS = 5;
/** XFS: records in the inode itself, at the default inode size. */
const XFS_RECORDS_IN_INODE = 9;
/** XFS: nodes that one more extent can split, one on each level. */
const XFS_MAX_LEVELS = 6;

/** The future of a file as the host sees it. */
export interface Growth {
  /** Storage without the host's charges, when everything is written. */
  readonly storage: number;
  /** Longest the file can get. */
  readonly maxLength: number;
  /** Bytes of one separate piece of storage at the least: a qcow2 cluster, or a host block for raw. */
  readonly grain: number;
  /** A piece of `grain` is written whole as it comes up, and appended ones in order: the map of the file never cuts it. */
  readonly wholePieces?: boolean;
  /** Pieces of storage that can still come up at places of their own (not appended). */
  readonly scattered: number;
  /** The image cannot be written as it stands. */
  readonly isFixed?: boolean;
}

/** XFS: the longest extent, and so the largest speculative preallocation, is 2^21 - 1 blocks. */
const XFS_LONGEST_PREALLOCATION = 8 * GiB;

/** The host's charges on top of `growth.storage`. */
export function hostCharges(facts: FileFacts, growth: Growth): Component[] {
  const charges: Component[] = [];
  const mapped = facts.map === undefined ? undefined : storedBytes(facts.map);
  const beyondMap = mapped === undefined ? 0 : Math.max(0, facts.allocation - roundUp(mapped, 512));
  const now = facts.cowExtentSize > 0 ? Math.min(beyondMap, mostTreeBytes(facts)) : beyondMap;
  if (now > 0) charges.push(component('host-map', now, facts.filesystem));
  // XFS charges a copy before it frees the shared block that the copy replaces, and reclaims it before a write fails.
  const copies = Math.max(beyondMap - now, copyCharge(facts));
  if (copies > 0) charges.push(component('host-cow-preallocation', copies));
  const hint = hintCharge(facts, growth);
  if (hint > 0) charges.push(component('host-size-hint', hint, `${facts.extentSizeHint} bytes`));
  // Beside the blocks that it has: those can be nearly empty where much was punched out, and stay.
  const tree = mapCharge(facts, growth, beyondMap);
  if (tree > 0) charges.push(component('host-map-growth', tree, facts.filesystem));
  const speculative = speculativeCharge(facts, growth);
  if (speculative > 0) charges.push(component('host-speculative-preallocation', speculative));
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
const MAKING_BYTES: Readonly<Record<FilesystemKind, number>> = {
  ext2: 36 * KiB,
  ext3: 36 * KiB,
  ext4: 36 * KiB,
  xfs: 212 * KiB,
  btrfs: 0,
  tmpfs: 4 * KiB,
  other: 0,
};

/** What a filesystem charges at the most for a file that is not there yet, making it included. */
export function hostChargesOfNew(rules: StorageRules, file: NewFile): number {
  const charged = MAKING_BYTES[rules.filesystem] + chargesOfNew(rules, file);
  // A directory without extents does not decide what its new files have.
  if (rules.filesystem !== 'ext4' || rules.geometry?.indirect !== true) return charged;
  const extents = { ...rules, geometry: { ...rules.geometry, indirect: false } };
  return Math.max(charged, MAKING_BYTES[rules.filesystem] + chargesOfNew(extents, file));
}

function chargesOfNew(rules: StorageRules, file: NewFile): number {
  const { stored, unwritten, growth, extentSizeHint } = file;
  const map: StorageMap = [
    { fileOffset: 0, byteLength: unwritten, physicalOffset: undefined, unwritten: true, shared: false, encoded: false },
    { fileOffset: unwritten, byteLength: stored - unwritten, physicalOffset: undefined, unwritten: false, shared: false, encoded: false },
  ].filter(({ byteLength }) => byteLength > 0);
  const facts: FileFacts = {
    identity: '',
    length: 0,
    allocation: stored,
    ...rules,
    map,
    extentSizeHint,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
  return sumOfComponents(hostCharges(facts, growth));
}

/**
 * XFS takes storage ahead of a file that grows, up to the file's own size, unless it carries an extent size hint, if only of
 * one block; it stays for a while after the file is closed, and for ever in a file with preallocation, which QEMU
 * creates when it writes a part of a cluster. A file that does not grow gets none past its end.
 */
function speculativeCharge(facts: FileFacts, growth: Growth): number {
  if (facts.filesystem !== 'xfs' || growth.maxLength <= facts.length) return 0;
  const { stripe, fixedPreallocation } = geometryOf(facts);
  // The end of a growing file is rounded up to the stripe, with a hint too.
  if (facts.extentSizeHint > 0) return stripe;
  return stripe + (fixedPreallocation || Math.min(XFS_LONGEST_PREALLOCATION, 2 ** Math.floor(Math.log2(growth.maxLength))));
}

/**
 * A write to a shared block goes to a copy, for which XFS takes storage in whole steps; st_blocks counts it beside the old
 * blocks until they are replaced. At the worst every step that holds a shared block is begun and none finished.
 */
function copyCharge(facts: FileFacts): number {
  if (facts.cowExtentSize === 0) return 0;
  return chunkBytes(
    (facts.map ?? []).filter((range) => range.shared),
    facts.cowExtentSize,
  );
}

/** No more than this can be XFS's map of the file as it stands. */
function mostTreeBytes(facts: FileFacts): number {
  const extents = facts.map?.length ?? 0;
  if (extents <= XFS_RECORDS_IN_INODE) return 0;
  return (xfsTreeBlocks(extents, geometryOf(facts).blockSize) + SPARE_MAP_BLOCKS) * facts.fsBlockSize;
}

/** How the filesystem maps the file, from what is known of it. */
function geometryOf({ geometry, fsBlockSize, filesystem }: FileFacts): MapGeometry {
  const indirect = filesystem === 'ext2' || filesystem === 'ext3';
  return geometry ?? { blockSize: fsBlockSize, indirect, stripe: 0, fixedPreallocation: 0 };
}

/**
 * Blocks of the file's map that may still be needed, beside those that it has now; nothing where nothing is written that could
 * change it. `beyondMap`: bytes that the file has beside its data.
 *
 * Every block that is still to be written can come up as an extent of its own: free space may lie scattered, guests write parts
 * of clusters, and a written part of unwritten storage is an extent between two others.
 */
function mapCharge(facts: FileFacts, growth: Growth, beyondMap: number): number {
  const { filesystem, fsBlockSize } = facts;
  if (!MAPPED.has(filesystem)) return 0;
  const { blockSize, indirect } = geometryOf(facts);
  const toWrite = bytesToWrite(facts, growth);
  if (toWrite === 0) return 0;
  if (indirect) {
    const end = Math.max(growth.maxLength, storedEnd(facts));
    // One block beside the data can hold extended attributes.
    const present = Math.max(0, Math.floor(beyondMap / fsBlockSize) - 1);
    return Math.max(0, indirectBlocks(divideUp(end, blockSize), blockSize) - present) * fsBlockSize;
  }
  const longest = divideUp(growth.maxLength, EXT4_LONGEST_EXTENT * blockSize);
  const extents = (facts.map?.length ?? divideUp(facts.allocation, blockSize)) + 2 * longest;
  const pieces = piecesOf(facts, growth, toWrite);
  const blocks =
    filesystem === 'xfs'
      ? Math.min(xfsTreeBlocks(extents + pieces, blockSize), XFS_MAX_LEVELS * pieces)
      : extentTreeBlocks(extents, pieces, blockSize);
  return (blocks + SPARE_MAP_BLOCKS) * fsBlockSize;
}

/**
 * Bytes by which the filesystem's map of the file can exceed the components of its commitment, in any order of writes, zero
 * writes and discards; every block of the file can then be an extent of its own, allocated blocks included.
 */
export function mapExcess(facts: FileFacts, growth: Growth, components: readonly Component[]): number {
  if (growth.isFixed === true) return 0;
  const counted = sumOfComponents(components, 'host-map', 'host-map-growth');
  return Math.max(0, mapAtMost(facts, growth, sumOfComponents(components) - counted) - counted);
}

function mapAtMost(facts: FileFacts, growth: Growth, data: number): number {
  if (geometryOf(facts).indirect) return 0;
  const { blockSize } = geometryOf(facts);
  const changed = storedBytes((facts.map ?? []).filter(({ unwritten }) => unwritten));
  const isAppended = growth.wholePieces === true && growth.scattered === 0 && facts.map !== undefined && changed === 0;
  if (facts.filesystem !== 'ext4' || !isAppended) return mapBytesAtMost(facts, data, 1);
  const present = facts.map?.length ?? 0;
  const added = divideUp(Math.max(0, data - storedBytes(facts.map ?? [])), blockSize);
  return (extentTreeAtMost(present, blockSize) + appendedTreeBlocks(added, blockSize) + SPARE_MAP_BLOCKS) * facts.fsBlockSize;
}

/**
 * What the filesystem's maps of `files` files that come to hold `data` bytes together can take, whatever is written, zeroed and
 * discarded. 0 where order makes no difference, or the map takes none of the storage of a file.
 */
export function mapBytesAtMost({ filesystem, fsBlockSize, geometry }: StorageRules, data: number, files: number): number {
  const blockSize = geometry?.blockSize ?? fsBlockSize;
  const extents = divideUp(data, blockSize);
  if (extents === 0 || files === 0) return 0;
  // Two more for a file: its extended attributes, and the node that makes a tree too deep, which stays.
  if (filesystem === 'ext4') return (extentTreeAtMost(extents, blockSize, files) + 2 * files) * fsBlockSize;
  if (filesystem === 'xfs') return (xfsTreeBlocks(extents, blockSize) + files * XFS_MAX_LEVELS) * fsBlockSize;
  return 0;
}

const MAPPED: ReadonlySet<FilesystemKind> = new Set(['ext2', 'ext3', 'ext4', 'xfs']);

/** Bytes whose writing can change the map: new storage, unwritten storage, copies of shared blocks. */
function bytesToWrite(facts: FileFacts, growth: Growth): number {
  const stored = facts.map === undefined ? facts.allocation : storedBytes(facts.map);
  // A unit of several blocks has storage as soon as one of them is written; the others come into the map later.
  if (geometryOf(facts).blockSize < facts.fsBlockSize) return Math.max(growth.storage, stored);
  const changed = storedBytes((facts.map ?? []).filter(({ unwritten, shared }) => unwritten || shared));
  return Math.max(0, growth.storage - stored) + Math.max(changed, facts.map === undefined ? growth.scattered : 0);
}

function piecesOf(facts: FileFacts, growth: Growth, toWrite: number): number {
  const { blockSize } = geometryOf(facts);
  if (growth.wholePieces !== true) return divideUp(toWrite, blockSize);
  const stored = facts.map === undefined ? facts.allocation : storedBytes(facts.map);
  const fresh = Math.min(toWrite, Math.max(0, growth.storage - stored));
  return divideUp(fresh, Math.max(growth.grain, blockSize)) + divideUp(toWrite - fresh, blockSize);
}

function storedEnd({ map }: FileFacts): number {
  const last = map?.at(-1);
  return last === undefined ? 0 : last.fileOffset + last.byteLength;
}

/**
 * With an extent size hint every island of data is rounded up to it: chunks that can be touched, less what is counted.
 * An island next to storage that is there already is shifted, not cut, so that steps need not start at multiples of the
 * hint, and the last one can end nearly two hints behind the file's end.
 */
function hintCharge(facts: FileFacts, growth: Growth): number {
  const hint = facts.extentSizeHint;
  if (hint <= facts.fsBlockSize) return 0;
  // One hint for the end of the file, one that a write reserves in free space and does not keep: without it XFS fails the write.
  const whole = Math.max(storedEnd(facts), roundUp(growth.maxLength, hint) + 2 * hint);
  const stored = facts.map === undefined ? 0 : storedBytes(facts.map);
  if (growth.storage <= stored && growth.scattered === 0) return 0;
  const touched =
    facts.map === undefined
      ? whole
      : chunkBytes(facts.map, hint) + roundUp(Math.max(0, growth.storage - stored), hint) + scatteredRounding(growth, hint) + 3 * hint;
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
