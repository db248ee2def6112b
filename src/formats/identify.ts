/**
 * Everything that a file could be taken for, by every reader there is: each signature at its own place, not only in the
 * first sector. Evidence for a verdict: more than one reading of one file is what an attacker wants.
 *
 * Sources: the specifications of the formats; for VMDK descriptors, what QEMU 7.2 takes for one.
 */
import { type ReadableDevice, readUpTo } from '#block';
import { FileEnds } from './file-ends.ts';
import { FILESYSTEM_MAGICS, filesystemsOfHead, filesystemsOfTail, VOLUME_MAGICS } from './filesystem-signs.ts';
import { isWrapping, probe, PROBE_BYTES, probeFooter } from './probe.ts';
import { FOOTER_COOKIE } from './vhd/layout.ts';

/**
 * container: holds a disk in a format of its own. wrapping: compressed or an archive. filesystem, partitions: what a raw
 * disk begins with. media: an optical disc.
 */
export type SignClass = 'container' | 'wrapping' | 'filesystem' | 'partitions' | 'media';

export interface Sign {
  readonly name: string;
  readonly class: SignClass;
  /** Byte offset of the signature in the file. */
  readonly at: number;
}

/** What `identify` reads of the start: as far as the second label of a ZFS. */
export const IDENTIFY_HEAD_BYTES = 512 * 1024;
/** What it reads of the end: the last two labels of a ZFS, which end at a multiple of 256 KiB. */
const TAIL_BYTES = 768 * 1024;
const SECTOR = 512;
const DISC_SECTOR = 2048;

interface Magic extends Sign {
  /** Latin-1, one character a byte. */
  readonly bytes: string;
}

const MAGICS: readonly Magic[] = [
  ...FILESYSTEM_MAGICS,
  ...VOLUME_MAGICS,
  { name: 'lvm2', class: 'partitions', at: 0, bytes: 'LABELONE' },
  { name: 'lvm2', class: 'partitions', at: SECTOR, bytes: 'LABELONE' },
  { name: 'lvm2', class: 'partitions', at: 2 * SECTOR, bytes: 'LABELONE' },
  { name: 'lvm2', class: 'partitions', at: 3 * SECTOR, bytes: 'LABELONE' },
  { name: 'gpt', class: 'partitions', at: SECTOR, bytes: 'EFI PART' },
  { name: 'gpt', class: 'partitions', at: 4096, bytes: 'EFI PART' },
  { name: 'iso9660', class: 'media', at: 16 * DISC_SECTOR + 1, bytes: 'CD001' },
  ...Array.from({ length: 16 }, (_, sector) => (16 + sector) * DISC_SECTOR + 1).flatMap((at): Magic[] => [
    { name: 'udf', class: 'media', at, bytes: 'NSR02' },
    { name: 'udf', class: 'media', at, bytes: 'NSR03' },
  ]),
];

/** By their distance from the end. */
const FOOTER_MAGICS: readonly Magic[] = [
  { name: 'gpt-backup', class: 'partitions', at: SECTOR, bytes: 'EFI PART' },
  { name: 'gpt-backup', class: 'partitions', at: 4096, bytes: 'EFI PART' },
];

/**
 * Every sign in the file, by place.
 *
 * Reads the first 512 KiB and the last 768 KiB, and 4 bytes more where nothing is found there. Throws: io, over-budget.
 */
export async function identify(device: ReadableDevice): Promise<Sign[]> {
  const { byteLength } = device;
  const head = await readUpTo(device, 0, IDENTIFY_HEAD_BYTES);
  const tailAt = Math.max(0, byteLength - TAIL_BYTES);
  const ends = new FileEnds(byteLength, head, await readUpTo(device, tailAt, byteLength - tailAt));
  const signs = [...signsOfHead(head, ends), ...signsOfTail(ends)].sort((a, b) => a.at - b.at);
  return signs.length === 0 && (await isVmfs(device)) ? [{ name: 'vmfs', class: 'filesystem', at: VMFS.at }] : signs;
}

/** The first volume header of VMFS, so far behind the start that it is read only where nothing else is found. Source: libblkid. */
const VMFS = { at: 2 ** 20, magic: [0x0d, 0xd0, 0x01, 0xc0] } as const;

async function isVmfs(device: ReadableDevice): Promise<boolean> {
  const { at, magic } = VMFS;
  if (device.byteLength < at + magic.length) return false;
  const found = await readUpTo(device, at, magic.length);
  return magic.every((byte, index) => found[index] === byte);
}

function signsOfHead(head: Uint8Array, ends: FileEnds): Sign[] {
  const prefix = head.subarray(0, PROBE_BYTES);
  const containers = probe(prefix).map(({ format, at }): Sign => {
    const isOva = format === 'tar' && isOvf(firstMember(head));
    return { name: isOva ? 'ova' : format, class: isWrapping(format) ? 'wrapping' : 'container', at };
  });
  const signs = [...containers, ...MAGICS.filter((magic) => ends.has(magic.at, magic.bytes)).map(asSign)];
  if (!containers.some(({ name }) => name === 'vmdk') && looksLikeDescriptor(prefix))
    signs.push({ name: 'vmdk', class: 'container', at: 0 });
  signs.push(...filesystemsOfHead(ends));
  const fat = fatAt(head, ends);
  if (fat !== undefined) signs.push({ name: 'fat', class: 'filesystem', at: fat });
  if (isMbr(head, signs)) signs.push({ name: 'mbr', class: 'partitions', at: 510 });
  else if (hasBootMark(head) && !hasBootSector(signs)) signs.push({ name: 'boot-sector', class: 'partitions', at: 510 });
  return signs;
}

