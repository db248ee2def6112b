/**
 * The allocated ranges of an open file, as reported by its filesystem: FIEMAP where it exists, else SEEK_DATA and
 * SEEK_HOLE if their answer accounts for every allocated byte. Source: linux/fiemap.h,
 * Documentation/filesystems/fiemap.rst; lseek(2).
 */
import { roundDown, roundUp, yieldToEventLoop } from '#base';
import { type StorageMap, storedBytes, type StoredRange } from '#block';
import { ERRNO, type Ffi, loadFfi, SEEK_DATA, SEEK_HOLE } from './ffi.ts';

/**
 * Most ranges kept of one file: a terabyte image whose every second 64 KiB cluster lies elsewhere has 8 million pieces and
 * does without a map; 2 million (128 GiB so shredded) cost some 250 MB.
 */
export const MAX_STORED_RANGES = 2 ** 21;
/** Maximum islands of data searched with SEEK_DATA: two system calls each. */
const MAX_SOUGHT_ISLANDS = 2 ** 18;

const FS_IOC_FIEMAP = 0xc020660b;
/** struct fiemap and struct fiemap_extent in 32-bit words; all fields are aligned, and the FFI is little-endian only. */
const HEADER_WORDS = 8;
const EXTENT_WORDS = 14;
/** 917 KB: few calls for a fragmented file; the kernel touches only the part it fills, so small files cost nothing. */
const EXTENTS_PER_CALL = 16384;

const LAST = 0x1;
const UNKNOWN = 0x2;
const DELAYED = 0x4;
const ENCODED = 0x8;
const ENCRYPTED = 0x80;
const INLINE = 0x200;
const TAIL = 0x400;
const UNWRITTEN = 0x800;
const SHARED = 0x2000;
/** The physical offset of such an extent is not that of its bytes in whole blocks, or not known at all. */
const NO_PLACE = UNKNOWN + DELAYED + INLINE + TAIL;

/** Values of 2^53 and above in their upper half: no length or place we could count with. */
const UNSAFE_HIGH_WORD = 0x200000;

let reusedWords: Uint32Array | undefined;

/**
 * The stored ranges of an open file, those behind its end included: ascending, non-overlapping, adjacent ones with the same
 * properties merged. undefined where the filesystem cannot tell, where there is no FFI, or beyond MAX_STORED_RANGES.
 *
 * Delayed allocation counts as stored (`st_blocks` counts it too), since nothing is flushed to ask. A file whose data lies
 * in its inode (ext4 inline data) has data but no blocks, which a map cannot say: undefined. ext4 reports its bytes as sectors
 * used, so an allocation that is no whole number of blocks tells it from btrfs, which charges a block for inline data.
 *
 * `length`, `allocation`: of the same moment, from fstat. `fsBlockSize`: what SEEK_DATA's answer is rounded to.
 */
export async function readStorageMap(fd: number, length: number, allocation: number, fsBlockSize = 4096): Promise<StorageMap | undefined> {
  const ffi = await loadFfi();
  if (ffi === undefined) return undefined;
  const mapped = await readExtents(ffi, fd, allocation, fsBlockSize);
  if (mapped !== 'no-fiemap') return mapped;
  const islands = seekIslands(ffi, fd, length, allocation, fsBlockSize);
  return islands !== undefined && storedBytes(islands) === allocation ? islands : undefined;
}

/**
 * Ranges of an open file that were written and so have storage, where `readStorageMap` has no answer: preallocation that
 * was never written is not among them. undefined where not even that can be told.
 */
export async function readWrittenRanges(
  fd: number,
  length: number,
  allocation: number,
  fsBlockSize = 4096,
): Promise<StorageMap | undefined> {
  const ffi = await loadFfi();
  return ffi === undefined ? undefined : seekIslands(ffi, fd, length, allocation, fsBlockSize);
}

async function readExtents(ffi: Ffi, fd: number, allocation: number, fsBlockSize: number): Promise<StorageMap | undefined | 'no-fiemap'> {
  const ranges: StoredRange[] = [];
  let from = 0;
  for (;;) {
    const batch = readBatch(ffi, fd, from, ranges, allocation, fsBlockSize);
    if (typeof batch === 'string') return batch === 'unusable' ? undefined : batch;
    if (batch.last) return ranges;
    if (batch.end <= from || ranges.length > MAX_STORED_RANGES) return undefined;
    from = batch.end;
    // A fragmented file takes many calls; other work gets its turn in between.
    await yieldToEventLoop();
  }
}

