/**
 * Everything that a file could be taken for, by every reader there is: each signature at its own place, not only in the
 * first sector. Evidence for a verdict: more than one reading of one file is what an attacker wants.
 *
 * Sources: the specifications of the formats; for VMDK descriptors, what QEMU 7.2 takes for one.
 */
import type { BlockDevice } from '#block';
import { isWrapping, probe, PROBE_BYTES, probeFooter } from './probe.ts';

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

/** What `identify` reads of the start: as far as the last signature, which is that of btrfs. */
const HEAD_BYTES = 68 * 1024;
const SECTOR = 512;
const DISC_SECTOR = 2048;

interface Magic extends Sign {
  /** Latin-1, one character a byte. */
  readonly bytes: string;
}

const MAGICS: readonly Magic[] = [
  { name: 'xfs', class: 'filesystem', at: 0, bytes: 'XFSB' },
  { name: 'squashfs', class: 'filesystem', at: 0, bytes: 'hsqs' },
  { name: 'ntfs', class: 'filesystem', at: 3, bytes: 'NTFS    ' },
  { name: 'exfat', class: 'filesystem', at: 3, bytes: 'EXFAT   ' },
  { name: 'apfs', class: 'filesystem', at: 32, bytes: 'NXSB' },
  { name: 'erofs', class: 'filesystem', at: 1024, bytes: '\xe2\xe1\xf5\xe0' },
  { name: 'f2fs', class: 'filesystem', at: 1024, bytes: '\x10\x20\xf5\xf2' },
  { name: 'hfsplus', class: 'filesystem', at: 1024, bytes: 'H+\0\x04' },
  { name: 'swap', class: 'filesystem', at: 4086, bytes: 'SWAPSPACE2' },
  { name: 'btrfs', class: 'filesystem', at: 65_600, bytes: '_BHRfS_M' },
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

/** Of the last sector. */
const FOOTER_MAGICS: readonly Magic[] = [
  { name: 'dmg', class: 'container', at: 0, bytes: 'koly' },
  { name: 'gpt-backup', class: 'partitions', at: 0, bytes: 'EFI PART' },
];

/**
 * Every sign in the file, by place.
 *
 * Reads the first 68 KiB and the last sector. Throws: io, over-budget.
 */
export async function identify(device: BlockDevice): Promise<Sign[]> {
  const head = await device.read(0, Math.min(HEAD_BYTES, device.byteLength));
  const tailAt = Math.max(0, device.byteLength - SECTOR);
  const tail = tailAt === 0 ? new Uint8Array(0) : await device.read(tailAt, SECTOR);
  return [...signsOfHead(head), ...signsOfTail(tail, tailAt)].sort((a, b) => a.at - b.at);
}

function signsOfHead(head: Uint8Array): Sign[] {
  const containers = probe(head.subarray(0, PROBE_BYTES)).map(({ format, at }): Sign => {
    return { name: format, class: isWrapping(format) ? 'wrapping' : 'container', at };
  });
  const signs = [...containers, ...MAGICS.filter((magic) => hasBytes(head, magic.at, magic.bytes)).map(asSign)];
  if (!containers.some(({ name }) => name === 'vmdk') && looksLikeDescriptor(head.subarray(0, PROBE_BYTES)))
    signs.push({ name: 'vmdk', class: 'container', at: 0 });
  if (isExt(head)) signs.push({ name: 'ext', class: 'filesystem', at: 1080 });
  const fat = fatAt(head);
  if (fat !== undefined) signs.push({ name: 'fat', class: 'filesystem', at: fat });
  if (isMbr(head, signs)) signs.push({ name: 'mbr', class: 'partitions', at: 510 });
  return signs;
}

function signsOfTail(tail: Uint8Array, tailAt: number): Sign[] {
  const footers = probeFooter(tail).map((one): Sign => ({ name: 'vhd', class: 'container', at: tailAt + one.at }));
  return [
    ...footers,
    ...FOOTER_MAGICS.filter((magic) => hasBytes(tail, 0, magic.bytes)).map((magic) => ({ ...asSign(magic), at: tailAt })),
  ];
}

function asSign({ name, class: kind, at }: Magic): Sign {
  return { name, class: kind, at };
}

function hasBytes(bytes: Uint8Array, at: number, wanted: string): boolean {
  if (bytes.byteLength < at + wanted.length) return false;
  for (let index = 0; index < wanted.length; index += 1) if (bytes[at + index] !== wanted.charCodeAt(index)) return false;
  return true;
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

/** ext2, 3 and 4: the magic is two bytes only, so the fields around it must make sense too. */
function isExt(head: Uint8Array): boolean {
  if (head.byteLength < 2048 || head[1080] !== 0x53 || head[1081] !== 0xef) return false;
  const view = new DataView(head.buffer, head.byteOffset + 1024, 1024);
  const [inodes, blocks, logBlockSize] = [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(24, true)];
  return inodes > 0 && blocks > 0 && logBlockSize <= 6 && view.getUint32(32, true) > 0 && view.getUint32(40, true) > 0;
}

/** FAT has no magic that must be there: a jump, a sector size, the type's name, and the mark of a boot sector. */
function fatAt(head: Uint8Array): number | undefined {
  if (!hasBootMark(head) || (head[0] !== 0xeb && head[0] !== 0xe9)) return undefined;
  const sectorSize = (head[11] as number) + (head[12] as number) * 256;
  if (![512, 1024, 2048, 4096].includes(sectorSize)) return undefined;
  return [54, 82].find((at) => hasBytes(head, at, 'FAT'));
}

function hasBootMark(head: Uint8Array): boolean {
  return head[510] === 0x55 && head[511] === 0xaa;
}

/** The same mark ends the boot sectors of FAT, NTFS and exFAT, which are no partition tables. */
function isMbr(head: Uint8Array, signs: readonly Sign[]): boolean {
  if (!hasBootMark(head) || signs.some(({ name }) => ['fat', 'ntfs', 'exfat'].includes(name))) return false;
  const entries = [446, 462, 478, 494].map((at) => head.subarray(at, at + 16));
  const areFlagsSound = entries.every((entry) => entry[0] === 0 || entry[0] === 0x80);
  return areFlagsSound && entries.some((entry) => entry[4] !== 0 && entry.subarray(12, 16).some((byte) => byte !== 0));
}
