/** qcow version 1: on-disk structures; no logic. Integers are big-endian. Source: QEMU 7.2, block/qcow.c; there is no specification. */
import { struct, u16, u32, u64, u8 } from '#base';

export const SECTOR = 512;
export const MAGIC = 0x514649fb;
export const VERSION = 1;

/** `QCowHeader`. */
export const HEADER = struct('qcow header', 48, {
  magic: u32(0), //              QFI, 0xfb
  version: u32(4),
  backingFileOffset: u64(8), //  0: without a backing file
  backingFileSize: u32(16), //   bytes of the name, which has no terminator
  mtime: u32(20), //             of the backing file; unused
  size: u64(24), //              bytes
  clusterBits: u8(32),
  l2Bits: u8(33), //             log2 of the entries of an L2 table
  padding: u16(34),
  cryptMethod: u32(36),
  l1TableOffset: u64(40),
});

export const ENTRY_BYTES = 8;
/** An L2 entry in its high half: compressed when bit 63 is set. */
export const COMPRESSED = 2 ** 31;

export const CRYPT_NONE = 0;
export const CRYPT_AES = 1;

export const LIMITS = {
  clusterBits: { least: 9, most: 16 },
  l2Bits: { least: 6, most: 13 },
  backingFileBytes: 1023,
  /** 64 MiB of L1 entries: 16 TiB with the cluster and table sizes that QEMU gives a new image. */
  l1Bytes: 64 * 1024 * 1024,
} as const;
