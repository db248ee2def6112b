/**
 * VMDK on-disk structures as VMware's technical note "Virtual Disk Format 5.0" (and 1.1) names them; no logic. All integers
 * are little-endian; offsets and lengths count sectors of 512 bytes.
 */
import { bytes, mask64, struct, u16, u32, u64, u8 } from '#base';

export const SECTOR = 512;

/** "KDMV", as the bytes lie in the file. */
export const MAGIC = 0x564d444b;
/** "COWD": the sparse extent of ESX and of VMware 3. */
export const MAGIC_COWD = 0x44574f43;

/** "Hosted Sparse Extent", SparseExtentHeader; the same structure is the footer of a stream. */
export const SPARSE_HEADER = struct(
  'VMDK header',
  512,
  {
    magic: u32(0),
    version: u32(4), //            1; 2 with zeroed grains; 3 with changed block tracking or as a stream
    flags: u32(8),
    capacity: u64(12), //          sectors
    grainSize: u64(20), //         sectors, a power of two
    descriptorOffset: u64(28),
    descriptorSize: u64(36),
    numGTEsPerGT: u32(44), //      512
    rgdOffset: mask64(48), //      valid with flag bit 1 only
    gdOffset: mask64(56), //       all ones: see the footer
    overHead: u64(64), //          sectors before the first grain
    uncleanShutdown: u8(72),
    singleEndLineChar: u8(73), //  newline
    nonEndLineChar: u8(74), //     space
    doubleEndLineChar1: u8(75), // carriage return
    doubleEndLineChar2: u8(76), // newline
    compressAlgorithm: u16(77), // 0 none, 1 deflate
    pad: bytes(79, 433),
  },
  'little',
);

export const FLAG = {
  newlineDetection: 0x1,
  redundantGrainDirectory: 0x2,
  zeroedGrains: 0x4,
  compressed: 0x10000,
  markers: 0x20000,
} as const;
/** Sum of all flags that are known. */
export const KNOWN_FLAGS = 0x30007;

/** gdOffset of a stream whose grain directory was written last. */
export const GD_AT_END = 0xffffffffffffffffn;

/** "Stream-Optimized Compressed Sparse Extents", the start of a marker; compressed data begins at its byte 12. */
export const MARKER = struct('VMDK marker', 16, { value: u64(0), size: u32(8), type: u32(12) }, 'little');
export const GRAIN_MARKER = struct('VMDK grain marker', 12, { lba: u64(0), size: u32(8) }, 'little');
export const MARKER_END_OF_STREAM = 0;
export const MARKER_FOOTER = 3;

export const GTES_PER_GT = 512;
/** Sectors and bytes of one grain table: 512 entries of 4 bytes. */
export const GRAIN_TABLE_SECTORS = 4;
export const GRAIN_TABLE_BYTES = 2048;
/** An entry of this value is a grain of zeros, where flag bit 2 says so. */
export const GTE_ZEROED = 1;

export const LIMITS = {
  /** The note wants more than 8 sectors in one place and 8 at least in another: 4 KiB. */
  leastGrainSectors: 8,
  /** 2 MiB: one inflated grain is held. Every writer we know uses 128 sectors. */
  mostGrainSectors: 4096,
  /** 1 MiB: what QEMU reads of a descriptor. */
  descriptorBytes: 1024 * 1024,
  /** Entries, 16 MiB: 128 TiB with the usual grains. VMware ends at 62 TiB. */
  grainDirectoryEntries: 2 ** 22,
  /** No filesystem has longer names. */
  extentNameBytes: 255,
  /** 8 TiB in files of 2 GiB. */
  extentFiles: 4096,
} as const;
