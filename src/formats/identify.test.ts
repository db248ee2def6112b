import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryDevice, type ReadableDevice, readableDevice } from '#block';
import { identify } from './identify.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-identify-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const tree = join(directory, 'tree');
mkdirSync(tree);
writeFileSync(join(tree, 'file'), 'of a filesystem that is made whole');

const MiB = 2 ** 20;
const PATH = 'PATH';

/** Made by the tools that own the formats. */
const MADE: readonly { readonly tool: readonly string[]; readonly size: number; readonly signs: readonly string[] }[] = [
  { tool: ['mkfs.ext4', '-qF', PATH], size: 8 * MiB, signs: ['ext'] },
  { tool: ['mkfs.ext2', '-qF', '-b', '1024', PATH], size: 2 * MiB, signs: ['ext'] },
  { tool: ['mkfs.xfs', '-qf', PATH], size: 320 * MiB, signs: ['xfs'] },
  { tool: ['mkfs.btrfs', '-qf', PATH], size: 128 * MiB, signs: ['btrfs'] },
  { tool: ['mkswap', PATH], size: 2 * MiB, signs: ['swap'] },
  { tool: ['mkswap', '-p', '65536', PATH], size: 2 * MiB, signs: ['swap'] },
  { tool: ['mkfs.jfs', '-q', PATH], size: 16 * MiB, signs: ['jfs'] },
  { tool: ['mkfs.nilfs2', '-q', '-B', '256', PATH], size: 128 * MiB, signs: ['nilfs2', 'nilfs2'] },
  { tool: ['mkfs.minix', '-1', PATH], size: 2 * MiB, signs: ['minix'] },
  { tool: ['mkfs.minix', '-2', '-n', '14', PATH], size: 2 * MiB, signs: ['minix'] },
  { tool: ['mkfs.minix', '-3', PATH], size: 2 * MiB, signs: ['minix'] },
  { tool: ['mkfs.f2fs', '-q', PATH], size: 64 * MiB, signs: ['f2fs'] },
  { tool: ['mkfs.exfat', PATH], size: 8 * MiB, signs: ['exfat'] },
  { tool: ['mkfs.reiserfs', '-qff', PATH], size: 40 * MiB, signs: ['reiserfs'] },
  { tool: ['mkapfs', PATH], size: 600 * MiB, signs: ['apfs'] },
  { tool: ['mkfs.erofs', PATH, tree], size: 0, signs: ['erofs'] },
  { tool: ['mksquashfs', tree, PATH, '-quiet', '-no-progress'], size: 0, signs: ['squashfs'] },
  { tool: ['mkfs.cramfs', tree, PATH], size: 0, signs: ['cramfs'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'qcow2', PATH, '1M'], size: 0, signs: ['qcow2'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vpc', PATH, '1M'], size: 0, signs: ['vhd', 'vhd'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vpc', '-o', 'subformat=fixed', PATH, '1M'], size: 0, signs: ['vhd'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vdi', PATH, '1M'], size: 0, signs: ['vdi'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vhdx', PATH, '1M'], size: 0, signs: ['vhdx'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vmdk', PATH, '1M'], size: 0, signs: ['vmdk'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', PATH, '1M'], size: 0, signs: ['vmdk'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'qed', PATH, '1M'], size: 0, signs: ['qed'] },
  { tool: ['qemu-img', 'create', '-q', '-f', 'qcow', PATH, '1M'], size: 0, signs: ['qcow'] },
];

async function signsOfMade({ tool, size }: (typeof MADE)[number]): Promise<string[]> {
  const path = join(directory, 'made.img');
  rmSync(path, { force: true });
  if (size > 0) {
    writeFileSync(path, '');
    truncateSync(path, size);
  }
  execFileSync(
    tool[0] as string,
    tool.slice(1).map((word) => (word === PATH ? path : word)),
    { stdio: 'pipe' },
  );
  const fd = openSync(path, 'r');
  try {
    return await names(fileDevice(fd, statSync(path).size));
  } finally {
    closeSync(fd);
  }
}

