/**
 * VHDX on-disk structures as the specification names them ([MS-VHDX] section 2); no logic. All integers are little-endian,
 * GUIDs are kept as bytes.
 */
import { bytes, KiB, mask64, MiB, reserved, struct, TiB, u16, u32, u64 } from '#base';

/** 2.2.1: the first bytes of the file. */
export const FILE_SIGNATURE = 'vhdxfile';
/** 2.2.1: file type identifier; the creator is UTF-16LE text, for diagnosis only. */
export const FILE_IDENTIFIER = struct('VHDX file identifier', 520, { signature: bytes(0, 8), creator: bytes(8, 512) }, 'little');

/** 2.2: where the parts of the header section begin. The section ends at 1 MiB. */
export const HEADER_OFFSETS = [64 * KiB, 128 * KiB] as const;
export const REGION_TABLE_OFFSETS = [192 * KiB, 256 * KiB] as const;
export const HEADER_SECTION_BYTES = MiB;
/** What lies below belongs to the headers, which are never updated through the log. */
export const HEADERS_END = 192 * KiB;

/** 2.2.2: a header; its checksum covers these 4 KiB. */
export const HEADER = struct(
  'VHDX header',
  4096,
  {
    signature: bytes(0, 4), //         "head"
    checksum: u32(4),
    sequenceNumber: mask64(8), //      the valid header with the higher one is current
    fileWriteGuid: bytes(16, 16),
    dataWriteGuid: bytes(32, 16),
    logGuid: bytes(48, 16), //         zeros: nothing to replay
    logVersion: u16(64), //            0
    version: u16(66), //               1
    logLength: u32(68), //             a multiple of 1 MiB
    logOffset: u64(72), //             a multiple of 1 MiB
    reserved: reserved(80, 4016),
  },
  'little',
);

/** 2.2.3: a region table; its checksum covers 64 KiB. */
export const REGION_TABLE_BYTES = 64 * KiB;
export const REGION_TABLE_HEADER = struct(
  'VHDX region table header',
  16,
  { signature: bytes(0, 4), checksum: u32(4), entryCount: u32(8), reserved: reserved(12, 4) },
  'little',
);
export const REGION_TABLE_ENTRY = struct(
  'VHDX region table entry',
  32,
  { guid: bytes(0, 16), fileOffset: u64(16), length: u32(24), flags: u32(28) },
  'little',
);
export const REGION_REQUIRED = 1;
export const REGION_GUID = { bat: '2dc27766-f623-4200-9d64-115e9bfd4a08', metadata: '8b7ca206-4790-4b9a-b8fe-575f050f886e' } as const;

/** 2.3.1.1: log entry header. Sequence numbers are masks: in what is no entry at all they can be anything. */
export const LOG_SECTOR_BYTES = 4096;
export const LOG_ENTRY_HEADER = struct(
  'VHDX log entry header',
  64,
  {
    signature: bytes(0, 4), //         "loge"
    checksum: u32(4),
    entryLength: u32(8), //            a multiple of 4 KiB
    tail: u32(12), //                  where in the log the sequence begins that ends with this entry
    sequenceNumber: mask64(16),
    descriptorCount: u32(24),
    reserved: reserved(28, 4),
    logGuid: bytes(32, 16),
    flushedFileOffset: mask64(48),
    lastFileOffset: mask64(56),
  },
  'little',
);
/** 2.3.1.2 and 2.3.1.3: descriptors, of the same size; zeros for a run of sectors, or 4 KiB of data. */
export const LOG_DESCRIPTOR_BYTES = 32;
export const LOG_ZERO_DESCRIPTOR = struct(
  'VHDX log zero descriptor',
  32,
  { signature: bytes(0, 4), reserved: reserved(4, 4), zeroLength: mask64(8), fileOffset: mask64(16), sequenceNumber: mask64(24) },
  'little',
);
export const LOG_DATA_DESCRIPTOR = struct(
  'VHDX log data descriptor',
  32,
  { signature: bytes(0, 4), trailingBytes: bytes(4, 4), leadingBytes: bytes(8, 8), fileOffset: mask64(16), sequenceNumber: mask64(24) },
  'little',
);
/** 2.3.1.4: a data sector; the first 8 and last 4 bytes of what it stands for are in its descriptor. */
export const LOG_DATA_SECTOR = struct(
  'VHDX log data sector',
  4096,
  { signature: bytes(0, 4), sequenceHigh: u32(4), data: bytes(8, 4084), sequenceLow: u32(4092) },
  'little',
);

