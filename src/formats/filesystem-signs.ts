/**
 * Filesystems and volumes by the place and the bytes of their superblocks; as many fields around a magic as it needs so that
 * chance does not make one.
 *
 * Sources, where no other is named: the kernel's own headers (fs/*, include/uapi/linux/*).
 */
import type { FileEnds } from './file-ends.ts';
import type { Sign } from './identify.ts';

interface FilesystemMagic extends Sign {
  /** Latin-1, one character a byte. */
  readonly bytes: string;
}

const filesystem = (name: string, at: number, bytes: string): FilesystemMagic => ({ name, class: 'filesystem', at, bytes });

/** Where the last ten bytes of the first page lie, by the size of pages: swap was made on machines of all sizes. */
const SWAP_PLACES = [4, 8, 16, 32, 64].map((kibibytes) => kibibytes * 1024 - 10);

/** Those that are long enough to be certain. */
export const FILESYSTEM_MAGICS: readonly FilesystemMagic[] = [
  filesystem('xfs', 0, 'XFSB'),
  filesystem('squashfs', 0, 'hsqs'),
  filesystem('cramfs', 16, 'Compressed ROMFS'),
  filesystem('ntfs', 3, 'NTFS    '),
  filesystem('exfat', 3, 'EXFAT   '), //              Microsoft, "exFAT file system specification", 3.1.2
  filesystem('bitlocker', 3, '-FVE-FS-'), //          libbde, "BitLocker Drive Encryption format", volume header
  filesystem('apfs', 32, 'NXSB'), //                  Apple, "Apple File System Reference", nx_superblock_t behind its object header
  filesystem('erofs', 1024, '\xe2\xe1\xf5\xe0'),
  filesystem('f2fs', 1024, '\x10\x20\xf5\xf2'), //    F2FS_SUPER_OFFSET
  filesystem('hfsplus', 1024, 'H+\0\x04'), //         Apple, TN1150, "Volume Header": signature and version
  filesystem('hfsx', 1024, 'HX\0\x05'), //            TN1150, "HFSX"
  ...SWAP_PLACES.flatMap((at) => [filesystem('swap', at, 'SWAPSPACE2'), filesystem('swap', at, 'SWAP-SPACE')]),
  // sb->magic of bcache, and of the first bcachefs; then that of bcachefs today.
  filesystem('bcache', 4096 + 24, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81'),
  filesystem('bcachefs', 4096 + 24, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef'),
  ...[8192, 65_536].flatMap((superblock) =>
    ['ReIsErFs', 'ReIsEr2Fs', 'ReIsEr3Fs'].map((magic) => filesystem('reiserfs', superblock + 52, magic)),
  ),
  filesystem('reiser4', 65_536, 'ReIsEr4'),
  filesystem('jfs', 32_768, 'JFS1'), //               SUPER1_B
  filesystem('btrfs', 65_600, '_BHRfS_M'),
  ...['sqsh', 'shsq', 'qshs'].map((magic) => filesystem('squashfs', 0, magic)), // big-endian, and with LZMA
  filesystem('romfs', 0, '-rom1fs-'),
  filesystem('ubi', 0, 'UBI#\x01'),
  filesystem('ubifs', 0, '\x31\x18\x10\x06'), //       UBIFS_NODE_MAGIC
  filesystem('gfs2', 65_536, '\x01\x16\x19\x70\0\0\0\x01'), // GFS2_MAGIC, GFS2_METATYPE_SB
  ...[1024, 2048, 4096, 8192].map((block) => filesystem('ocfs2', block, 'OCFSV2')), // OCFS2_SUPER_BLOCK_BLKNO 2
  ...[8192, 65_536].flatMap((at) => [
    filesystem('ufs', at + 1372, '\x54\x19\x01\0'), //   FS_UFS1_MAGIC, FS_UFS2_MAGIC; both byte orders
    filesystem('ufs', at + 1372, '\x19\x01\x54\x19'),
    filesystem('ufs', at + 1372, '\0\x01\x19\x54'),
    filesystem('ufs', at + 1372, '\x19\x54\x01\x19'),
  ]),
  filesystem('hpfs', 8192, '\x49\xe8\x95\xf9\xc5\xe9\x53\xfa'),
  filesystem('befs', 512 + 32, '1SFB'),
  filesystem('zonefs', 0, 'SFOZ'),
];

const volume = (name: string, at: number, bytes: string): FilesystemMagic => ({ name, class: 'partitions', at, bytes });

/** Volumes and partition tables besides MBR, GPT, LVM and RAID. */
export const VOLUME_MAGICS: readonly FilesystemMagic[] = [
  volume('apple-partitions', 512, 'PM\0\0'), //         Apple, "Inside Macintosh: Devices", partition map
  ...[0, 512, 1024].map((at) => volume('amiga-partitions', at, 'RDSK\0\0')),
  volume('bsd-disklabel', 512, 'WEV\x82'),
  volume('sgi-partitions', 0, '\x0b\xe5\xa9\x41'),
  volume('vdo', 0, 'dmvdo001'),
  volume('stratis', 512 + 4, '!Stra0tis\x86\xff\x02^\x41rh'),
  volume('bluestore', 0, 'bluestore block device\n'),
  volume('dm-integrity', 0, 'integrt\0'),
  volume('dm-verity', 0, 'verity\0\0\x01\0\0\0'),
  volume('lvm1', 0, 'HM\x01\0'),
  volume('android-boot', 0, 'ANDROID!'),
];

/** Those of the beginning that need more than their magic. */
export function filesystemsOfHead(ends: FileEnds): Sign[] {
  const signs: Sign[] = [];
  const add = (name: string, at: number, kind: Sign['class'] = 'filesystem'): void => void signs.push({ name, class: kind, at });
  if (isExt(ends)) add('ext', 1024 + 56);
  if (isNilfs(ends, 1024)) add('nilfs2', 1024 + 6);
  const minix = minixMagicAt(ends);
  if (minix !== undefined) add('minix', minix);
  if (isHfs(ends)) add('hfs', 1024);
  if (isBitLockerToGo(ends)) add('bitlocker', 3);
  for (const at of [0, 4096]) if (isRaidVersion1(ends, at)) add('mdraid', at, 'partitions');
  for (const label of [0, 256 * 1024]) {
    const uberblock = uberblockAt(ends, label);
    if (uberblock !== undefined) add('zfs', uberblock);
  }
  return signs;
}

/** Those that are found from the end: superblocks that have their only place there, and copies. */
export function filesystemsOfTail(ends: FileEnds): Sign[] {
  const { byteLength } = ends;
  const signs: Sign[] = [];
  const add = (name: string, at: number, kind: Sign['class'] = 'filesystem'): void => void signs.push({ name, class: kind, at });
  // NILFS_SB2_OFFSET_BYTES
  const nilfs = (Math.floor(byteLength / 4096) - 1) * 4096;
  if (nilfs > 1024 && isNilfs(ends, nilfs)) add('nilfs2', nilfs + 6);
  // TN1150: the alternate volume header, 1024 bytes before the end.
  const hfs = byteLength - 1024;
  if (hfs > 1024)
    for (const [name, magic] of [
      ['hfsplus', 'H+\0\x04'],
      ['hfsx', 'HX\0\x05'],
    ] as const)
      if (ends.has(hfs, magic)) add(name, hfs);
  // Version 1.0: at least 8 KiB before the end, on 4 KiB. Version 0.90: the last 64 KiB that are whole.
  const one = Math.floor((Math.floor(byteLength / 512) - 16) / 8) * 4096;
  if (one > 4096 && isRaidVersion1(ends, one)) add('mdraid', one, 'partitions');
  const old = Math.floor(byteLength / 65_536) * 65_536 - 65_536;
  if (old >= 0 && isRaidVersion090(ends, old)) add('mdraid', old, 'partitions');
  const labelsEnd = Math.floor(byteLength / ZFS_LABEL_BYTES) * ZFS_LABEL_BYTES;
  for (const label of [labelsEnd - 2 * ZFS_LABEL_BYTES, labelsEnd - ZFS_LABEL_BYTES]) {
    const uberblock = label > ZFS_LABEL_BYTES ? uberblockAt(ends, label) : undefined;
    if (uberblock !== undefined) add('zfs', uberblock);
  }
  return signs;
}

/** ext2, 3 and 4: the magic is two bytes only, so the fields around it must make sense too. */
function isExt(ends: FileEnds): boolean {
  const at = (offset: number): number => ends.little(1024 + offset, 4);
  return ends.has(1024 + 56, '\x53\xef') && at(0) > 0 && at(4) > 0 && at(24) <= 6 && at(32) > 0 && at(40) > 0;
}

/** nilfs2_ondisk.h: s_rev_level 2, s_magic, s_log_block_size. */
function isNilfs(ends: FileEnds, superblock: number): boolean {
  return ends.little(superblock, 4) === 2 && ends.has(superblock + 6, '\x34\x34') && ends.little(superblock + 20, 4) <= 6;
}

/** minix_fs.h: versions 1 and 2 with names of 14 and 30 characters, and version 3, whose fields lie elsewhere. */
function minixMagicAt(ends: FileEnds): number | undefined {
  const at = (offset: number): number => ends.little(1024 + offset, 2);
  const isSound = (imapBlocks: number, logZoneSize: number): boolean =>
    at(0) > 0 && at(imapBlocks) > 0 && at(imapBlocks + 2) > 0 && at(logZoneSize) === 0;
  if ([0x137f, 0x138f, 0x2468, 0x2478].includes(at(16)) && isSound(4, 10)) return 1024 + 16;
  return at(24) === 0x4d5a && isSound(6, 12) ? 1024 + 24 : undefined;
}

/** Apple, "Inside Macintosh: Files", Master Directory Block: blocks, and their size in whole sectors. */
function isHfs(ends: FileEnds): boolean {
  const blockSize = ends.big(1024 + 20, 4);
  return ends.has(1024, 'BD') && ends.big(1024 + 18, 2) > 0 && blockSize > 0 && blockSize % 512 === 0;
}

/** libbde, "BitLocker To Go": a FAT boot sector, with a GUID of its own. */
function isBitLockerToGo(ends: FileEnds): boolean {
  return ends.has(3, 'MSWIN4.1') && ends.has(424, '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01');
}

const RAID_MAGIC = 0xa92b4efc;

/** raid/md_p.h, mdp_superblock_1: magic and major_version. */
function isRaidVersion1(ends: FileEnds, at: number): boolean {
  return ends.little(at, 4) === RAID_MAGIC && ends.little(at + 4, 4) === 1;
}

/** raid/md_p.h, mdp_super_t, in the byte order of the machine that made it: md_magic, major_version 0, minor_version 90. */
function isRaidVersion090(ends: FileEnds, at: number): boolean {
  return [ends.little.bind(ends), ends.big.bind(ends)].some(
    (read) => read(at, 4) === RAID_MAGIC && read(at + 4, 4) === 0 && read(at + 8, 4) === 90,
  );
}

const ZFS_LABEL_BYTES = 256 * 1024;

/** "ZFS On-Disk Specification", 1.2 and 1.3: the second half of a label is a ring of uberblocks, of 1 KiB or more each. */
function uberblockAt(ends: FileEnds, label: number): number | undefined {
  for (let at = label + ZFS_LABEL_BYTES / 2; at < label + ZFS_LABEL_BYTES; at += 1024) {
    if (ends.has(at, '\x0c\xb1\xba\0\0\0\0\0') || ends.has(at, '\0\0\0\0\0\xba\xb1\x0c')) return at;
  }
  return undefined;
}
