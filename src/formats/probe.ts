/**
 * What a file's first bytes say it is. Evidence, not a decision: probing never throws, and the absence of a signature
 * is not proof of raw. Sources: the specifications of each format; signatures only, nothing is read further.
 */

/** Formats that are recognised; which of them are read is the sandbox's table. */
export type RecognisedFormat =
  | 'qcow2'
  | 'qcow'
  | 'vmdk'
  | 'vhdx'
  | 'vhd'
  | 'vdi'
  | 'qed'
  | 'parallels'
  | 'bochs'
  | 'cloop'
  | 'luks'
  | 'gzip'
  | 'xz'
  | 'zstd'
  | 'bzip2'
  | 'zip'
  | 'tar';

export interface Evidence {
  readonly format: RecognisedFormat;
  /** Byte offset of the signature. */
  readonly at: number;
}

interface Signature extends Evidence {
  readonly bytes: string;
}

/** Latin-1 strings: one character a byte. */
const SIGNATURES: readonly Signature[] = [
  { format: 'qcow2', at: 0, bytes: 'QFI\xfb\0\0\0\x02' },
  { format: 'qcow2', at: 0, bytes: 'QFI\xfb\0\0\0\x03' },
  { format: 'qcow', at: 0, bytes: 'QFI\xfb\0\0\0\x01' },
  { format: 'vmdk', at: 0, bytes: 'KDMV' },
  { format: 'vmdk', at: 0, bytes: 'COWD' },
  { format: 'vmdk', at: 0, bytes: '# Disk DescriptorFile' },
  { format: 'vhdx', at: 0, bytes: 'vhdxfile' },
  { format: 'vhd', at: 0, bytes: 'conectix' },
  { format: 'vdi', at: 64, bytes: '\x7f\x10\xda\xbe' },
  { format: 'qed', at: 0, bytes: 'QED\0' },
  { format: 'parallels', at: 0, bytes: 'WithoutFreeSpace' },
  { format: 'parallels', at: 0, bytes: 'WithouFreSpacExt' },
  { format: 'bochs', at: 0, bytes: 'Bochs Virtual HD Image' },
  { format: 'cloop', at: 0, bytes: '#!/bin/sh\n#V2.0 Format' },
  { format: 'luks', at: 0, bytes: 'LUKS\xba\xbe' },
  { format: 'gzip', at: 0, bytes: '\x1f\x8b\x08' },
  { format: 'xz', at: 0, bytes: '\xfd7zXZ\0' },
  { format: 'zstd', at: 0, bytes: '\x28\xb5\x2f\xfd' },
  { format: 'bzip2', at: 0, bytes: 'BZh' },
  { format: 'zip', at: 0, bytes: 'PK\x03\x04' },
  { format: 'tar', at: 257, bytes: 'ustar' },
];

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
  return found;
}

/** What a VHD's footer begins with. */
export const VHD_COOKIE = 'conectix';

/** A fixed VHD begins with the guest's own bytes; only its last sector tells. */
export function probeFooter(lastSector: Uint8Array): Evidence[] {
  return matches(lastSector, 0, VHD_COOKIE) ? [{ format: 'vhd', at: 0 }] : [];
}

function matches(prefix: Uint8Array, at: number, bytes: string): boolean {
  if (prefix.byteLength < at + bytes.length) return false;
  for (let index = 0; index < bytes.length; index += 1) if (prefix[at + index] !== bytes.charCodeAt(index)) return false;
  return true;
}

/** How the names of a format's files end. */
const EXTENSIONS_OF: Partial<Readonly<Record<RecognisedFormat, readonly string[]>>> = {
  qcow2: ['qcow2', 'qcow'],
  qcow: ['qcow'],
  vmdk: ['vmdk'],
  vhd: ['vhd', 'vpc'],
  vhdx: ['vhdx'],
  vdi: ['vdi'],
  qed: ['qed'],
  parallels: ['hdd', 'hds', 'parallels'],
  luks: ['luks'],
};

/** Whether the host's name of a file ends as those of `format` do. */
export function isNamedAs(fileName: string, format: RecognisedFormat): boolean {
  return EXTENSIONS_OF[format]?.includes(extensionOf(fileName)) === true;
}

function extensionOf(fileName: string): string {
  return /\.([^./]+)$/.exec(fileName)?.[1]?.toLowerCase() ?? '';
}

const RAW_EXTENSIONS = new Set(['raw', 'img', 'iso', 'dd', 'bin', 'disk', 'image']);
const CONTAINER_EXTENSIONS = new Set(['qcow2', 'qcow', 'vmdk', 'vhd', 'vhdx', 'vdi', 'qed', 'vpc']);
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
const SMALLEST_UNNAMED_DISK = 64 * 1024;

/**
 * What a file found by a scan is by its name and length, when it has no signature: a raw disk (a guess), a container
 * whose signature is missing, or no disk image at all. The name decides only whether the file is looked at, never how.
 */
export function judgeUnsigned(fileName: string, length: number): 'raw' | 'container' | 'other' {
  const extension = extensionOf(fileName);
  if (CONTAINER_EXTENSIONS.has(extension)) return 'container';
  if (RAW_EXTENSIONS.has(extension)) return 'raw';
  if (OTHER_EXTENSIONS.has(extension)) return 'other';
  return length >= SMALLEST_UNNAMED_DISK && length % 512 === 0 ? 'raw' : 'other';
}

/** Wrappings that a scan passes over as no disk images of their own. */
export function isWrapping(format: RecognisedFormat): boolean {
  return ['gzip', 'xz', 'zstd', 'bzip2', 'zip', 'tar'].includes(format);
}
