/**
 * What a file's first bytes say it is. Evidence, not a decision: probing never throws, and the absence of a signature
 * is not proof of raw. Sources: the specifications of each format; signatures only, nothing is read further.
 */

import { CONTAINER_SIGNATURES, isLzmaAlone, isOldCpio, isOldTar, WRAPPING_SIGNATURES, type WrappingFormat } from './signatures.ts';
import { CONTAINER_FORMATS, type ContainerFormat, FORMAT_DRIVERS } from './registry.ts';
import { FOOTER_COOKIE } from './vhd/layout.ts';

/** Formats that are recognised; which of them are read is the sandbox's table. */
export type RecognisedFormat = ContainerFormat | WrappingFormat;

export interface Evidence {
  readonly format: RecognisedFormat;
  /** Byte offset of the signature. */
  readonly at: number;
}

const WRAPPINGS: ReadonlySet<string> = new Set(['lzma', ...WRAPPING_SIGNATURES.map(({ format }) => format)]);
const SIGNATURES = [...CONTAINER_SIGNATURES, ...WRAPPING_SIGNATURES];

/** Bytes from the start of a file that `probe` wants to see. */
export const PROBE_BYTES = 512;

/** Every signature found in `prefix`; qcow2 with an unknown version counts as qcow2, so that it is named in the error. */
export function probe(prefix: Uint8Array): Evidence[] {
  const found: Evidence[] = [];
  for (const signature of SIGNATURES) {
    if (matches(prefix, signature.at, signature.bytes)) found.push({ format: signature.format, at: signature.at });
  }
  // QEMU takes every later version for its own too, whatever else the bytes are.
  if (!found.some(({ format }) => format === 'qcow2' || format === 'qcow') && matches(prefix, 0, 'QFI\xfb'))
    found.push({ format: 'qcow2', at: 0 });
  if (found.length === 0 && isLzmaAlone(prefix)) found.push({ format: 'lzma', at: 0 });
  if (found.length === 0 && isOldCpio(prefix)) found.push({ format: 'cpio', at: 0 });
  if (found.length === 0 && isOldTar(prefix)) found.push({ format: 'tar', at: 0 });
  return found;
}

/** What the last sector of Apple's disk images begins with. */
const DMG_TRAILER = 'koly';

/** Formats by the last sector alone: a fixed VHD begins with the guest's own bytes, a DMG with compressed ones. */
export function probeFooter(lastSector: Uint8Array): Evidence[] {
  if (matches(lastSector, 0, FOOTER_COOKIE)) return [{ format: 'vhd', at: 0 }];
  return matches(lastSector, 0, DMG_TRAILER) ? [{ format: 'dmg', at: 0 }] : [];
}

function matches(prefix: Uint8Array, at: number, bytes: string): boolean {
  if (prefix.byteLength < at + bytes.length) return false;
  for (let index = 0; index < bytes.length; index += 1) if (prefix[at + index] !== bytes.charCodeAt(index)) return false;
  return true;
}

/** Whether the host's name of a file ends as those of `format` do. */
export function isNamedAs(fileName: string, format: RecognisedFormat): boolean {
  return CONTAINER_FORMATS.some(({ name, extensions }) => name === format && extensions.includes(extensionOf(fileName)));
}

function extensionOf(fileName: string): string {
  return /\.([^./]+)$/.exec(fileName)?.[1]?.toLowerCase() ?? '';
}

const RAW_EXTENSIONS = new Set(['raw', 'img', 'iso', 'dd', 'bin', 'disk', 'image']);
/** Of formats whose files have a signature without fail. */
const CONTAINER_EXTENSIONS = new Set(FORMAT_DRIVERS.flatMap((one) => (one.isEncrypted === true ? [] : one.extensions)));
const OTHER_EXTENSIONS = new Set([
  'xml',
  'txt',
  'log',
  'json',
  'yaml',
  'yml',
  'md',
  'conf',
  'cfg',
  'sig',
  'asc',
  'sha256',
  'sha512',
  'md5',
  'gz',
  'xz',
  'zst',
  'bz2',
  'zip',
  'tar',
  'tgz',
  ...['7z', 'rar', 'cab', 'cpio', 'lz4', 'lzo', 'lzma', 'lz', 'txz', 'tbz2', 'tzst', 'deb', 'rpm', 'wim', 'e01', 'xar'],
  'ova',
  'ovf',
  'nvram',
  'fd',
  'lock',
  'pid',
  'sock',
  'sh',
  'py',
  'js',
  'ts',
  'db',
  'sqlite',
  'pem',
  'key',
  'crt',
]);

/** Below this length a file without signature and telling name is taken for something else than a disk. */
const MIN_UNNAMED_DISK = 64 * 1024;

/**
 * What a file found by a scan is by its name and length, when it has no signature: a raw disk (a guess), a container
 * whose signature is missing, or no disk image at all. The name decides only whether the file is looked at, never how.
 */
export function judgeUnsigned(fileName: string, length: number): 'raw' | 'container' | 'other' {
  const extension = extensionOf(fileName);
  if (CONTAINER_EXTENSIONS.has(extension)) return 'container';
  if (RAW_EXTENSIONS.has(extension)) return 'raw';
  if (OTHER_EXTENSIONS.has(extension)) return 'other';
  return length >= MIN_UNNAMED_DISK && length % 512 === 0 ? 'raw' : 'other';
}

/** Wrappings that a scan passes over as no disk images of their own. */
export function isWrapping(format: RecognisedFormat): boolean {
  return WRAPPINGS.has(format);
}
