/**
 * VDI on-disk structures, version 1.1, as VirtualBox writes them (names of QEMU's block/vdi.c); no logic. All integers
 * are little-endian. There is no specification but the two programs.
 */
import { bytes, reserved, struct, u32, u64 } from '#base';

export const SECTOR = 512;

export const SIGNATURE = 0xbeda107f;
export const VERSION_1_1 = 0x00010001;

/** Pre-header and header 1.1 up to its last field; what follows in the sector is not used. */
export const HEADER = struct(
  'VDI header',
  512,
  {
    text: bytes(0, 64), //              for people
    signature: u32(64),
    version: u32(68), //                0x00010001
    headerSize: u32(72), //             from here on
    imageType: u32(76), //              1 dynamic, 2 static, 3 undo, 4 differencing
    imageFlags: u32(80),
    description: bytes(84, 256),
    offsetBmap: u32(340), //            of the block map
    offsetData: u32(344), //            of block 0
    cylinders: u32(348),
    heads: u32(352),
    sectors: u32(356),
    sectorSize: u32(360), //            512
    unused1: reserved(364, 4),
    diskSize: u64(368), //              bytes
    blockSize: u32(376), //             1 MiB
    blockExtra: u32(380), //            bytes in front of each block
    blocksInImage: u32(384), //         entries of the block map
    blocksAllocated: u32(388), //       the next new block gets this number
    uuidImage: bytes(392, 16),
    uuidLastSnap: bytes(408, 16), //    changes with the content
    uuidLink: bytes(424, 16), //        of the parent
    uuidParent: bytes(440, 16), //      the parent's uuidLastSnap
    unused2: reserved(456, 56),
  },
  'little',
);

/** Block map entries from here on have no block: 0xfffffffe is zeros, 0xffffffff nothing (zeros, or the parent's). */
export const ENTRY_ZERO = 0xfffffffe;
export const ENTRY_FREE = 0xffffffff;

/** The only block size of which images are known; QEMU opens no other. */
export const BLOCK_SIZE = 1024 * 1024;

export const LIMITS = {
  /** A map of 128 MiB describes 32 TiB. */
  mapBytes: 128 * 1024 * 1024,
} as const;
