/**
 * LUKS headers; no logic. Integers are big-endian, texts end with NUL. Sources: "LUKS1 On-Disk Format Specification" 1.2.3,
 * figures 3 and 4; "LUKS2 On-Disk Format Specification" 1.1.4, figure 2.
 */
import { bytes, reserved, struct, u16, u32, u64 } from '#base';

export const SECTOR = 512;

/** The six bytes that both versions begin with, in Latin-1. */
export const MAGIC = 'LUKS\xba\xbe';

/** Bytes of the file that both headers fit into. */
export const HEADER_BYTES = 4096;

export const HEADER_V1 = struct('LUKS1 header', 592, {
  magic: bytes(0, 6),
  version: u16(6),
  cipherName: bytes(8, 32),
  cipherMode: bytes(40, 32),
  hashSpec: bytes(72, 32),
  payloadOffset: u32(104), //   sectors
  keyBytes: u32(108),
  digest: bytes(112, 20),
  digestSalt: bytes(132, 32),
  digestIterations: u32(164),
  uuid: bytes(168, 40),
  keySlots: reserved(208, 384), //  eight of 48 bytes
});

export const HEADER_V2 = struct('LUKS2 header', 512, {
  magic: bytes(0, 6),
  version: u16(6),
  headerSize: u64(8), //        bytes, the JSON area included
  sequence: u64(16),
  label: bytes(24, 48),
  checksumAlgorithm: bytes(72, 32),
  salt: bytes(104, 64),
  uuid: bytes(168, 40),
  subsystem: bytes(208, 48),
  headerOffset: u64(256),
  unused: reserved(264, 184),
  checksum: bytes(448, 64),
});

/** Limits on headers. Source: LUKS2 1.1.4, 2.1: the header with its JSON area takes 16 KiB to 4 MiB. */
export const LIMITS = { leastHeaderV2: 16 * 1024, mostHeaderV2: 4 * 1024 * 1024 } as const;
