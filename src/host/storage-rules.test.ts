import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { KiB, MiB } from '#base';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { filesystemOf } from './filesystem.ts';
import { openImageFile } from './open-file.ts';

const isRoot = canMount('units of allocation of ext4 with clusters, XFS with stripes, tmpfs with huge pages');

async function factsOf(path: string, bytes: number, at = 0) {
  writeFileSync(path, '');
  truncateSync(path, 4 * MiB);
  if (bytes > 0) writeFileSync(path, new Uint8Array(at + bytes).fill(1), { flag: 'r+', flush: true });
  await using file = await openImageFile(path);
  return await file.facts();
}

describe.skipIf(!isRoot)('the unit of allocation', () => {
  it.each([16 * KiB, 64 * KiB])('is a cluster of %i bytes on ext4 with bigalloc, in the map of a file too', async (cluster) => {
    await using mounted = await withFilesystem('ext4', 256 * MiB, ['-b', '4096', '-O', 'bigalloc', '-C', String(cluster)]);
    const facts = await factsOf(`${mounted.path}/a`, 4 * KiB);
    expect(facts).toMatchObject({ fsBlockSize: cluster, geometry: { blockSize: 4 * KiB }, allocation: cluster });
    expect(facts.map).toMatchObject([{ fileOffset: 0, byteLength: cluster }]);
  });

  it.each([1, 2, 4])('is a block of %i KiB on ext4 without clusters, even if all of its files take several', async (kib) => {
    await using mounted = await withFilesystem('ext4', 64 * MiB, ['-b', String(kib * KiB)]);
    const facts = await factsOf(`${mounted.path}/a`, 64 * KiB);
    expect(facts).toMatchObject({ fsBlockSize: kib * KiB, geometry: { blockSize: kib * KiB, indirect: false } });
  });

  it('is a huge page on tmpfs with huge=always, and a page without', async () => {
    const huge = Number(readFileSync('/sys/kernel/mm/transparent_hugepage/hpage_pmd_size', 'latin1'));
    await using always = await withFilesystem('tmpfs', 64 * MiB, ['-o', 'huge=always']);
    await using plain = await withFilesystem('tmpfs', 64 * MiB);
    expect((await filesystemOf(always.path)).fsBlockSize).toBe(huge);
    expect((await filesystemOf(plain.path)).fsBlockSize).toBe(4 * KiB);
    const facts = await factsOf(`${always.path}/a`, 4 * KiB, 3 * MiB);
    expect(facts.map?.every(({ fileOffset, byteLength }) => fileOffset % huge === 0 && byteLength % huge === 0)).toBe(true);
  });
});

describe.skipIf(!isRoot)('the geometry of the map', () => {
  it('distinguishes a file of indirect blocks from one of extents on the same ext4', async () => {
    await using mounted = await withFilesystem('ext4', 64 * MiB, ['-b', '4096', '-O', '^extents,^64bit']);
    expect((await factsOf(`${mounted.path}/a`, 4 * KiB)).geometry).toMatchObject({ indirect: true });
  });

  it('has the stripe and the fixed preallocation of XFS', async () => {
    await using mounted = await withFilesystem('xfs', 1024 * MiB, ['-d', 'su=64k,sw=4'], ['allocsize=4m']);
    expect((await filesystemOf(mounted.path)).geometry).toMatchObject({ stripe: 256 * KiB, fixedPreallocation: 4 * MiB });
  });
});
