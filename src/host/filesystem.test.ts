/** Against stat -f, blkid and findmnt. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { FilesystemCache, filesystemOf, type HostFilesystem } from './filesystem.ts';

const MiB = 2 ** 20;
const mountable = canMount('identity, room and rules of ext4, XFS, btrfs and tmpfs');
const output = (program: string, ...options: string[]): string => execFileSync(program, options, { encoding: 'utf8' }).trim();

afterEach(resetFfiForTests);

describe.skipIf(!mountable)('filesystemOf()', () => {
  it.each([
    ['ext4', false, false],
    ['xfs', true, false],
    ['btrfs', true, true],
    ['tmpfs', false, false],
  ] as const)('knows %s: identity, room, rules', async (kind, reflink, copyOnWrite) => {
    await using mounted = await withFilesystem(kind, 300 * MiB);
    writeFileSync(join(mounted.path, 'file'), Buffer.alloc(MiB, 1));
    execFileSync('sync', ['-f', mounted.path]);
    const found = await filesystemOf(join(mounted.path, 'file'));
    const [size, free, available, unit] = output('stat', '-f', '-c', '%b %f %a %S', mounted.path).split(' ').map(Number) as [
      number,
      number,
      number,
      number,
    ];
    expect(found).toMatchObject({
      kind,
      type: kind,
      mount: mounted.path,
      reflink,
      copyOnWrite,
      size: size * unit,
      used: (size - free) * unit,
      available: available * unit,
    });
    expect(found.device).toBe(output('findmnt', '-no', 'MAJ:MIN', mounted.path));
    if (kind !== 'tmpfs') expect(found.id).toBe(`uuid:${output('findmnt', '-no', 'UUID', mounted.path)}`);
  });

  it('recognises an XFS without reflink', async () => {
    await using mounted = await withFilesystem('xfs', 300 * MiB, ['-m', 'reflink=0']);
    expect(await filesystemOf(mounted.path)).toMatchObject({ reflink: false, kind: 'xfs' });
  });

  it('treats two btrfs subvolumes as one filesystem', async () => {
    await using mounted = await withFilesystem('btrfs', 128 * MiB);
    const [one, two] = ['one', 'two'].map((name) => join(mounted.path, name)) as [string, string];
    for (const path of [one, two]) execFileSync('btrfs', ['-q', 'subvolume', 'create', path]);
    const cache = new FilesystemCache();
    const [a, b] = [await filesystemOf(one, cache), await filesystemOf(two, cache)];
    expect(b.id).toBe(a.id);
    expect(a.id).toMatch(/^uuid:[0-9a-f]{8}-/);
    expect(b.device).toBe(a.device);
    expect(a.mount).toBe(mounted.path);
  });

  it('distinguishes a filesystem from its mounted copy, although they have one UUID', async () => {
    const uuid = '11111111-2222-3333-4444-555555555555';
    await using one = await withFilesystem('ext4', 16 * MiB, ['-U', uuid]);
    await using two = await withFilesystem('ext4', 16 * MiB, ['-U', uuid]);
    const cache = new FilesystemCache();
    const [a, b] = [await filesystemOf(one.path, cache), await filesystemOf(two.path, cache)];
    expect(a.id).toBe(`uuid:${uuid}`);
    expect(b.id).toMatch(new RegExp(`^uuid:${uuid}@[0-9a-f]{8}$`));
    expect(b.formerIds).toEqual([`uuid:${uuid}@${b.device}`]);
    expect(await filesystemOf(two.path, cache)).toBe(b);
  });

  it('recognises ext3 by its name, and that it maps files by indirect blocks', async () => {
    await using mounted = await withFilesystem('ext4', 64 * MiB, ['-t', 'ext3']);
    const found = await filesystemOf(mounted.path);
    // mount(8) asks for what blkid sees, ext3, and the kernel serves it by its ext4 driver under that name.
    expect(found).toMatchObject({ type: 'ext3', kind: 'ext3', geometry: { indirect: true } });
  });

  it('names the mount that the path goes through, with unusual characters', async () => {
    await using mounted = await withFilesystem('ext4', 16 * MiB);
    await using host = await withFilesystem('tmpfs', MiB);
    const inner = join(mounted.path, 'inner');
    const other = join(host.path, 'with space\tand \\ ü');
    mkdirSync(inner);
    mkdirSync(other);
    execFileSync('mount', ['--bind', inner, other]);
    try {
      const [direct, bound] = [await filesystemOf(inner), await filesystemOf(other)];
      expect(direct.mount).toBe(mounted.path);
      expect(bound.mount).toBe(other);
      expect(bound.id).toBe(direct.id);
    } finally {
      execFileSync('umount', [other]);
    }
  });

  it('queries each device once per cache', async () => {
    await using mounted = await withFilesystem('tmpfs', 8 * MiB);
    const cache = new FilesystemCache();
    const [first, second] = await Promise.all([filesystemOf(mounted.path, cache), filesystemOf(mounted.path, cache)]);
    expect(second).toBe(first);
    writeFileSync(join(mounted.path, 'file'), Buffer.alloc(MiB));
    expect((await filesystemOf(mounted.path, cache)).used).toBe(first.used);
    expect((await filesystemOf(mounted.path)).used).toBe(first.used + MiB);
  });

  it('identifies a tmpfs by host and mount point, through a remount under another device number', async () => {
    await using place = await withFilesystem('ext4', 16 * MiB);
    const point = join(place.path, 'vm');
    mkdirSync(point);
    const mounted = async (): Promise<HostFilesystem> => {
      execFileSync('mount', ['-t', 'tmpfs', 'none', point]);
      return filesystemOf(point);
    };
    const first = await mounted();
    execFileSync('umount', [point]);
    await using between = await withFilesystem('tmpfs', MiB);
    const second = await mounted();
    expect((await filesystemOf(between.path)).id).not.toBe(first.id);
    execFileSync('umount', [point]);
    expect(second.device).not.toBe(first.device);
    expect(first.id).toMatch(/^mount:[0-9a-f]{32}$/);
    expect(second.id).toBe(first.id);
  });

  it('keeps the id of a filesystem when it is mounted elsewhere by another device', async () => {
    await using place = await withFilesystem('tmpfs', 64 * MiB);
    const [image, one, two] = ['image', 'one', 'two'].map((name) => join(place.path, name)) as [string, string, string];
    writeFileSync(image, Buffer.alloc(16 * MiB));
    execFileSync('mkfs.ext4', ['-q', image]);
    mkdirSync(one);
    mkdirSync(two);
    const at = async (point: string): Promise<HostFilesystem> => {
      execFileSync('mount', ['-o', 'loop', image, point]);
      try {
        return await filesystemOf(point);
      } finally {
        execFileSync('umount', [point]);
      }
    };
    const before = await at(one);
    await using between = await withFilesystem('ext4', 16 * MiB);
    expect((await filesystemOf(between.path)).id).not.toBe(before.id);
    expect((await at(two)).id).toBe(before.id);
  });

  it('has the same id through a bind mount, which is no whole mount, in every cache', async () => {
    await using mounted = await withFilesystem('tmpfs', 8 * MiB);
    await using host = await withFilesystem('tmpfs', MiB);
    const [inner, other] = [join(mounted.path, 'inner'), join(host.path, 'b')];
    mkdirSync(inner);
    mkdirSync(other);
    execFileSync('mount', ['--bind', inner, other]);
    try {
      expect((await filesystemOf(other)).id).toBe((await filesystemOf(mounted.path)).id);
    } finally {
      execFileSync('umount', [other]);
    }
  });

  it('does without the FFI by what udev recorded, else by the mount point', async () => {
    setFfiForTests(undefined);
    await using mounted = await withFilesystem('btrfs', 128 * MiB);
    execFileSync('btrfs', ['-q', 'subvolume', 'create', join(mounted.path, 'sub')]);
    const [top, sub] = [await filesystemOf(mounted.path), await filesystemOf(join(mounted.path, 'sub'))];
    expect(top.id).toMatch(/^(uuid|mount):/);
    expect(top.formerIds).toContain(`dev:${output('findmnt', '-no', 'MAJ:MIN', mounted.path)}`);
    expect(sub.id).toBe(top.id);
  });
});

describe('filesystemOf(), without mounting', () => {
  it('takes a descriptor', async () => {
    const fd = openSync('/', 'r');
    expect((await filesystemOf(fd)).mount).toBe('/');
    closeSync(fd);
  });

  it('reports a missing path', async () => {
    await expect(filesystemOf('/no/such/place')).rejects.toMatchObject({ kind: 'not-found', code: 'IO_ENOENT' });
  });

  it('reports an unknown type as other, with a plausible block size', async () => {
    expect(await filesystemOf('/proc')).toMatchObject({
      kind: 'other',
      type: 'proc',
      fsBlockSize: 4096,
      reflink: undefined,
      copyOnWrite: undefined,
    });
  });
});
