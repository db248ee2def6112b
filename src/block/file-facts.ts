/** What the host knows of an open file without reading it: the other half of the figures, beside the image's own bytes. */
import { type StorageMap, storedBytes } from './storage-map.ts';

/** The filesystems whose charging rules are known; anything else is `other`. */
export type FilesystemKind = 'ext2' | 'ext3' | 'ext4' | 'xfs' | 'btrfs' | 'tmpfs' | 'other';

/** What keeps a file from being opened for writing. */
export type WriteProtection = 'superblock' | 'subvolume' | 'immutable';

/** How a filesystem records which blocks belong to a file, as far as its charges follow from that. Units: bytes. */
export interface MapGeometry {
  /**
   * The filesystem's own block: one node of an extent tree or one indirect block. The unit of allocation can be larger (ext4
   * bigalloc); a node then takes a whole unit.
   */
  readonly blockSize: number;
  /** ext2, ext3, and ext4 files without the extents flag: indirect blocks instead of an extent tree. */
  readonly indirect: boolean;
  /** XFS: the end of a growing file is rounded up to this (stripe unit or width); 0 for no stripes. */
  readonly stripe: number;
  /** XFS: speculative preallocation of a fixed size (mount option allocsize); 0 where it follows the file's size. */
  readonly fixedPreallocation: number;
}

/** By what rules a filesystem gives storage to a file. */
export interface StorageRules {
  readonly filesystem: FilesystemKind;
  /**
   * Unit of allocation in bytes, a power of two: the filesystem's block size (512 to 65536), an ext4 bigalloc cluster, a huge
   * page on tmpfs. An upper bound where the filesystem does not report it.
   */
  readonly fsBlockSize: number;
  /** Left out: nodes of one `fsBlockSize`, extents unless the filesystem has none, no stripes. */
  readonly geometry?: MapGeometry | undefined;
}

export interface FileFacts extends StorageRules {
  /** Device and inode number, `dev:ino`: the identity of the file. */
  readonly identity: string;
  /** st_size. */
  readonly length: number;
  /** st_blocks × 512. */
  readonly allocation: number;
  /** Runs with storage; undefined where the filesystem cannot tell (then figures rest on `allocation` alone). */
  readonly map: StorageMap | undefined;
  /**
   * Without a map: runs that are known to have storage, since they were written; the rest of the allocation lies anywhere
   * else (tmpfs with preallocation). undefined when not even that is known.
   */
  readonly written?: StorageMap | undefined;
  /** XFS: bytes by which each island of data is rounded up (FS_IOC_FSGETXATTR); 0 when there is no hint. */
  readonly extentSizeHint: number;
  /** XFS with reflinks: bytes in whose steps it takes storage for the copies of shared blocks; 0 elsewhere. */
  readonly cowExtentSize: number;
  /** btrfs: the file is marked NOCOW (FS_NOCOW_FL); undefined elsewhere or if the query failed. */
  readonly noCow: boolean | undefined;
  /** A process holds QEMU's write permission lock on it; undefined if the query failed. */
  readonly openForWriting: boolean | undefined;
  /** Maximum length of the file in bytes; absent if that is 2^53 or more, or not queried. */
  readonly largestFile?: number | undefined;
  /** A mark that prevents the file from being opened for writing; absent without one. */
  readonly protection?: WriteProtection | undefined;
  /** Which limits of the filesystem cover the file (`subvolume 257`, `user 1000`); left out where it was not asked. */
  readonly domains?: readonly string[];
  /** The permission bits of its mode, `0o644`; left out where they were not asked. */
  readonly permissions?: number;
}

/**
 * The facts of a file that does not exist yet, with storage in the ranges of `map`, on a filesystem that gives storage in blocks of
 * `fsBlockSize` bytes and charges nothing for its own map of the file. Units: bytes.
 */
export function newFileFacts(length: number, map: StorageMap, fsBlockSize: number): FileFacts {
  return {
    identity: '',
    filesystem: 'other',
    fsBlockSize,
    length,
    allocation: storedBytes(map),
    map,
    extentSizeHint: 0,
    cowExtentSize: 0,
    noCow: undefined,
    openForWriting: undefined,
  };
}