/** 2.5.1: states of a payload block, the low 3 bits of its entry. 5 is UNMAPPED in version 0.95. */
export const PAYLOAD_BLOCK = {
  notPresent: 0,
  undefined: 1,
  zero: 2,
  unmapped: 3,
  unmappedV095: 5,
  fullyPresent: 6,
  partiallyPresent: 7,
} as const;
/** 2.5: sectors that one sector bitmap block describes; payload blocks per bitmap entry follow from it. */
export const SECTORS_PER_BITMAP = 2 ** 23;
/** File offsets of blocks and regions are multiples of this. */
export const UNIT_BYTES = MiB;

/** 2.6.1: metadata table, at the start of the metadata region; items lie behind its 64 KiB. */
export const METADATA_TABLE_BYTES = 64 * KiB;
export const METADATA_TABLE_HEADER = struct(
  'VHDX metadata table header',
  32,
  { signature: bytes(0, 8), reserved: reserved(8, 2), entryCount: u16(10), reserved2: reserved(12, 20) },
  'little',
);
export const METADATA_TABLE_ENTRY = struct(
  'VHDX metadata table entry',
  32,
  { itemId: bytes(0, 16), offset: u32(16), length: u32(20), flags: u32(24), reserved: reserved(28, 4) },
  'little',
);
export const METADATA_IS_USER = 1;
export const METADATA_IS_REQUIRED = 4;

/** 2.6.2: the items that are known, all system items. */
export const METADATA_GUID = {
  fileParameters: 'caa16737-fa36-4d43-b3b6-33f0aa44e76b',
  virtualDiskSize: '2fa54224-cd1b-4876-b211-5dbed83bf4b8',
  virtualDiskId: 'beca12ab-b2e6-4523-93ef-c309e000c746',
  logicalSectorSize: '8141bf1d-a96f-4709-ba47-f233a8faab5f',
  physicalSectorSize: 'cda348c7-445d-4471-9cc9-e9885251c556',
  parentLocator: 'a8d35f2d-b30b-454d-abf7-d3d84834ab0c',
} as const;

/** 2.6.2.1 */
export const FILE_PARAMETERS = struct('VHDX file parameters', 8, { blockSize: u32(0), flags: u32(4) }, 'little');
/** Blocks stay allocated: a fixed disk. */
export const LEAVE_BLOCKS_ALLOCATED = 1;
export const HAS_PARENT = 2;
/** 2.6.2.2 */
export const VIRTUAL_DISK_SIZE = struct('VHDX virtual disk size', 8, { virtualDiskSize: u64(0) }, 'little');
/** 2.6.2.4 and 2.6.2.5: logical and physical sector size alike. */
export const SECTOR_SIZE = struct('VHDX sector size', 4, { sectorSize: u32(0) }, 'little');

/** 2.6.2.6: parent locator; keys and values are UTF-16LE and lie inside the item. */
export const PARENT_LOCATOR_HEADER = struct(
  'VHDX parent locator header',
  20,
  { locatorType: bytes(0, 16), reserved: reserved(16, 2), keyValueCount: u16(18) },
  'little',
);
export const PARENT_LOCATOR_ENTRY = struct(
  'VHDX parent locator entry',
  12,
  { keyOffset: u32(0), valueOffset: u32(4), keyLength: u16(8), valueLength: u16(10) },
  'little',
);

/** Bounds: of the specification, where nothing else is said. */
export const LIMITS = {
  /** Entries of a region table, and of the metadata table. */
  tableEntries: 2047,
  userMetadataEntries: 1024,
  metadataItemBytes: MiB,
  minBlockSize: MiB,
  maxBlockSize: 256 * MiB,
  capacity: 64 * TiB,
  /** Our own: a log is read into memory to be replayed. Writers make it 1 MiB; QEMU takes any size. */
  logBytes: 64 * MiB,
  /** Our own: log entries that overlap each other may cost this many times the checksums and descriptors of a full log. */
  logChecksumRatio: 4,
  /** Our own: runs of zeros in a log that is replayed; each is held against every sector of data. */
  logZeroDescriptors: 4096,
  /** Our own: blocks lie below this offset. Four times the largest disk, so that sets of blocks stay small. */
  fileBytes: 256 * TiB,
} as const;
