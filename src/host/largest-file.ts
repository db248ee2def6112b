/**
 * The maximum length of a file. The kernel knows it for each file (s_maxbytes; on ext4 less for a file mapped by
 * indirect blocks) and refuses to seek beyond it, which any descriptor can test. Source: fs/read_write.c,
 * generic_file_llseek_size; fs/ext4/super.c, ext4_max_size, ext4_max_bitmap_size.
 */
import { KiB, TiB } from '#base';
import { ERRNO, type Ffi, loadFfi, SEEK_SET } from './ffi.ts';

/** Lengths from here on are not represented; such a limit counts as no limit. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

/** Limits found so far, tried before searching: the files of a store have few different ones. */
export class LargestFiles {
  readonly #seen = new Set<number>();

  /** Maximum length in bytes of the open file; undefined: no limit below 2^53, or the query failed. */
  of(ffi: Ffi | undefined, fd: number): number | undefined {
    if (ffi === undefined || canSeekTo(ffi, fd, NO_LIMIT)) return undefined;
    for (const bytes of this.#seen) if (canSeekTo(ffi, fd, bytes) && !canSeekTo(ffi, fd, bytes + 1)) return bytes;
    const found = search(ffi, fd);
    if (found !== undefined) this.#seen.add(found);
    return found;
  }
}

/** The same for one open file. */
export async function largestFileOf(fd: number): Promise<number | undefined> {
  return new LargestFiles().of(await loadFfi(), fd);
}

/** Any result other than a refusal of the offset is inconclusive. */
function canSeekTo(ffi: Ffi, fd: number, fileOffset: number): boolean {
  return ffi.seek(fd, fileOffset, SEEK_SET) !== -ERRNO.EINVAL;
}

/** undefined if the file is not seekable: a pipe, a device. */
function search(ffi: Ffi, fd: number): number | undefined {
  let possible = 0;
  let refused = NO_LIMIT;
  if (ffi.seek(fd, possible, SEEK_SET) < 0) return undefined;
  while (refused - possible > 1) {
    const middle = possible + Math.floor((refused - possible) / 2);
    if (canSeekTo(ffi, fd, middle)) possible = middle;
    else refused = middle;
  }
  return possible;
}

/**
 * The same for a file that is not there yet, by the rules of its filesystem; undefined where none is known to matter.
 *
 * `usesExtents`: of ext4, whether new files are mapped by extents. Blocks of `blockSize` bytes.
 */
export function largestNewFile(type: string, blockSize: number, usesExtents: boolean): number | undefined {
  if (type === 'vfat' || type === 'msdos') return 4 * 1024 * 1024 * KiB - 1;
  if (type !== 'ext2' && type !== 'ext3' && type !== 'ext4') return undefined;
  if (type === 'ext4' && usesExtents) return (2 ** 32 - 1) * blockSize;
  return mostByIndirectBlocks(blockSize);
}

/** i_blocks counts sectors in 32 bits without the feature huge_file, which ext2 and ext3 do not have. */
const MAX_SECTORS = 2 ** 32 - 1;
const SECTOR = 512;
const DIRECT_BLOCKS = 12;

/** Twelve direct blocks, and one tree each of one, two and three levels; all blocks, of the trees too, within i_blocks. */
function mostByIndirectBlocks(blockSize: number): number {
  const pointers = blockSize / 4;
  const reach = DIRECT_BLOCKS + pointers + pointers ** 2 + pointers ** 3;
  const trees = 1 + (1 + pointers) + (1 + pointers + pointers ** 2);
  const counted = Math.floor((MAX_SECTORS * SECTOR) / blockSize);
  if (reach + trees <= counted) return reach * blockSize;
  // The kernel's own count: indirect blocks for all that i_blocks can count, themselves included.
  const deep = counted - DIRECT_BLOCKS - pointers - pointers ** 2;
  const used = 1 + (1 + pointers) + (1 + Math.ceil(deep / pointers) + Math.ceil(deep / pointers ** 2));
  return Math.min((counted - used) * blockSize, 2 * TiB);
}
