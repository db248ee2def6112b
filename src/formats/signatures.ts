/**
 * Signatures at the start of a file, those of containers from the registry. Sources: the specification of each format, and the
 * magic databases of file(1) and util-linux as facts. Signatures of filesystems and volumes are in filesystem-signs.ts.
 */

import { isPowerOfTwo } from '#base';
import type { Signature } from './driver.ts';
import { CONTAINER_FORMATS, type ContainerFormat } from './registry.ts';

export const CONTAINER_SIGNATURES: readonly Signature<ContainerFormat>[] = CONTAINER_FORMATS.flatMap(({ name, signatures }) =>
  signatures.map((one) => ({ format: name, ...one })),
);

/** Compressed data, archives, backups: what must be unpacked before anything in it is a disk. */
const WRAPPINGS = {
  gzip: ['\x1f\x8b\x08'],
  xz: ['\xfd7zXZ\0'],
  // RFC 8878, 3.1.1; then the formats of its versions before 1.0, 0.2 to 0.8.
  zstd: ['\x28\xb5\x2f\xfd', ...['\x22', '\x23', '\x24', '\x25', '\x26', '\x27'].map((first) => `${first}\xb5\x2f\xfd`)],
  // RFC 8878, 3.1.2, skippable frames: of zstd and of LZ4, often in front of the others.
  'skippable-frame': Array.from({ length: 16 }, (_, low) => `${String.fromCharCode(0x50 + low)}\x2a\x4d\x18`),
  bzip2: ['BZh'],
  lz4: ['\x04\x22\x4d\x18', '\x02\x21\x4c\x18', '\x03\x21\x4c\x18'],
  lzop: ['\x89LZO\0\r\n\x1a\n'],
  lzip: ['LZIP'],
  lrzip: ['LRZI'],
  snappy: ['\xff\x06\0\0sNaPpY'],
  '7z': ['7z\xbc\xaf\x27\x1c'],
  zip: ['PK\x03\x04', 'PK\x05\x06', 'PK\x07\x08', 'PK00PK\x03\x04'],
  rar: ['Rar!\x1a\x07'],
  cab: ['MSCF\0\0\0\0', 'ISc('],
  zpaq: ['7kSt\xa0\x31\x83\xd3\x8c\xb2\x28\xb0\xd3', 'zPQ'],
  xar: ['xar!'],
  cpio: ['070701', '070702', '070707'],
  ar: ['!<arch>\n'], //                             Debian packages too
  rpm: ['\xed\xab\xee\xdb'],
  wim: ['MSWIM\0\0\0', 'WLPWM\0\0\0'],
  vma: ['VMA\0'], //                                Proxmox VE, vma_spec.txt
  ewf: ['EVF\x09\x0d\x0a\xff\0', 'LVF\x09\x0d\x0a\xff\0', 'EVF2\x0d\x0a\x81\0', 'LEF2\x0d\x0a\x81\0'],
  aff: ['AFF10\r\n\0'],
  partclone: ['partclone-image'],
  ntfsclone: ['\0ntfsclone-image'],
  'android-sparse': ['\x3a\xff\x26\xed'], //        system/core/libsparse/sparse_format.h
  'btrfs-stream': ['btrfs-stream\0'],
  xfsdump: ['xFSdump0'],
  chd: ['MComprHD'],
  cso: ['CISO\0\0\0\0', 'CISO\x18\0\0\0'],
  'qemu-state': ['QEVM\0\0\0'],
  'libvirt-save': ['LibvirtQemudSave', 'LibvirtQemudPart'],
  openssl: ['Salted__'],
  age: ['age-encryption.org/v1\n'],
} as const satisfies Record<string, readonly string[]>;

/** Those with a signature elsewhere than at byte 0, or without a fixed one. */
type OtherWrapping = 'tar' | 'lzma' | 'ffu' | 'ace' | 'lha';

export type WrappingFormat = keyof typeof WRAPPINGS | OtherWrapping;

