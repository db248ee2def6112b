/** QED on-disk structures; no logic. Integers are little-endian. Source: QEMU, docs/interop/qed_spec.txt. */
import { mask64, struct, u32, u64 } from '#base';

export const SECTOR = 512;
export const MAGIC = 0x00444551;

/** "Header". `headerSize` and `tableSize` count clusters. */
export const HEADER = struct(
  'QED header',
  64,
  {
    magic: u32(0), //                  QED, NUL
    clusterSize: u32(4), //            bytes, a power of two
    tableSize: u32(8), //              of the L1 table and of each L2 table
    headerSize: u32(12),
    features: mask64(16), //           a reader that does not know one must not open the image
    compatFeatures: mask64(24),
    autoclearFeatures: mask64(32),
    l1TableOffset: u64(40),
    imageSize: u64(48), //             bytes
    backingFilenameOffset: u32(56), // from the start of the file
    backingFilenameSize: u32(60),
  },
  'little',
);

export const FEATURE = { backingFile: 0x1n, needCheck: 0x2n, backingFormatNoProbe: 0x4n } as const;
/** Sum of all features that are known. */
export const KNOWN_FEATURES = 0x7n;

export const ENTRY_BYTES = 8;

export const LIMITS = {
  leastClusterSize: 4096,
  mostClusterSize: 64 * 1024 * 1024,
  mostTableSize: 16,
  /** No path is longer. */
  backingFilenameBytes: 4095,
  /** 64 MiB of L1 entries: with 4 KiB clusters and tables of one cluster 16 TiB, with the defaults 16 EiB. */
  l1Bytes: 64 * 1024 * 1024,
  /** Cluster numbers are kept in 32 bits. */
  fileClusters: 2 ** 32 - 2,
} as const;
