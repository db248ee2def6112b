/** Against what real filesystems let a file become. */
import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { GiB, KiB, MiB, TiB } from '#base';
import { loadFfi } from './ffi.ts';
import { LargestFiles, largestNewFile } from './largest-file.ts';

const mountable = canMount('the largest file of ext3, ext4, XFS, btrfs and tmpfs');

describe.skipIf(!mountable)('the largest file', () => {
  it.each([
    ['ext4', ['-t', 'ext3', '-b', '1024'], 'ext3', 1024],
    ['ext4', ['-t', 'ext3', '-b', '2048'], 'ext3', 2048],
    ['ext4', ['-t', 'ext3', '-b', '4096'], 'ext3', 4096],
    ['ext4', ['-t', 'ext2', '-b', '1024'], 'ext2', 1024],
    ['ext4', ['-b', '1024'], 'ext4', 1024],
    ['ext4', ['-b', '4096'], 'ext4', 4096],
    ['xfs', [], 'xfs', 4096],
    ['tmpfs', [], 'tmpfs', 4096],
  ] as const)('of %s %j is what the kernel lets it become, and no byte more', async (kind, options, type, block) => {
    await using mounted = await withFilesystem(kind, 64 * MiB, options);
    const fd = openSync(join(mounted.path, 'file'), 'w+');
    try {
      const found = new LargestFiles().of(await loadFfi(), fd);
      if (found === undefined) {
        ftruncateSync(fd, 4096 * TiB);
        expect(largestNewFile(type, block, true)).toBeUndefined();
        return;
      }
      ftruncateSync(fd, found);
      expect(() => ftruncateSync(fd, found + 1)).toThrow(/EFBIG/);
      // A new file has at least the promised length.
      expect(largestNewFile(type, block, true)).toBeLessThanOrEqual(found);
      expect(largestNewFile(type, block, true)).toBeGreaterThan(found - 16 * MiB);
    } finally {
      closeSync(fd);
    }
  });
});

describe('largestNewFile()', () => {
  it('ends near 16 GiB with indirect blocks of 1 KiB, at 16 TiB with extents of 4 KiB, at 4 GiB on FAT', () => {
    expect(largestNewFile('ext3', KiB, false)).toBe((12 + 256 + 256 ** 2 + 256 ** 3) * KiB);
    expect(largestNewFile('ext4', 4 * KiB, true)).toBe(16 * TiB - 4 * KiB);
    expect(largestNewFile('vfat', 4 * KiB, false)).toBe(4 * GiB - 1);
  });
});
