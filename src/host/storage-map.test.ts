/** Maps against a foreign judge: filefrag of e2fsprogs, on filesystems made here. */
import { execFileSync } from 'node:child_process';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type StorageMap, storedBytes, type StoredRange } from '#block';
import { canMount, type MountableKind, type MountedFilesystem, withFilesystem } from '../../tests/support/loop-mount.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { readStorageMap } from './storage-map.ts';

const MiB = 2 ** 20;
const mountable = canMount('storage maps of ext4, XFS, btrfs and tmpfs');

function mapOf(path: string): Promise<StorageMap | undefined> {
  const fd = openSync(path, 'r');
  const { size, blocks } = fstatSync(fd);
  return readStorageMap(fd, size, blocks * 512).finally(() => closeSync(fd));
}

function xfsIo(path: string, ...commands: string[]): void {
  execFileSync('xfs_io', ['-f', ...commands.flatMap((command) => ['-c', command]), path], { stdio: 'pipe' });
}

/** The same file as filefrag tells it, pieces that continue each other joined. */
function judged(path: string): StoredRange[] {
  const text = execFileSync('filefrag', ['-v', '-b1', path], { encoding: 'utf8', maxBuffer: 64 * MiB });
  const ranges: StoredRange[] = [];
  for (const match of text.matchAll(/^\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+)\.\.\s*\d+:\s*(\d+):(?: +\d+:)? *(.*)$/gm)) {
    const flags = (match[4] ?? '').split(',');
    const range = {
      fileOffset: Number(match[1]),
      byteLength: Number(match[3]),
      physicalOffset: flags.includes('inline') || flags.includes('delalloc') ? undefined : Number(match[2]),
      shared: flags.includes('shared'),
      unwritten: flags.includes('unwritten'),
      encoded: flags.includes('encoded'),
    };
    const before = ranges.at(-1);
    const continues =
      before !== undefined &&
      !range.encoded &&
      !before.encoded &&
      before.fileOffset + before.byteLength === range.fileOffset &&
      before.physicalOffset !== undefined &&
      before.physicalOffset + before.byteLength === range.physicalOffset &&
      before.unwritten === range.unwritten &&
      before.shared === range.shared;
    if (continues) ranges[ranges.length - 1] = { ...before, byteLength: before.byteLength + range.byteLength };
    else ranges.push(range);
  }
  return ranges;
}

afterEach(resetFfiForTests);

describe.skipIf(!mountable).each(['ext4', 'xfs', 'btrfs'] as const)('readStorageMap() on %s', (kind: MountableKind) => {
  let filesystem: MountedFilesystem;
  beforeAll(async () => {
    filesystem = await withFilesystem(kind, 512 * MiB);
  });
  afterAll(() => filesystem.unmount());

  it('agrees with filefrag on data, holes and preallocation, past the end too', async () => {
    const path = `${filesystem.path}/mixed`;
    xfsIo(path, 'pwrite -q 0 300k', 'pwrite -q 8m 64k', 'falloc 16m 2m', 'pwrite -q 17m 4k', 'falloc -k 32m 1m', 'fsync');
    const map = await mapOf(path);
    expect(map).toEqual(judged(path));
    expect(map?.some((range) => range.unwritten)).toBe(true);
    expect(map?.at(-1)).toMatchObject({ fileOffset: 32 * MiB, byteLength: MiB });
  });

  it('reads a file with more extents than one call returns', async () => {
    const path = `${filesystem.path}/shredded`;
    const fd = openSync(path, 'w');
    const block = Buffer.alloc(4096, 7);
    for (let index = 0; index < 20_000; index += 1) writeSync(fd, block, 0, 4096, index * 8192);
    fsyncSync(fd);
    closeSync(fd);
    const map = await mapOf(path);
    expect(map?.length).toBeGreaterThan(16_384);
    expect(map).toEqual(judged(path));
    // XFS preallocates the holes in between on its own; that stays unwritten.
    expect(storedBytes((map ?? []).filter((range) => !range.unwritten))).toBe(20_000 * 4096);
  }, 60_000);

  it('counts delayed allocation as stored', async () => {
    const path = `${filesystem.path}/delayed`;
    const fd = openSync(path, 'w+');
    writeSync(fd, Buffer.alloc(MiB, 1), 0, MiB, 4 * MiB);
    const { size, blocks } = fstatSync(fd);
    const map = await readStorageMap(fd, size, blocks * 512);
    closeSync(fd);
    expect(map?.[0]).toMatchObject({ fileOffset: 4 * MiB, physicalOffset: undefined });
    expect(storedBytes(map ?? [])).toBeGreaterThanOrEqual(MiB);
  });

  it('gives an empty map for a file that is one hole', async () => {
    const path = `${filesystem.path}/hole`;
    const fd = openSync(path, 'w');
    ftruncateSync(fd, 2 ** 42);
    closeSync(fd);
    expect(await mapOf(path)).toEqual([]);
  });

  it('finds data above 4 GiB', async () => {
    const path = `${filesystem.path}/far`;
    xfsIo(path, `pwrite -q ${2 ** 40 + 4096} 4096`, 'fsync');
    expect(await mapOf(path)).toEqual(judged(path));
    expect((await mapOf(path))?.[0]?.fileOffset).toBe(2 ** 40 + 4096);
  });

  it('gives undefined without the FFI', async () => {
    const path = `${filesystem.path}/plain`;
    writeFileSync(path, 'x'.repeat(10_000));
    setFfiForTests(undefined);
    expect(await mapOf(path)).toBeUndefined();
  });
});

