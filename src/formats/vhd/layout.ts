/**
 * VHD on-disk structures as the specification names them (Microsoft, "Virtual Hard Disk Image Format Specification"
 * 1.0); no logic. All integers are big-endian.
 */
import { bytes, mask64, reserved, struct, u16, u32, u64, u8 } from '#base';

export const SECTOR = 512;

export const FOOTER_COOKIE = 'conectix';
export const HEADER_COOKIE = 'cxsparse';

/** "Hard Disk Footer Format": the last sector of the file; of dynamic and differencing disks its copy is the first. */
export const FOOTER = struct('VHD footer', 512, {
  cookie: bytes(0, 8), //               "conectix"
  features: u32(8), //                  bit 0 temporary, bit 1 always set
  fileFormatVersion: u32(12), //        0x00010000
  dataOffset: mask64(16), //            of the dynamic disk header; all ones for fixed disks
  timeStamp: u32(24), //                seconds since 2000-01-01 UTC
  creatorApplication: bytes(28, 4),
  creatorVersion: u32(32),
  creatorHostOs: bytes(36, 4), //       "Wi2k" or "Mac "
  originalSize: mask64(40),
  currentSize: u64(48), //              bytes
  cylinders: u16(56),
  heads: u8(58),
  sectorsPerTrack: u8(59),
  diskType: u32(60), //                 2 fixed, 3 dynamic, 4 differencing
  checksum: u32(64), //                 complement of the sum of all other bytes
  uniqueId: bytes(68, 16),
  savedState: u8(84),
  reserved: reserved(85, 427),
});

/** "Dynamic Disk Header Format". The parent fields are for differencing disks only. */
export const DYNAMIC_HEADER = struct('VHD dynamic disk header', 1024, {
  cookie: bytes(0, 8), //               "cxsparse"
  dataOffset: mask64(8), //             all ones
  tableOffset: u64(16), //              of the block allocation table
  headerVersion: u32(24), //            0x00010000
  maxTableEntries: u32(28),
  blockSize: u32(32), //                bytes, without the sector bitmap; a power of two
  checksum: u32(36),
  parentUniqueId: bytes(40, 16),
  parentTimeStamp: u32(56),
  reserved1: reserved(60, 4),
  parentUnicodeName: bytes(64, 512), // UTF-16, big-endian
  parentLocators: bytes(576, 192), //   8 entries
  reserved2: reserved(768, 256),
});

/** Parent locator entry: a name of the parent as one platform writes it. */
export const PARENT_LOCATOR = struct('VHD parent locator', 24, {
  platformCode: bytes(0, 4), //         four characters, or zeros for an unused entry
  platformDataSpace: u32(4), //         room; writers disagree whether in sectors or bytes
  platformDataLength: u32(8), //        bytes
  reserved: reserved(12, 4),
  platformDataOffset: u64(16),
});
export const PARENT_LOCATORS = 8;

/** Disk types; 0, 1, 5 and 6 are reserved or deprecated. */
export const DISK_TYPE = { fixed: 2, dynamic: 3, differencing: 4 } as const;

/** A BAT entry without a block; other entries are absolute sectors. */
export const BAT_UNUSED = 0xffffffff;

export const VERSION_MAJOR = 1;

/** Cylinders, heads and sectors of the largest geometry: it stands for "too large for a geometry". */
export const LARGEST_GEOMETRY_SECTORS = 65535 * 16 * 255;

export const LIMITS = {
  /** 2040 GiB, the format's largest disk; QEMU's VHD_MAX_SECTORS. */
  capacitySectors: 0xff000000,
  /** 2040 GiB with blocks of 512 KiB, the smallest in use. */
  tableBytes: 16 * 1024 * 1024,
  /** The longest path of Windows, 32767 characters in UTF-16. */
  parentNameBytes: 65536,
} as const;