function signsOfTail(ends: FileEnds): Sign[] {
  const { byteLength } = ends;
  if (byteLength <= SECTOR) return [];
  const last = byteLength - SECTOR;
  const footers = probeFooter(ends.bytes(last, SECTOR)).map(({ format }): Sign => ({ name: format, class: 'container', at: last }));
  // Old programs wrote a footer of a byte less.
  if (ends.has(last + 1, FOOTER_COOKIE)) footers.push({ name: 'vhd', class: 'container', at: last + 1 });
  return [
    ...footers,
    ...FOOTER_MAGICS.map((magic) => ({ ...magic, at: byteLength - magic.at }))
      .filter((magic) => magic.at > 0 && ends.has(magic.at, magic.bytes))
      .map(asSign),
    ...filesystemsOfTail(ends),
  ];
}

function asSign({ name, class: kind, at }: Magic): Sign {
  return { name, class: kind, at };
}

/** Where the name of a member, its type and its length stand: POSIX ustar, header of a member. */
const TAR = { nameBytes: 100, sizeAt: 124, typeAt: 156, blockBytes: 512 } as const;

/** The name of an archive's first member; what only describes the member that follows is none. */
function firstMember(head: Uint8Array): string {
  const text = (at: number, length: number): string => String.fromCharCode(...head.subarray(at, at + length)).replace(/\0.*$/s, '');
  const type = text(TAR.typeAt, 1);
  if (type !== 'x' && type !== 'g') return text(0, TAR.nameBytes);
  const described = Number.parseInt(text(TAR.sizeAt, 12), 8);
  return text((1 + Math.ceil(described / TAR.blockBytes)) * TAR.blockBytes, TAR.nameBytes);
}

/** An OVA begins with its description. Source: DMTF DSP0243, "Distribution as a single file". */
function isOvf(memberName: string): boolean {
  return memberName.toLowerCase().endsWith('.ovf');
}

/**
 * Whether the text could be a VMDK descriptor to anybody: QEMU skips comments and empty lines and looks for the version,
 * others compare without regard to case or spaces.
 */
function looksLikeDescriptor(head: Uint8Array): boolean {
  if (!beginsLikeDescriptor(head)) return false;
  const text = Array.from(head, (byte) => String.fromCharCode(byte)).join('');
  const lines = text.split('\n').map((line) => line.replaceAll(/[\s\0]/g, '').toLowerCase());
  if (lines[0]?.startsWith('#diskdescriptorfile') === true) return true;
  const first = lines.find((line) => line !== '' && !line.startsWith('#'));
  return first !== undefined && /^version=[0-9]/.test(first);
}

/** Whether the first byte that is no space, of those in Latin-1, and no NUL begins a comment or the word `version`: nearly never. */
function beginsLikeDescriptor(head: Uint8Array): boolean {
  const first = head.find((byte) => byte !== 0 && byte !== 0x20 && byte !== 0xa0 && (byte < 0x09 || byte > 0x0d));
  return first === 0x23 || first === 0x56 || first === 0x76;
}

/** FAT has no magic that must be there: a jump, a sector size, the type's name, and the mark of a boot sector. */
function fatAt(head: Uint8Array, ends: FileEnds): number | undefined {
  if (!hasBootMark(head) || (head[0] !== 0xeb && head[0] !== 0xe9)) return undefined;
  const sectorSize = (head[11] as number) + (head[12] as number) * 256;
  if (![512, 1024, 2048, 4096].includes(sectorSize)) return undefined;
  return [54, 82].find((at) => ends.has(at, 'FAT'));
}

function hasBootMark(head: Uint8Array): boolean {
  return head[510] === 0x55 && head[511] === 0xaa;
}

/** Whether the boot mark is that of a filesystem. */
function hasBootSector(signs: readonly Sign[]): boolean {
  return signs.some(({ name }) => ['fat', 'ntfs', 'exfat', 'bitlocker'].includes(name));
}

/** The same mark ends the boot sectors of FAT, NTFS, exFAT and BitLocker, which are no partition tables. */
function isMbr(head: Uint8Array, signs: readonly Sign[]): boolean {
  if (!hasBootMark(head) || hasBootSector(signs)) return false;
  const entries = [446, 462, 478, 494].map((at) => head.subarray(at, at + 16));
  const areFlagsSound = entries.every((entry) => entry[0] === 0 || entry[0] === 0x80);
  return areFlagsSound && entries.some((entry) => entry[4] !== 0 && entry.subarray(12, 16).some((byte) => byte !== 0));
}
