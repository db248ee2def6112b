import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { qemuIoOn, startUntil } from '../../tests/support/holders.ts';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { type LockConflict, loadFfi, resetFfiForTests, setFfiForTests } from './ffi.ts';
import { combineLocks, fileUseOf } from './in-use.ts';
import { parseLockRows } from './lock-rows.ts';
import type { Mount } from './mounts.ts';

const isRoot = canMount('who: locks on btrfs and overlayfs');
const PLAIN = { root: '/', options: ['rw'], superOptions: ['rw'] };
const EXT4: Mount = {
  ...PLAIN,
  mountId: 1,
  device: '8:2',
  mountPoint: '/',
  type: 'ext4',
  source: '/dev/sda2',
};
const XFS: Mount = {
  ...PLAIN,
  mountId: 2,
  device: '8:3',
  mountPoint: '/srv',
  type: 'xfs',
  source: '/dev/sda3',
};
const OVERLAY: Mount = {
  ...PLAIN,
  mountId: 3,
  device: '0:50',
  mountPoint: '/merged',
  type: 'overlay',
  source: 'overlay',
};
const BTRFS: Mount = {
  ...PLAIN,
  mountId: 4,
  device: '0:40',
  mountPoint: '/b',
  type: 'btrfs',
  source: '/dev/sdb',
};

function row(lock: string, start: number, end: number | string = start, device = '08:02'): string {
  return `1: ${lock} ${device}:11 ${start} ${end}`;
}

function combine(kernel: Parameters<typeof combineLocks>[0], table: readonly string[] | undefined, mount: Mount | undefined = EXT4) {
  const rows = table === undefined ? undefined : parseLockRows(table.join('\n'));
  return combineLocks(kernel, rows, { mount, device: '8:2', inode: '11', mounts: [EXT4, XFS, OVERLAY, BTRFS] });
}

const OFD = 'OFDLCK ADVISORY  READ -1';

function conflict(start: number, byteLength = 1, more: Partial<LockConflict> = {}): LockConflict {
  return { start, byteLength, exclusive: false, pid: undefined, ...more };
}

describe('combineLocks()', () => {
  it('names the sources of each byte', () => {
    const found = combine([conflict(100, 2), conflict(100, 2), conflict(201)], [row(OFD, 100, 101), row(OFD, 203)]);
    expect(found).toMatchObject({ kernel: 'queried', table: 'read', foreign: [], possible: [] });
    expect(found.held).toEqual([
      { byte: 100, sources: ['kernel', 'table'] },
      { byte: 101, sources: ['kernel', 'table'] },
      { byte: 201, sources: ['kernel'] },
      { byte: 203, sources: ['table'] },
    ]);
  });

  it('reports which sources could not be queried', () => {
    expect(combine('absent', undefined)).toEqual({ kernel: 'absent', table: 'unreadable', held: [], foreign: [], possible: [] });
    expect(combine('failed', [])).toMatchObject({ kernel: 'failed', table: 'read' });
  });

  it('recognises the fifth permission of old QEMUs', () => {
    expect(combine('absent', [row(OFD, 104), row(OFD, 204)]).held.map(({ byte }) => byte)).toEqual([104, 204]);
  });

  it.each([
    ["libvirt's lock", row('POSIX  ADVISORY  WRITE 77', 0), { kind: 'POSIX', exclusive: true, pid: 77, start: 0, end: 0 }],
    ['a lock on the whole file', row('POSIX  ADVISORY  READ 77', 0, 'EOF'), { exclusive: false, start: 0, end: Infinity }],
    ['an exclusive lock on a permission', row('OFDLCK ADVISORY  WRITE -1', 101), { kind: 'OFDLCK', exclusive: true, start: 101 }],
    ['flock(2)', row('FLOCK  ADVISORY  WRITE 77', 0, 'EOF'), { kind: 'FLOCK', pid: 77 }],
    ['a lease', row('LEASE  ACTIVE    READ 77', 0, 'EOF'), { kind: 'LEASE' }],
    ['a lock across both groups', row(OFD, 104, 200), { kind: 'OFDLCK', start: 104, end: 200 }],
  ])('takes %s for none of QEMU', (_, line, expected) => {
    const found = combine('absent', [line]);
    expect(found.held).toEqual([]);
    expect(found.foreign).toMatchObject([expected]);
  });

  it('reports a lock once, even if both sources list it', () => {
    const whole = conflict(0, 0, { exclusive: true, pid: 77 });
    const found = combine([whole, whole, whole], [row('POSIX  ADVISORY  WRITE 77', 0, 'EOF')]);
    expect(found.foreign).toEqual([{ kind: 'POSIX', exclusive: true, pid: 77, start: 0, end: Infinity, sources: ['kernel', 'table'] }]);
  });

  it('ignores the same inode number of another filesystem', () => {
    expect(combine([], [row(OFD, 101, 101, '08:03')])).toMatchObject({ held: [], foreign: [], possible: [] });
  });

  it.each([
    ['of an overlay, which may show this file', row(OFD, 101, 101, '00:32'), EXT4],
    ['of a filesystem that is not mounted here', row(OFD, 101, 101, '00:63'), EXT4],
    ['where the file lies on an overlay itself', row(OFD, 101, 101, '08:03'), OVERLAY],
  ])('takes the same inode number %s for possibly this file', (_, line, mount) => {
    expect(combine([], [line], mount)).toMatchObject({ held: [], possible: [{ start: 101 }] });
  });

  it('treats the same inode number of any device as possibly this file if the mount is unknown', () => {
    const place = { mount: undefined, device: '0:41', inode: '11', mounts: [BTRFS] };
    const found = combineLocks([], parseLockRows(row(OFD, 101, 101, '00:28')), place);
    expect(found).toMatchObject({ held: [], possible: [{ superblock: '0:40' }] });
  });
});

