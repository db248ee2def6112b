/**
 * Files that machines read and no guest writes: optical discs, backups, exported disks. Both the name, which is the host's, and
 * the content must agree: a guest can write such bytes onto a raw disk, and a raw disk can be called anything.
 */
import { type ReadableDevice, readUpTo } from '#block';
import type { ImageReport } from '#wire';

/** What a file is that no guest writes, in words. */
export type ExportKind = 'optical disc' | 'VMA backup' | 'stream-optimised VMDK';

/** Sector 16 holds the first volume descriptor. Source: ECMA-119, 8.1. */
const ISO_AT = 16 * 2048 + 1;
const ISO_MAGIC = 'CD001';
/** Source: pve-qemu, vma_spec.txt. */
const VMA_MAGIC = 'VMA\0';

/** What the name and the first bytes of an undeclared file agree on. Reads five bytes of an .iso. */
export async function exportKindOf(path: string, prefix: Uint8Array, device: ReadableDevice): Promise<ExportKind | undefined> {
  const name = path.toLowerCase();
  if (name.endsWith('.vma') && hasText(prefix, 0, VMA_MAGIC)) return 'VMA backup';
  if (!name.endsWith('.iso') || device.byteLength < ISO_AT + ISO_MAGIC.length) return undefined;
  return hasText(await readUpTo(device, ISO_AT, ISO_MAGIC.length), 0, ISO_MAGIC) ? 'optical disc' : undefined;
}

/** The same of a container, by its report. */
export function exportKindOfReport({ path, format, formatSource, details, findings }: ImageReport): ExportKind | undefined {
  const isStream = format === 'vmdk' && formatSource === 'signature' && details['subformat'] === 'streamOptimized';
  const isProven = path.toLowerCase().endsWith('.vmdk') && !findings.some(({ code }) => code === 'FORMAT_UNPROVEN');
  return isStream && isProven ? 'stream-optimised VMDK' : undefined;
}

function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  return Array.from(text, (character) => character.charCodeAt(0)).every((code, index) => bytes[at + index] === code);
}