describe.skipIf(!mountable)('readStorageMap() of data without blocks of its own', () => {
  it.each(['xfs', 'btrfs'] as const)('marks blocks shared with a reflink copy on %s', async (kind) => {
    await using filesystem = await withFilesystem(kind, 300 * MiB);
    const path = `${filesystem.path}/origin`;
    xfsIo(path, 'pwrite -q 0 1m', 'fsync');
    execFileSync('cp', ['--reflink=always', path, `${path}-copy`]);
    xfsIo(`${path}-copy`, 'pwrite -q 256k 64k', 'fsync');
    const [origin, copy] = [await mapOf(path), await mapOf(`${path}-copy`)];
    expect(origin).toEqual(judged(path));
    expect(copy).toEqual(judged(`${path}-copy`));
    const sharedBytes = (map: StorageMap | undefined): number => storedBytes((map ?? []).filter((range) => range.shared));
    expect(sharedBytes(copy)).toBe(MiB - 64 * 1024);
  });

  it('gives undefined for ext4 inline data: it is data without storage', async () => {
    await using filesystem = await withFilesystem('ext4', 64 * MiB, ['-O', 'inline_data', '-I', '256']);
    const path = `${filesystem.path}/tiny`;
    writeFileSync(path, 'tiny');
    expect(judged(path)).toHaveLength(1);
    expect(await mapOf(path)).toBeUndefined();
  });

  it('gives btrfs inline data no physical offset', async () => {
    await using filesystem = await withFilesystem('btrfs', 128 * MiB);
    const path = `${filesystem.path}/tiny`;
    writeFileSync(path, 'x'.repeat(100));
    execFileSync('sync', ['-f', path]);
    expect(await mapOf(path)).toMatchObject([{ fileOffset: 0, physicalOffset: undefined }]);
  });

  it('marks btrfs compressed data as encoded', async () => {
    await using filesystem = await withFilesystem('btrfs', 128 * MiB, [], ['compress-force=zstd']);
    const path = `${filesystem.path}/compressed`;
    writeFileSync(path, Buffer.alloc(MiB, 'compressible'));
    execFileSync('sync', ['-f', path]);
    const map = await mapOf(path);
    expect(map).toEqual(judged(path));
    expect(map?.every((range) => range.encoded)).toBe(true);
    expect(storedBytes(map ?? [])).toBe(MiB);
  });
});

describe.skipIf(!mountable)('readStorageMap() on tmpfs, which has no FIEMAP', () => {
  let filesystem: MountedFilesystem;
  beforeAll(async () => {
    filesystem = await withFilesystem('tmpfs', 64 * MiB);
  });
  afterAll(() => filesystem.unmount());

  it('finds the islands if they account for the allocation', async () => {
    const path = `${filesystem.path}/islands`;
    xfsIo(path, 'pwrite -q 100 1', 'pwrite -q 1m 10000', 'truncate 3m');
    expect((await mapOf(path))?.map(({ fileOffset, byteLength }) => [fileOffset, byteLength])).toEqual([
      [0, 4096],
      [MiB, 12288],
    ]);
  });

  it('gives undefined for preallocation that it cannot detect', async () => {
    const path = `${filesystem.path}/preallocated`;
    xfsIo(path, 'pwrite -q 0 4096', 'falloc 1m 1m');
    expect(fstatSync(openSync(path, 'r')).blocks * 512).toBe(MiB + 4096);
    expect(await mapOf(path)).toBeUndefined();
  });

  it('gives undefined for preallocation past the end', async () => {
    const path = `${filesystem.path}/behind`;
    xfsIo(path, 'pwrite -q 0 4096', 'falloc -k 1m 1m');
    expect(await mapOf(path)).toBeUndefined();
  });
});