/** One FIEMAP call starting at `from`; its extents are appended to `ranges`. Synchronous, so that all files share one buffer. */
function readBatch(
  ffi: Ffi,
  fd: number,
  from: number,
  ranges: StoredRange[],
  allocation: number,
  fsBlockSize: number,
): { readonly end: number; readonly last: boolean } | 'no-fiemap' | 'unusable' {
  reusedWords ??= new Uint32Array(HEADER_WORDS + EXTENTS_PER_CALL * EXTENT_WORDS);
  const words = reusedWords;
  const toTheEndAndBehind = 0xffffffff; // preallocation may lie past the end
  words.set([from % 2 ** 32, Math.floor(from / 2 ** 32), toTheEndAndBehind, toTheEndAndBehind, 0, 0, EXTENTS_PER_CALL, 0]);
  const result = ffi.ioctl(fd, FS_IOC_FIEMAP, new Uint8Array(words.buffer));
  if (result === -ERRNO.EOPNOTSUPP || result === -ERRNO.ENOTTY || result === -ERRNO.ENOSYS) return 'no-fiemap';
  if (result < 0) return 'unusable';

  const count = words[5] ?? 0;
  let end = from;
  let last = count < EXTENTS_PER_CALL;
  for (let index = 0; index < count; index += 1) {
    const at = HEADER_WORDS + index * EXTENT_WORDS;
    const flags = words[at + 10] ?? 0;
    const fileOffset = wide(words, at);
    const byteLength = wide(words, at + 4);
    if (fileOffset + byteLength >= Number.MAX_SAFE_INTEGER) return 'unusable';
    if ((flags & INLINE) !== 0 && allocation % fsBlockSize !== 0) return 'unusable';
    append(ranges, fileOffset, byteLength, flags, wide(words, at + 2));
    end = Math.max(end, fileOffset + byteLength);
    if ((flags & LAST) !== 0) last = true;
  }
  return { end, last };
}

/** The 64-bit number at word `at`, Infinity when it is not below 2^53. */
function wide(words: Uint32Array, at: number): number {
  const high = words[at + 1] ?? 0;
  return high >= UNSAFE_HIGH_WORD ? Infinity : high * 2 ** 32 + (words[at] ?? 0);
}

/** Appends an extent, clipped to the part past the previous ranges (a file that changes meanwhile can repeat itself). */
function append(ranges: StoredRange[], extentOffset: number, extentByteLength: number, flags: number, physical: number): void {
  const before = ranges.at(-1);
  const fileOffset = before === undefined ? extentOffset : Math.max(extentOffset, before.fileOffset + before.byteLength);
  const byteLength = extentOffset + extentByteLength - fileOffset;
  if (byteLength <= 0) return;
  const hasPlace = (flags & NO_PLACE) === 0 && physical !== Infinity;
  const range: StoredRange = {
    fileOffset,
    byteLength,
    physicalOffset: hasPlace ? physical + fileOffset - extentOffset : undefined,
    shared: (flags & SHARED) !== 0,
    unwritten: (flags & UNWRITTEN) !== 0,
    encoded: (flags & (ENCODED + ENCRYPTED)) !== 0,
  };
  if (before !== undefined && continues(before, range)) {
    ranges[ranges.length - 1] = { ...before, byteLength: before.byteLength + byteLength };
  } else ranges.push(range);
}

/** An encoded extent's physical length is not its length in the file: two of them are never contiguous. */
function continues(before: StoredRange, range: StoredRange): boolean {
  if (before.fileOffset + before.byteLength !== range.fileOffset) return false;
  if (before.shared !== range.shared || before.unwritten !== range.unwritten || before.encoded || range.encoded) return false;
  return before.physicalOffset === undefined
    ? range.physicalOffset === undefined
    : before.physicalOffset + before.byteLength === range.physicalOffset;
}

/**
 * Islands of data by seeking, in whole host blocks; undefined when they exceed the allocation. SEEK_DATA passes over
 * preallocation that was never written.
 */
function seekIslands(ffi: Ffi, fd: number, length: number, allocation: number, fsBlockSize: number): StorageMap | undefined {
  const ranges: StoredRange[] = [];
  let total = 0;
  let from = 0;
  while (from < length) {
    const data = ffi.seek(fd, from, SEEK_DATA);
    if (data === -ERRNO.ENXIO) break;
    const hole = data < 0 ? data : ffi.seek(fd, data, SEEK_HOLE);
    if (hole <= from || ranges.length >= MAX_SOUGHT_ISLANDS) return undefined;
    from = hole;
    const before = ranges.at(-1);
    const fileOffset = Math.max(roundDown(data, fsBlockSize), before === undefined ? 0 : before.fileOffset + before.byteLength);
    const byteLength = roundUp(hole, fsBlockSize) - fileOffset;
    if (byteLength <= 0) continue;
    ranges.push({ fileOffset, byteLength, physicalOffset: undefined, shared: false, unwritten: false, encoded: false });
    total += byteLength;
    if (total > allocation) return undefined;
  }
  return ranges;
}

/** The ranges as stored by a filesystem that allocates in units of `unit` bytes, which its map does not show. */
export function inUnits(map: StorageMap | undefined, unit: number): StorageMap | undefined {
  if (map === undefined || map.every(({ fileOffset, byteLength }) => fileOffset % unit === 0 && byteLength % unit === 0)) return map;
  const ranges: StoredRange[] = [];
  for (const range of map) {
    const before = ranges.at(-1);
    const start = Math.max(roundDown(range.fileOffset, unit), before === undefined ? 0 : before.fileOffset + before.byteLength);
    const byteLength = roundUp(range.fileOffset + range.byteLength, unit) - start;
    if (byteLength <= 0) continue;
    const { physicalOffset } = range;
    ranges.push({ ...range, fileOffset: start, byteLength, physicalOffset: physicalOffset && physicalOffset + start - range.fileOffset });
  }
  return ranges;
}
