/**
 * Space for the metadata of btrfs: NOCOW data needs extent items too, and a write fails if they do not fit, however much
 * space is available for data. Metadata has its own chunks; statfs counts unallocated space as available for data, which
 * can use all of it first. From /sys/fs/btrfs/UUID/allocation, which is world-readable.
 *
 * Sources: Linux fs/btrfs/sysfs.c (space_info attributes), fs/btrfs/volumes.c (chunk sizes), fs/btrfs/ctree.h (item sizes).
 */
import { divideUp, formatBytes, GiB, KiB, MiB } from '#base';
import type { StorageCaveat, StorageLimit } from '#block';
import type { SystemTree } from './system-tree.ts';

/** Units: bytes. */
export interface BtrfsRoom {
  /** The filesystem's size and available space, as statfs reports them. */
  readonly size: number;
  readonly available: number;
}

/** The smallest piece of data that has an extent of its own. */
const SECTOR = 4 * KiB;
/**
 * Metadata for one more extent: a file extent item and an extent item of 25 + 53 bytes each, in leaves half full. Measured with
 * 4 KiB writes in random order into a sparse NOCOW image: 171 bytes.
 */
const ITEMS_PER_SECTOR = 320;
const SHARE = ITEMS_PER_SECTOR / SECTOR;
/**
 * A write in progress reserves more than it takes, even an overwrite. Measured: with 2 MiB free and no space for a further
 * chunk, an overwrite of a preallocated NOCOW image fails.
 */
const RESERVE = 16 * MiB;
const LARGEST_DATA_CHUNK = 10 * GiB;
/** A filesystem of more than 50 GiB has metadata chunks of 1 GiB, a smaller one of 256 MiB; none is above a tenth of its size. */
const LARGE_FILESYSTEM = 50 * GiB;
const CHUNK_SHARE = 1 / 10;

/** Maximum bytes that can be written before metadata runs out of space. `directory`: from `btrfsDirectory`. */
export function btrfsMetadata(
  tree: SystemTree,
  directory: string | undefined,
  room: BtrfsRoom,
): { readonly caveats: readonly StorageCaveat[]; readonly limits: readonly StorageLimit[] } {
  if (directory === undefined) return { caveats: [], limits: [] };
  const allocation = `${directory}/allocation`;
  if (tree.namesIfThere(`${allocation}/mixed`) !== undefined)
    return { caveats: room.available < RESERVE ? [shortCaveat(room.available)] : [], limits: [mixedLimit(room)] };
  const free = freeMetadata(tree, allocation);
  if (free === undefined) return { caveats: [], limits: [] };
  const withNew = withNewChunks(tree, directory, free, room);
  const remaining = Math.max(withoutNewChunk(free), withNew);
  return {
    caveats: free < RESERVE && withNew <= 0 ? [shortCaveat(free)] : [],
    limits: remaining < room.available ? [chunkLimit(free, remaining)] : [],
  };
}

function chunkLimit(free: number, remaining: number): StorageLimit {
  return limit(
    remaining,
    `btrfs has room for ${formatBytes(free)} of metadata in its chunks, and data can use the space for further chunks first: metadata is certain to have room for ${formatBytes(remaining)} of data in small extents.`,
  );
}

function shortCaveat(free: number): StorageCaveat {
  return {
    level: 'warning',
    code: 'BTRFS_METADATA_SHORT',
    message: `btrfs has ${formatBytes(free)} left for metadata, and it is not certain to get more: a write can fail, even an overwrite.`,
    coveredBy: 'backed',
  };
}

/** Data and metadata share all chunks. */
function mixedLimit({ available }: BtrfsRoom): StorageLimit {
  const remaining = Math.max(0, Math.floor((available - RESERVE) / (1 + SHARE)));
  return limit(
    remaining,
    `Data and metadata of this btrfs share their block groups: ${formatBytes(available - remaining)} of the available space are reserved for metadata.`,
  );
}

/** Bytes of metadata that the existing chunks can still take, without the reserve of the filesystem. */
function freeMetadata(tree: SystemTree, allocation: string): number | undefined {
  const of = (file: string): number => tree.number(`${allocation}/metadata/${file}`) ?? 0;
  const total = tree.number(`${allocation}/metadata/total_bytes`);
  if (total === undefined) return undefined;
  const taken = ['bytes_used', 'bytes_pinned', 'bytes_reserved', 'bytes_readonly'].reduce((sum, file) => sum + of(file), 0);
  const reserved = Math.max(of('bytes_may_use'), tree.number(`${allocation}/global_rsv_size`) ?? 0);
  return Math.max(0, total - taken - reserved);
}

function withoutNewChunk(free: number): number {
  return Math.floor(free / SHARE);
}

/** New metadata chunks are guaranteed only the space that remains beside every chunk that data can take. */
function withNewChunks(tree: SystemTree, directory: string, free: number, { size, available }: BtrfsRoom): number {
  const devices = Math.max(1, tree.names(`${directory}/devices`).length);
  const largest = Math.ceil(size * CHUNK_SHARE);
  const dataChunk = Math.min(LARGEST_DATA_CHUNK, devices * GiB, devices * largest);
  const metadataChunk = Math.min(size > LARGE_FILESYSTEM ? GiB : 256 * MiB, largest);
  const chunks = divideUp(Math.max(0, Math.ceil(available * SHARE) - free), metadataChunk);
  return available - dataChunk - Math.ceil(chunks * metadataChunk * copiesOfMetadata(tree, `${directory}/allocation`));
}

/** Space on the device per byte of metadata: 2 for DUP and RAID1. */
function copiesOfMetadata(tree: SystemTree, allocation: string): number {
  const total = tree.number(`${allocation}/metadata/total_bytes`) ?? 0;
  const onDisk = tree.number(`${allocation}/metadata/disk_total`) ?? 0;
  return total > 0 && onDisk > total ? onDisk / total : 1;
}

function limit(remaining: number, message: string): StorageLimit {
  return { level: 'warning', code: 'BTRFS_METADATA_LIMIT', domain: null, remaining, message };
}