export const WRAPPING_SIGNATURES: readonly Signature<WrappingFormat>[] = [
  ...Object.entries(WRAPPINGS).flatMap(([format, magics]) =>
    magics.map((bytes): Signature<WrappingFormat> => ({ format: format as WrappingFormat, at: 0, bytes })),
  ),
  { format: 'tar', at: 257, bytes: 'ustar' },
  { format: 'ffu', at: 4, bytes: 'SignedImage ' },
  { format: 'ace', at: 7, bytes: '**ACE**' },
  ...['-lh0-', '-lh1-', '-lh4-', '-lh5-', '-lh6-', '-lh7-', '-lzs-'].map(
    (bytes): Signature<WrappingFormat> => ({ format: 'lha', at: 2, bytes }),
  ),
];

/**
 * Whether `head` begins like LZMA alone, which has no signature: properties of the default encoder, a dictionary that is a power
 * of two or half as much again, and a length that is unknown or below 2^40. Source: XZ Utils, doc/lzma-file-format.txt, 1.1.
 */
export function isLzmaAlone(head: Uint8Array): boolean {
  if (head.byteLength < 13 || head[0] !== 0x5d) return false;
  const view = new DataView(head.buffer, head.byteOffset, 13);
  const dictionary = view.getUint32(1, true);
  const isPower = (value: number): boolean => value >= 4096 && isPowerOfTwo(value);
  const length = view.getUint32(5, true) + view.getUint32(9, true) * 2 ** 32;
  const isUnknown = view.getUint32(5, true) === 0xffffffff && view.getUint32(9, true) === 0xffffffff;
  return (isPower(dictionary) || isPower((dictionary / 3) * 2)) && (isUnknown || (length > 0 && length < 2 ** 40));
}

/** Fields of the binary header: header_old_cpio in cpio(5). Byte offsets. */
const OLD_CPIO = { byteLength: 26, mode: 6, links: 12, nameBytes: 20 } as const;
const MAX_NAME_BYTES = 1024;
/** The file type is what stands above the lowest 12 bits of the mode: pipe, devices, directory, file, link, socket. */
const MODE_BELOW_TYPE = 0o10000;
const FILE_TYPES: readonly number[] = [0o01, 0o02, 0o04, 0o06, 0o10, 0o12, 0o14];

/** Whether `head` is the binary header of a cpio member, in either byte order: its magic has two bytes, so its fields count too. */
export function isOldCpio(head: Uint8Array): boolean {
  if (head.byteLength < 64) return false;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const isLittle = view.getUint16(0, true) === 0o070707;
  if (!isLittle && view.getUint16(0) !== 0o070707) return false;
  const field = (at: number): number => view.getUint16(at, isLittle);
  const nameEnd = OLD_CPIO.byteLength + field(OLD_CPIO.nameBytes);
  if (field(OLD_CPIO.nameBytes) < 2 || field(OLD_CPIO.nameBytes) > MAX_NAME_BYTES) return false;
  // The trailer of an empty archive has no type.
  const isTrailer = String.fromCharCode(...head.subarray(OLD_CPIO.byteLength, OLD_CPIO.byteLength + 11)) === 'TRAILER!!!\0';
  const isMember = FILE_TYPES.includes(Math.floor(field(OLD_CPIO.mode) / MODE_BELOW_TYPE)) && field(OLD_CPIO.links) > 0;
  const isTerminated = nameEnd > head.byteLength || head[nameEnd - 1] === 0;
  return (isTrailer || isMember) && head[OLD_CPIO.byteLength] !== 0 && isTerminated;
}

const TAR_CHECKSUM = { at: 148, length: 8 } as const;

/**
 * Whether `head` is the header of a tar member by its checksum, as archives from before POSIX have no signature.
 * Source: tar(5), "Old-Style Archive Format": the sum of all 512 bytes, those of the checksum as blanks.
 */
export function isOldTar(head: Uint8Array): boolean {
  if (head.byteLength < 512 || head[0] === 0) return false;
  const field = String.fromCharCode(...head.subarray(TAR_CHECKSUM.at, TAR_CHECKSUM.at + TAR_CHECKSUM.length));
  const digits = /^ *([0-7]{1,6})[ \0]/.exec(field)?.[1];
  if (digits === undefined) return false;
  const inChecksum = (at: number): boolean => at >= TAR_CHECKSUM.at && at < TAR_CHECKSUM.at + TAR_CHECKSUM.length;
  const sum = head.subarray(0, 512).reduce((total, byte, at) => total + (inChecksum(at) ? 0x20 : byte), 0);
  return sum === Number.parseInt(digits, 8);
}
