/**
 * qcow2 on-disk structures as the specification names them (QEMU docs/interop/qcow2, versions 2 and 3); no logic.
 * All integers are big-endian.
 */
import { bytes, mask64, reserved, struct, u16, u32, u64, u8 } from '#base';

/** "QFI\xfb" */
export const MAGIC = 0x514649fb;

/** Header, bytes 0-71; shared by versions 2 and 3. */
export const HEADER_V2 = struct('qcow2 header', 72, {
  magic: u32(0),
  version: u32(4), //                2 or 3
  backingFileOffset: u64(8), //      0 when there is no backing file
  backingFileSize: u32(16), //       at most 1023
  clusterBits: u32(20), //           9 to 21
  size: u64(24), //                  capacity in bytes
  cryptMethod: u32(32), //           0 none, 1 AES, 2 LUKS
  l1Size: u32(36), //                entries
  l1TableOffset: u64(40),
  refcountTableOffset: u64(48),
  refcountTableClusters: u32(56),
  nbSnapshots: u32(60),
  snapshotsOffset: u64(64),
});

/** Header, bytes 72-103; version 3 only. */
export const HEADER_V3_TAIL = struct('qcow2 version 3 header', 32, {
  incompatibleFeatures: mask64(0),
  compatibleFeatures: mask64(8),
  autoclearFeatures: mask64(16),
  refcountOrder: u32(24), //         refcount_bits = 1 << refcount_order, 0 to 6
  headerLength: u32(28), //          at least 104
});

export const HEADER_V3_LENGTH = 104;

/** Incompatible feature bits. */
export const INCOMPATIBLE = {
  dirty: 1n << 0n,
  corrupt: 1n << 1n,
  externalDataFile: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
} as const;
export const KNOWN_INCOMPATIBLE = 0x1fn;

/** Compatible feature bits. */
export const COMPATIBLE_LAZY_REFCOUNTS = 1n;

/** Autoclear feature bits. */
export const AUTOCLEAR_BITMAPS = 1n;
export const AUTOCLEAR_DATA_FILE_RAW = 2n;

/** Header extension: type and length, then the data padded to 8 bytes. */
export const EXTENSION_HEADER = struct('qcow2 header extension', 8, { type: u32(0), length: u32(4) });

export const EXTENSION = {
  end: 0x00000000,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
  fullDiskEncryption: 0x0537be77,
  dataFile: 0x44415441,
} as const;

/** Bitmaps extension, 24 bytes. */
export const BITMAPS_EXTENSION = struct('qcow2 bitmaps extension', 24, {
  nbBitmaps: u32(0),
  reserved: reserved(4, 4),
  directorySize: u64(8),
  directoryOffset: u64(16),
});

/** Full disk encryption header pointer, 16 bytes. */
export const ENCRYPTION_EXTENSION = struct('qcow2 full disk encryption header pointer', 16, {
  offset: u64(0),
  length: u64(8),
});

/** Bitmap directory entry, fixed part; extra data and name follow, padded to 8 bytes. */
export const BITMAP_ENTRY = struct('qcow2 bitmap directory entry', 24, {
  tableOffset: u64(0),
  tableSize: u32(8), //              entries
  flags: u32(12), //                 bit 0 in use, bit 1 auto (enabled)
  type: u8(16), //                   1 dirty tracking
  granularityBits: u8(17),
  nameSize: u16(18),
  extraDataSize: u32(20),
});
export const BITMAP_IN_USE = 1;
export const BITMAP_AUTO = 2;

/** Snapshot table entry, fixed part; extra data, id and name follow, padded to 8 bytes. */
export const SNAPSHOT_ENTRY = struct('qcow2 snapshot table entry', 40, {
  l1TableOffset: u64(0),
  l1Size: u32(8), //                 entries
  idSize: u16(12),
  nameSize: u16(14),
  dateSeconds: u32(16),
  dateNanoseconds: u32(20),
  vmClock: bytes(24, 8),
  vmStateSize: u32(32),
  extraDataSize: u32(36),
});

/** Bounds that QEMU itself sets (block/qcow2.h); a legitimate image cannot exceed them. */
export const LIMITS = {
  /** cluster_bits. */
  minClusterBits: 9,
  maxClusterBits: 21,
  /** Extended L2 entries need subclusters of at least 512 bytes. */
  minExtendedL2ClusterBits: 14,
  /** QCOW_MAX_L1_SIZE: 32 MiB, 2 PiB of capacity with 64 KiB clusters. */
  l1TableBytes: 32 * 1024 * 1024,
  /** QCOW_MAX_REFTABLE_SIZE. */
  refcountTableBytes: 8 * 1024 * 1024,
  snapshots: 65536,
  snapshotTableBytes: 64 * 1024 * 1024,
  snapshotExtraBytes: 1024,
  bitmaps: 65535,
  bitmapDirectoryBytes: 65535 * 1024,
  /** BME_MAX_TABLE_SIZE: entries of one bitmap table. */
  bitmapTableEntries: 0x8000000,
  bitmapNameBytes: 1023,
  /** BME_MAX_PHYS_SIZE: bytes of one bitmap's data, full. */
  bitmapDataBytes: 512 * 1024 * 1024,
  /** QEMU keeps the name of the backing format in 16 bytes. */
  backingFormatBytes: 15,
  /** PATH_MAX less its NUL: no file can have a longer name. */
  dataFileNameBytes: 4095,
  backingNameBytes: 1023,
} as const;