describe('fileUseOf()', () => {
  let directory: string;
  let image: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'plimsoll-use-'));
    image = join(directory, 'image.raw');
    writeFileSync(image, '');
    truncateSync(image, 2 ** 24);
  });
  afterEach(resetFfiForTests);
  afterAll(() => rmSync(directory, { recursive: true }));

  it('gets the same from the kernel and from /proc/locks', async () => {
    await using holder = await qemuIoOn('-f', 'raw', image);
    const { locks } = await fileUseOf(image);
    expect(locks.held).toEqual([100, 101].map((byte) => ({ byte, sources: ['kernel', 'table'] })));
    await holder.end();
    expect((await fileUseOf(image)).locks.held).toEqual([]);
  });

  it('takes no lock: QEMU can open the image during the query', async () => {
    const asking = fileUseOf(image);
    expect(execFileSync('qemu-io', ['-f', 'raw', '-c', 'write 0 64k', image], { encoding: 'utf8' })).toContain('wrote 65536/65536');
    await asking;
  });

  it('works without koffi, and where the filesystem rejects the query', async () => {
    await using holder = await qemuIoOn('-f', 'raw', image);
    const real = await loadFfi();
    for (const [ffi, kernel] of [
      [undefined, 'absent'],
      [real === undefined ? undefined : { ...real, lockConflict: () => -22 }, 'failed'],
    ] as const) {
      setFfiForTests(ffi);
      const { locks } = await fileUseOf(image);
      expect([locks.kernel, locks.held.map(({ byte }) => byte)]).toEqual([kernel, [100, 101]]);
    }
    await holder.end();
  });

  it("finds a lock on byte 0, as libvirt's daemon takes it, and flock(2)", async () => {
    const script = "import fcntl,os,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX,1,0,0)\nprint('ready',flush=True)\ninput()";
    await using libvirt = await startUntil('python3', ['-c', script, image], 'ready');
    await using flock = await startUntil('flock', ['--shared', '--no-fork', image, 'sh', '-c', 'echo ready; read line'], 'ready');
    const { locks } = await fileUseOf(image);
    expect(locks.held).toEqual([]);
    expect(locks.foreign).toMatchObject([
      { kind: 'POSIX', exclusive: true, pid: libvirt.pid, start: 0, end: 0, sources: ['kernel', 'table'] },
      { kind: 'FLOCK', exclusive: false, pid: flock.pid, sources: ['table'] },
    ]);
  });

  it.skipIf(!isRoot)('finds them on a btrfs subvolume, whose device number is its own', async () => {
    await using filesystem = await withFilesystem('btrfs', 128 * 2 ** 20);
    execFileSync('btrfs', ['-q', 'subvolume', 'create', join(filesystem.path, 'sub')]);
    const path = join(filesystem.path, 'sub', 'image.raw');
    writeFileSync(path, '');
    truncateSync(path, 2 ** 24);
    await using holder = await qemuIoOn('-f', 'raw', path);
    for (const ffi of [await loadFfi(), undefined]) {
      setFfiForTests(ffi);
      const { locks } = await fileUseOf(path);
      expect(locks.held.map(({ byte }) => byte)).toEqual([100, 101]);
    }
    await holder.end();
  });

  it.skipIf(!isRoot)('on an overlay filesystem finds them through the overlay, and calls them possible below it', async () => {
    await using filesystem = await withFilesystem('ext4', 32 * 2 ** 20);
    const places = ['lower', 'upper', 'work', 'merged'].map((name) => join(filesystem.path, name));
    const [lower = '', upper = '', work = '', merged = ''] = places;
    for (const place of places) mkdirSync(place);
    writeFileSync(join(upper, 'image.raw'), '');
    truncateSync(join(upper, 'image.raw'), 2 ** 24);
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, merged]);
    try {
      await using holder = await qemuIoOn('-f', 'raw', join(merged, 'image.raw'));
      setFfiForTests(undefined);
      const above = await fileUseOf(join(merged, 'image.raw'));
      expect([above.filesystemType, above.locks.held.map(({ byte }) => byte)]).toEqual(['overlay', [100, 101]]);
      const below = await fileUseOf(join(upper, 'image.raw'));
      expect([below.filesystemType, below.locks.held]).toEqual(['ext4', []]);
      expect(below.locks.possible.length).toBeGreaterThan(0);
      await holder.end();
    } finally {
      execFileSync('umount', [merged]);
    }
  });

  it.each([
    ['a directory', () => directory, 'refused'],
    ['nothing', () => join(directory, 'nowhere'), 'not-found'],
  ] as const)('throws for %s', async (_, path, kind) => {
    await expect(fileUseOf(path())).rejects.toMatchObject({ kind });
  });
});
