import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryDevice } from '#block';
import { identify } from './identify.ts';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-identify-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const MiB = 2 ** 20;
const PATH = 'PATH';

/** Made by the tools that own the formats. */
const MADE: readonly { readonly tool: readonly string[]; readonly size: number; readonly signs: readonly string[] }[] = [
  { tool: ['mkfs.ext4', '-qF', PATH], size: 8 * MiB, signs: ['ext'] },
  { tool: ['mkfs.ext2', '-qF', '-b', '1024', PATH], size: 2 * MiB, signs: ['ext'] },
  { tool: ['mkfs.xfs', '-qf', PATH], size: 320 * MiB, signs: ['xfs'] },
  { tool: ['mkfs.btrfs', '-qf', PATH], size: 128 * MiB, signs: ['btrfs'] },
  { tool: ['mkswap', PATH], size: 2 * MiB, signs: ['swap'] },
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

function make({ tool, size }: (typeof MADE)[number]): Buffer {
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
  return readFileSync(path);
}

async function names(bytes: Uint8Array): Promise<string[]> {
  return (await identify(memoryDevice(bytes))).map(({ name }) => name);
}

function disk(...pieces: readonly (readonly [number, string])[]): Buffer {
  const bytes = Buffer.alloc(MiB);
  for (const [at, text] of pieces) bytes.write(text, at, 'latin1');
  return bytes;
}

const PARTITION: readonly [number, string] = [446, '\x80\0\0\0\x83\0\0\0\x01\0\0\0\0\x08\0\0'];
const BOOT_MARK: readonly [number, string] = [510, '\x55\xaa'];
const BPB: readonly [number, string] = [11, '\0\x02'];

describe('identify()', () => {
  it.each(MADE)('knows what $tool.0 makes: $signs', async (made) => {
    expect(await names(make(made))).toEqual(made.signs);
  });

  it.each([
    ['nothing in zeros', disk(), []],
    ['nothing in an empty file', Buffer.alloc(0), []],
    ['a partition table', disk(PARTITION, BOOT_MARK), ['mbr']],
    ['no partition table without a partition', disk(BOOT_MARK), []],
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
    ['a descriptor as nobody should write it', disk([0, '#  disk  descriptorFILE\n']), ['vmdk']],
    ['no descriptor in a script', disk([0, '#!/bin/sh\necho version=1\n']), []],
    ['gzip', disk([0, '\x1f\x8b\x08']), ['gzip']],
  ] as const)('finds %s', async (_, bytes, expected) => {
    expect(await names(bytes)).toEqual(expected);
  });

  it('needs more than two bytes for ext', async () => {
    expect(await names(disk([1080, '\x53\xef']))).toEqual([]);
  });
});
