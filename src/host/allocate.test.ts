import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { allocateSpace, setLength, syncFile, writeAll } from './allocate.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const mountable = canMount('allocation on ext4, XFS, btrfs, tmpfs and a filesystem without fallocate');

afterEach(resetFfiForTests);

async function withFile(directory: string, use: (fd: number, path: string) => Promise<void>): Promise<void> {
  const path = join(directory, 'new');
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT);
  try {
    await use(fd, path);
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(!mountable)('allocateSpace()', () => {
  it.each(['ext4', 'xfs', 'btrfs', 'tmpfs'] as const)('gives storage on %s', async (kind) => {
    await using mounted = await withFilesystem(kind, 400 * MiB);
    await withFile(mounted.path, async (fd) => {
      await allocateSpace(fd, MiB, 8 * MiB);
      const { size, blocks } = fstatSync(fd);
      expect(size).toBe(9 * MiB);
      expect(blocks * 512).toBeGreaterThanOrEqual(8 * MiB);
      expect(blocks * 512).toBeLessThan(8 * MiB + 16384);
    });
  });

  it('proceeds in steps, and can be aborted between them', async () => {
    await using mounted = await withFilesystem('ext4', 4 * GiB);
    await withFile(mounted.path, async (fd) => {
      const controller = new AbortController();
      const steps: number[] = [];
      const onProgress = (bytes: number): void => {
        steps.push(bytes);
        if (bytes === 2 * GiB) controller.abort(new Error('enough'));
      };
      await expect(allocateSpace(fd, 0, 3 * GiB, { signal: controller.signal, onProgress })).rejects.toThrow('enough');
      expect(steps).toEqual([GiB, 2 * GiB]);
      expect(fstatSync(fd).size).toBe(2 * GiB);
    });
  });

  it('reports a full filesystem by its errno', async () => {
    await using mounted = await withFilesystem('tmpfs', 4 * MiB);
    await withFile(mounted.path, async (fd) => {
      await expect(allocateSpace(fd, 0, 8 * MiB)).rejects.toMatchObject({ kind: 'io', code: 'IO_ENOSPC' });
    });
  });

  it('is unsupported if the filesystem has no fallocate', async () => {
    // ext3, without extents, cannot preallocate.
    await using mounted = await withFilesystem('ext4', 64 * MiB, ['-t', 'ext3']);
    await withFile(mounted.path, async (fd) => {
      await expect(allocateSpace(fd, 0, MiB)).rejects.toMatchObject({ kind: 'unsupported', code: 'NO_FALLOCATE' });
    });
  });

  it('is unsupported without the FFI', async () => {
    setFfiForTests(undefined);
    await expect(allocateSpace(0, 0, 1)).rejects.toMatchObject({ kind: 'unsupported', code: 'NO_FALLOCATE' });
  });
});

describe.skipIf(!mountable)('writing', () => {
  it('writes at an offset, sets the length, flushes', async () => {
    await using mounted = await withFilesystem('tmpfs', 4 * MiB);
    await withFile(mounted.path, async (fd, path) => {
      await writeAll(fd, Buffer.from('content'), 10);
      await setLength(fd, 20);
      await syncFile(fd);
      expect(readFileSync(path, 'latin1')).toBe(`${'\0'.repeat(10)}content\0\0\0`);
    });
  });

  it('reports a full filesystem, even after a partial write', async () => {
    await using mounted = await withFilesystem('tmpfs', MiB);
    await withFile(mounted.path, async (fd) => {
      await expect(writeAll(fd, Buffer.alloc(2 * MiB), 0)).rejects.toMatchObject({ kind: 'io', code: 'IO_ENOSPC' });
    });
  });

  it('reports a descriptor that cannot be written, flushed or truncated', async () => {
    const fd = openSync('/etc/passwd', 'r');
    await expect(writeAll(fd, Buffer.of(1), 0)).rejects.toMatchObject({ kind: 'io', code: 'IO_EBADF' });
    await expect(setLength(fd, 1)).rejects.toMatchObject({ kind: 'io', code: 'IO_EINVAL' });
    closeSync(fd);
    await expect(syncFile(fd)).rejects.toMatchObject({ kind: 'io', code: 'IO_EBADF' });
  });
});
