/**
 * The allocation rules of a filesystem: its allocation unit and its mapping of a file, as far as an unprivileged process
 * can determine them. Where the unit is not reported (ext4 bigalloc) it is an upper bound.
 *
 * Sources: Linux fs/ext4/super.c (ext4_statfs), fs/ext4/inode.c (i_blocks by clusters); Documentation/filesystems/tmpfs.rst;
 * Documentation/admin-guide/xfs.rst.
 */
import { type BigIntStats, fstatSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { isPowerOfTwo, MiB } from '#base';
import type { FilesystemKind, MapGeometry } from '#block';
import type { Ffi } from './ffi.ts';
import { hasExtents, type XfsGeometry } from './ioctls.ts';
import type { Mount } from './mounts.ts';

const BYTES_PER_STAT_BLOCK = 512n;
/** EXT2_MAX_CLUSTER_LOG_SIZE. */
const LARGEST_CLUSTER = 512 * MiB;
/** Files examined in the top directory of the mount if the first ones leave the cluster size open. */
const MORE_WITNESSES = 64;
const HUGE_PAGES = '/sys/kernel/mm/transparent_hugepage';
const SIZE_SUFFIXES: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };

export interface Examined {
  readonly ffi: Ffi | undefined;
  /** An open file or directory on the filesystem. */
  readonly fd: number;
  readonly kind: FilesystemKind;
  readonly mount: Mount | undefined;
  /** The filesystem's own block (f_bsize) and how many are free (f_bfree). */
  readonly blockSize: number;
  readonly freeBlocks: number;
  /** XFS only. */
  readonly xfs: XfsGeometry | undefined;
}

/** The unit of allocation and the geometry of the map; `indirect` is that of the open file or directory. */
export function readStorageRules(examined: Examined): { readonly fsBlockSize: number; readonly geometry: MapGeometry } {
  const { kind, blockSize, mount, xfs } = examined;
  const geometry = { blockSize, indirect: isIndirect(examined), stripe: xfs?.stripe ?? 0, fixedPreallocation: allocsizeOf(mount) };
  if (kind === 'ext4') return { fsBlockSize: largestCluster(examined), geometry };
  if (kind === 'tmpfs') return { fsBlockSize: Math.max(blockSize, hugePageOf(mount?.superOptions ?? [])), geometry };
  return { fsBlockSize: blockSize, geometry };
}

/** Whether the file has indirect blocks in place of an extent tree. */
export function isIndirect({ ffi, fd, kind }: Pick<Examined, 'ffi' | 'fd' | 'kind'>): boolean {
  if (kind === 'ext2' || kind === 'ext3') return true;
  return kind === 'ext4' && ffi !== undefined && hasExtents(ffi, fd) === false;
}

/**
 * The largest cluster that an ext4 filesystem can have: it divides the free space and the storage of every file. One directory
 * of a single block, as the top of most filesystems is, shows that there are no clusters.
 */
function largestCluster({ fd, mount, blockSize, freeBlocks }: Examined): number {
  const own = fstatSync(fd, { bigint: true });
  let cluster = dividing(LARGEST_CLUSTER, freeBlocks * blockSize);
  const witness = (stats: BigIntStats | undefined): void => {
    if (stats === undefined || stats.dev !== own.dev) return;
    const bytes = Number(stats.blocks * BYTES_PER_STAT_BLOCK);
    // Inline data is reported in sectors.
    if (bytes % blockSize === 0) cluster = dividing(cluster, bytes);
  };
  witness(own);
  const top = mount?.mountPoint;
  if (cluster > blockSize && top !== undefined) witness(statsOf(top));
  if (cluster > blockSize && top !== undefined) for (const name of namesIn(top)) witness(statsOf(`${top}/${name}`));
  return Math.max(blockSize, cluster);
}

/** The largest power of two up to `most` that divides `bytes`; 0 bytes divide by all. */
function dividing(most: number, bytes: number): number {
  let unit = most;
  while (unit > 1 && bytes % unit !== 0) unit /= 2;
  return unit;
}

function statsOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).slice(0, MORE_WITNESSES);
  } catch {
    return [];
  }
}

/**
 * The huge page by which a tmpfs with these mount options takes memory, 0 where it goes by ordinary pages. `huge=advise` concerns
 * mappings that ask for it, not files that are written.
 */
function hugePageOf(options: readonly string[]): number {
  const choice = /\[(\w+)\]/.exec(textOf(`${HUGE_PAGES}/shmem_enabled`))?.[1];
  const isHuge = options.includes('huge=always') || options.includes('huge=within_size');
  if (choice === 'deny' || (choice !== 'force' && !isHuge)) return 0;
  const bytes = Number(textOf(`${HUGE_PAGES}/hpage_pmd_size`));
  return isPowerOfTwo(bytes) ? bytes : 2 * MiB;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** XFS: the mount option `allocsize=64k`, 0 without it. */
function allocsizeOf(mount: Mount | undefined): number {
  for (const option of mount?.superOptions ?? []) {
    const match = /^allocsize=(\d+)([kmg]?)$/i.exec(option);
    if (match !== null) return Number(match[1]) * (SIZE_SUFFIXES[(match[2] as string).toLowerCase()] ?? 1);
  }
  return 0;
}