function fileDevice(fd: number, byteLength: number): ReadableDevice {
  return readableDevice({
    byteLength,
    read: (target, offset) => Promise.resolve(readSync(fd, target, 0, target.byteLength, offset)),
  });
}

async function names(content: Uint8Array | ReadableDevice): Promise<string[]> {
  return (await identify(content instanceof Uint8Array ? memoryDevice(content) : content)).map(({ name }) => name);
}

function disk(...pieces: readonly (readonly [number, string])[]): Buffer {
  const bytes = Buffer.alloc(MiB);
  for (const [at, text] of pieces) bytes.write(text, at, 'latin1');
  return bytes;
}

const PARTITION: readonly [number, string] = [446, '\x80\0\0\0\x83\0\0\0\x01\0\0\0\0\x08\0\0'];
const BOOT_MARK: readonly [number, string] = [510, '\x55\xaa'];
const BPB: readonly [number, string] = [11, '\0\x02'];

const BITLOCKER_TO_GO = '\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01';
const RAID_1 = '\xfc\x4e\x2b\xa9\x01\0\0\0';
const UBERBLOCK = '\x0c\xb1\xba\0\0\0\0\0';

describe('identify()', () => {
  it.each(MADE)('knows what $tool.0 makes: $signs', async (made) => {
    expect(await signsOfMade(made)).toEqual(made.signs);
  });

  it.each([
    ['nothing in zeros', disk(), []],
    ['nothing in an empty file', Buffer.alloc(0), []],
    ['a partition table', disk(PARTITION, BOOT_MARK), ['mbr']],
    ['VMFS, 1 MiB behind the start', Buffer.concat([disk(), Buffer.from([0x0d, 0xd0, 0x01, 0xc0])]), ['vmfs']],
    ['VMFS only where nothing else is', Buffer.concat([disk(PARTITION, BOOT_MARK), Buffer.from([0x0d, 0xd0, 0x01, 0xc0])]), ['mbr']],
    ['a boot sector, and no partition table without a partition', disk(BOOT_MARK), ['boot-sector']],
    ['FAT, and its boot sector as no partition table', disk([0, '\xeb\x3c\x90mkfs.fat'], BPB, [54, 'FAT16   '], BOOT_MARK), ['fat']],
    ['NTFS likewise', disk([0, '\xeb\x52\x90NTFS    '], BPB, BOOT_MARK, PARTITION), ['ntfs']],
    [
      'GPT with its protective MBR and its backup',
      disk(PARTITION, BOOT_MARK, [512, 'EFI PART'], [MiB - 512, 'EFI PART']),
      ['mbr', 'gpt', 'gpt-backup'],
    ],
    ['GPT of a disk with 4 KiB sectors', disk([4096, 'EFI PART']), ['gpt']],
    ['a disc for booting from USB', disk(PARTITION, BOOT_MARK, [512, 'EFI PART'], [32_769, 'CD001']), ['mbr', 'gpt', 'iso9660']],
    ['UDF', disk([34_817, 'BEA01'], [36_865, 'NSR03']), ['udf']],
    ['LVM in its second sector', disk([512, 'LABELONE']), ['lvm2']],
    ['a disc whose system area is a qcow2', disk([0, 'QFI\xfb\0\0\0\x03'], [32_769, 'CD001']), ['qcow2', 'iso9660']],
    ['a filesystem whose boot block is a qcow2', Buffer.concat([disk([0, 'QFI\xfb\0\0\0\x03'])]), ['qcow2']],
    ['two containers', disk([0, 'QED\0'], [64, '\x7f\x10\xda\xbe']), ['qed', 'vdi']],
    ['DMG by its trailer', disk([MiB - 512, 'koly']), ['dmg']],
    ['a descriptor as QEMU looks for it', disk([0, '# a comment\n\nversion=1\nCID=fffffffe\n']), ['vmdk']],
    ['a malformed descriptor', disk([0, '#  disk  descriptorFILE\n']), ['vmdk']],
    ['no descriptor in a script', disk([0, '#!/bin/sh\necho version=1\n']), []],
    ['gzip', disk([0, '\x1f\x8b\x08']), ['gzip']],
    ['GPT by the backup of a disk with 4 KiB sectors', disk([MiB - 4096, 'EFI PART']), ['gpt-backup']],
    ['BitLocker, and its boot sector as no partition table', disk([0, '\xeb\x58\x90-FVE-FS-'], BOOT_MARK, PARTITION), ['bitlocker']],
    [
      'BitLocker To Go, which is FAT for all other readers',
      disk([0, '\xeb\x58\x90MSWIN4.1'], BPB, [82, 'FAT32   '], [424, BITLOCKER_TO_GO], BOOT_MARK),
      ['bitlocker', 'fat'],
    ],
    ['RAID of version 1.1', disk([0, RAID_1]), ['mdraid']],
    ['RAID of version 1.2', disk([4096, RAID_1]), ['mdraid']],
    ['RAID of version 1.0, at the end', disk([MiB - 8192, RAID_1]), ['mdraid']],
    ['RAID of version 0.90, at the end', disk([MiB - 65_536, '\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0']), ['mdraid']],
    ['RAID of version 0.90, of a big-endian machine', disk([MiB - 65_536, '\xa9\x2b\x4e\xfc\0\0\0\0\0\0\0\x5a']), ['mdraid']],
    [
      'the four labels of a ZFS',
      disk(...[0, 256, 512, 768].map((at): readonly [number, string] => [(at + 160) * 1024, UBERBLOCK])),
      ['zfs', 'zfs', 'zfs', 'zfs'],
    ],
    ['ZFS of a big-endian machine by its last label only', disk([(768 + 255) * 1024, '\0\0\0\0\0\xba\xb1\x0c']), ['zfs']],
    ['HFS+ and its copy at the end', disk([1024, 'H+\0\x04'], [MiB - 1024, 'H+\0\x04']), ['hfsplus', 'hfsplus']],
    ['HFSX', disk([1024, 'HX\0\x05']), ['hfsx']],
    ['HFS', disk([1024, 'BD'], [1042, '\x10\0\0\0\x10\0']), ['hfs']],
    ['bcachefs', disk([4120, '\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef']), ['bcachefs']],
    ['bcache', disk([4120, '\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81']), ['bcache']],
    ['reiserfs of the old place', disk([8244, 'ReIsErFs']), ['reiserfs']],
    ['reiser4', disk([65_536, 'ReIsEr4']), ['reiser4']],
    ['a VHD by a footer of 511 bytes', disk([MiB - 511, 'conectix']), ['vhd']],
  ] as const)('finds %s', async (_, bytes, expected) => {
    expect(await names(bytes)).toEqual(expected);
  });

  it.each([
    ['ext', disk([1080, '\x53\xef'])],
    ['nilfs2', disk([1030, '\x34\x34'])],
    ['minix', disk([1040, '\x8f\x13'])],
    ['HFS', disk([1024, 'BD'])],
    ['RAID', disk([4096, '\xfc\x4e\x2b\xa9'])],
  ])('needs more than a short magic for %s', async (_, bytes) => {
    expect(await names(bytes)).toEqual([]);
  });

  it.each([
    [['alone'], ['machine.ovf'], ['ova']],
    [['alone', 'behind a description of it'], ['--format=pax', 'machine.ovf'], ['ova']],
    [['with a disk before its description'], ['disk.vmdk', 'machine.ovf'], ['tar']],
  ])('knows an OVA by its first member: %s', async (_, words, expected) => {
    for (const name of ['machine.ovf', 'disk.vmdk']) writeFileSync(join(tree, name), name);
    expect(await names(execFileSync('tar', ['-cC', tree, ...words]))).toEqual(expected);
  });
});
