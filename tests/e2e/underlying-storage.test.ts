/** Answers about real filesystems on storage that is thin, limited, combined or too small. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AdmissionDecision, ScanReport, StoreReport } from '#wire';
import { plimsoll } from '../support/command.ts';
import { splittingOrder } from '../support/write-orders.ts';
import { canMount, withFilesystem } from '../support/loop-mount.ts';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const mountable = canMount('sparse loop files, overlayfs, FUSE, btrfs qgroups, ext3 with small blocks below a store');

const tool = (program: string, ...words: string[]): string => execFileSync(program, words, { encoding: 'utf8' });
const qcow2 = (path: string, size: string): string => tool('qemu-img', 'create', '-q', '-f', 'qcow2', path, size);

async function scanned(...words: string[]): Promise<{ code: number | null; store: StoreReport; codes: string[] }> {
  const { code, stdout } = await plimsoll(['scan', '--json', ...words]);
  const [store] = (JSON.parse(stdout) as ScanReport).stores as [StoreReport];
  return { code, store, codes: store.findings.map((finding) => finding.code) };
}

/** Mounts `words` on a new directory below `at` for as long as `use` runs. */
async function mountedAt(directory: string, mount: () => void, use: () => Promise<void>): Promise<void> {
  mkdirSync(directory, { recursive: true });
  mount();
  try {
    await use();
  } finally {
    // A loop device on this mount is released some time after it is detached.
    while (spawnSync('umount', [directory]).status !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe.skipIf(!mountable)('the storage below a store', () => {
  it('XFS on a sparse loop file: no beyond what the filesystem below has, unknown below that', async () => {
    await using low = await withFilesystem('ext4', 300 * MiB);
    const disk = join(low.path, 'disk.xfs');
    writeFileSync(disk, '');
    truncateSync(disk, 2 * GiB);
    tool('mkfs.xfs', '-q', disk);
    const up = join(low.path, 'up');
    const mount = (): void => void execFileSync('mount', ['-o', 'loop', disk, up]);
    await mountedAt(up, mount, async () => {
      qcow2(join(up, 'small.qcow2'), '100M');
      const small = await scanned(up);
      expect([small.code, small.codes]).toEqual([11, expect.arrayContaining(['STORAGE_BELOW_SHORT'])]);
      qcow2(join(up, 'large.qcow2'), '1G');
      expect((await scanned(up)).code).toBe(10);
      const declared = await scanned('--assume', 'backed', up);
      expect(declared.code).toBe(10);
    });
  });

  it('a loop file on a loop file: the lowest filesystem counts', async () => {
    await using low = await withFilesystem('ext4', 64 * MiB);
    const [middle, upper] = ['middle', 'upper'].map((name) => join(low.path, name)) as [string, string];
    const make = (file: string, bytes: number): void => {
      writeFileSync(file, '');
      truncateSync(file, bytes);
      tool('mkfs.ext4', '-q', '-F', file);
    };
    make(`${middle}.img`, GiB);
    const on = (file: string, place: string) => (): void => void execFileSync('mount', ['-o', 'loop', file, place]);
    await mountedAt(middle, on(`${middle}.img`, middle), async () => {
      make(join(middle, 'upper.img'), 200 * MiB);
      await mountedAt(upper, on(join(middle, 'upper.img'), upper), async () => {
        qcow2(join(upper, 'a.qcow2'), '100M');
        const { code, codes } = await scanned(upper);
        expect(code).not.toBe(0);
        expect(codes).toContain('STORAGE_BELOW_SHORT');
      });
    });
  });

  it('a sparse loop file with space below: yes, and the answer names the counted layers', async () => {
    await using store = await withFilesystem('xfs', 300 * MiB);
    qcow2(join(store.path, 'a.qcow2'), '100M');
    const { code, codes } = await scanned(store.path);
    expect([code, codes]).toEqual([0, expect.arrayContaining(['STORAGE_BELOW_COUNTED'])]);
  });

  it('btrfs with a qgroup limit: the space under the limit is available, and images outside of it are not limited', async () => {
    await using store = await withFilesystem('btrfs', 3 * GiB);
    tool('btrfs', 'quota', 'enable', store.path);
    const [limited, free] = ['limited', 'free'].map((name) => join(store.path, name)) as [string, string];
    for (const subvolume of [limited, free]) {
      tool('btrfs', '-q', 'subvolume', 'create', subvolume);
      tool('chattr', '+C', subvolume);
    }
    tool('btrfs', 'qgroup', 'limit', '500M', limited);
    qcow2(join(free, 'other.qcow2'), '1G');
    expect((await scanned(store.path)).code).toBe(0);
    qcow2(join(limited, 'disk.qcow2'), '300M');
    expect((await scanned(store.path)).code).toBe(0);
    qcow2(join(limited, 'disk2.qcow2'), '300M');
    const { code, codes } = await scanned(store.path);
    expect([code, codes]).toEqual([10, expect.arrayContaining(['QUOTA_LIMIT'])]);
    // The oracle: QEMU fills both, and the limit stops it.
    const fill = (name: string): string => tool('qemu-io', '-f', 'qcow2', '-c', 'write 0 300M', '-c', 'flush', join(limited, name));
    expect(() => [fill('disk.qcow2'), fill('disk2.qcow2')]).toThrow(/quota|EDQUOT|error|failed/i);
  });

  it('overlayfs: unknown, whatever is declared', async () => {
    await using low = await withFilesystem('ext4', 64 * MiB);
    for (const name of ['lower', 'upper', 'work']) mkdirSync(join(low.path, name));
    const merged = join(low.path, 'merged');
    const layers = `lowerdir=${low.path}/lower,upperdir=${low.path}/upper,workdir=${low.path}/work`;
    const mount = (): void => void execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', layers, merged]);
    await mountedAt(merged, mount, async () => {
      for (const words of [[merged], ['--assume', 'exclusive,backed,no-quota', merged]]) {
        const { code, codes } = await scanned(...words);
        expect([code, codes]).toEqual([11, expect.arrayContaining(['FILESYSTEM_UNION'])]);
      }
    });
  });

  it('a union of three filesystems by mergerfs: unknown', async () => {
    await using base = await withFilesystem('tmpfs', 16 * MiB);
    const branches = ['a', 'b', 'c'].map((name) => join(base.path, name));
    for (const branch of branches) mkdirSync(branch);
    const merged = join(base.path, 'merged');
    await mountedAt(
      merged,
      () => void execFileSync('mergerfs', [branches.join(':'), merged]),
      async () => {
        const { code, store } = await scanned(merged);
        expect([code, store.type]).toEqual([11, 'fuse.mergerfs']);
      },
    );
  });

  it('another FUSE filesystem: unknown, by name, until everything is declared; the declarations are repeated', async () => {
    await using base = await withFilesystem('tmpfs', 16 * MiB);
    const [source, bound] = ['source', 'bound'].map((name) => join(base.path, name)) as [string, string];
    mkdirSync(source);
    await mountedAt(
      bound,
      () => void execFileSync('bindfs', [source, bound]),
      async () => {
        const plain = await scanned(bound);
        expect([plain.code, plain.store.assumed]).toEqual([11, []]);
        expect((await scanned('--assume', 'backed', bound)).code).toBe(11);
        const declared = await scanned('--assume', 'exclusive,backed,no-quota', bound);
        expect([declared.code, declared.store.assumed]).toEqual([0, ['backed', 'exclusive', 'no-quota']]);
        const { code, stdout } = await plimsoll([
          'admit',
          '--json',
          '--bytes',
          '1M',
          '--store',
          bound,
          '--assume',
          'exclusive,backed,no-quota',
        ]);
        expect([code, (JSON.parse(stdout) as AdmissionDecision).assumed]).toEqual([0, ['backed', 'exclusive', 'no-quota']]);
        expect((await plimsoll(['admit', '--json', '--bytes', '1M', '--store', bound])).code).toBe(11);
      },
    );
  });

  it('a read-only bind mount of a writable filesystem is judged by the storage below', async () => {
    await using low = await withFilesystem('ext4', 64 * MiB);
    for (const name of ['images', 'view']) mkdirSync(join(low.path, name));
    qcow2(join(low.path, 'images', 'a.qcow2'), '1G');
    const view = join(low.path, 'view');
    await mountedAt(
      view,
      () => {
        execFileSync('mount', ['--bind', join(low.path, 'images'), view]);
        execFileSync('mount', ['-o', 'remount,ro,bind', view]);
      },
      async () => expect((await scanned(view)).code).toBe(10),
    );
  });

  describe('images that no process can write', () => {
    const MiBs = 300;
    async function withSnapshots(use: (top: string) => Promise<void>): Promise<void> {
      await using store = await withFilesystem('btrfs', 1100 * MiB);
      const live = join(store.path, 'live');
      tool('btrfs', '-q', 'subvolume', 'create', live);
      tool('chattr', '+C', live);
      tool('qemu-img', 'create', '-q', '-f', 'raw', join(live, 'disk.raw'), `${MiBs}M`);
      tool('qemu-io', '-f', 'raw', '-c', `write -P 7 0 ${MiBs}M`, '-c', 'flush', join(live, 'disk.raw'));
      await use(store.path);
    }
    const snapshot = (top: string, name: string, ...words: string[]): string =>
      tool('btrfs', '-q', 'subvolume', 'snapshot', ...words, join(top, 'live'), join(top, name));

    it('four read-only snapshots of a disk on btrfs: only the disk itself can grow', () =>
      withSnapshots(async (top) => {
        for (const name of ['s1', 's2', 's3', 's4']) snapshot(top, name, '-r');
        tool('sync', '-f', top);
        const { code, store } = await scanned(top);
        expect(store.residual).toBeLessThan((MiBs + 16) * MiB);
        expect(store.residual).toBeGreaterThanOrEqual(MiBs * MiB);
        expect(code).toBe(0);
        const marked = store.images.filter((image) => image.findings.some((finding) => finding.code === 'IMAGE_UNWRITABLE'));
        expect(marked.map(({ path }) => path).sort()).toEqual(['s1', 's2', 's3', 's4'].map((name) => join(top, name, 'disk.raw')));
        // The oracle: the whole disk is rewritten, and all of it fits.
        tool('qemu-io', '-f', 'raw', '-c', `write -P 9 0 ${MiBs}M`, '-c', 'flush', join(top, 'live', 'disk.raw'));
      }));

    it('a descriptor from before the subvolume became read-only still writes: counted in full', () =>
      withSnapshots(async (top) => {
        snapshot(top, 's1');
        const image = join(top, 's1', 'disk.raw');
        const fd = openSync(image, 'r+');
        tool('btrfs', 'property', 'set', join(top, 's1'), 'ro', 'true');
        const open = await scanned(top);
        expect(open.store.images.flatMap(({ findings }) => findings.map((finding) => finding.code))).not.toContain('IMAGE_UNWRITABLE');
        // The oracle: the write succeeds.
        expect(writeSync(fd, 'x')).toBe(1);
        closeSync(fd);
        const closed = await scanned(top);
        expect(closed.store.images.flatMap(({ findings }) => findings.map((finding) => finding.code))).toContain('IMAGE_UNWRITABLE');
      }));

    it('an immutable file and a read-only superblock count as unwritable, a read-only bind mount does not', async () => {
      await using store = await withFilesystem('ext4', 64 * MiB);
      const image = join(store.path, 'a.raw');
      writeFileSync(image, '');
      truncateSync(image, GiB);
      expect((await scanned(store.path)).code).toBe(10);
      tool('chattr', '+i', image);
      expect((await scanned(store.path)).code).toBe(0);
      tool('chattr', '-i', image);
      expect((await scanned(store.path)).code).toBe(10);
      tool('mount', '-o', 'remount,ro', store.path);
      expect((await scanned(store.path)).store).toMatchObject({ residual: 0, fits: true });
    });
  });

  it('a filesystem mounted over the store: the one on top is judged', async () => {
    await using low = await withFilesystem('ext4', 64 * MiB);
    qcow2(join(low.path, 'a.qcow2'), '1G');
    expect((await scanned(low.path)).code).toBe(10);
    const over = join(low.path, 'over');
    await mountedAt(
      over,
      () => void execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', over]),
      async () => expect((await scanned(over)).store).toMatchObject({ type: 'tmpfs', fits: true }),
    );
  });

  it('ext4: yes with room for the largest maps, unknown with room for the residuals, no below that', async () => {
    await using store = await withFilesystem('ext4', 160 * MiB, ['-b', '4096', '-m', '0']);
    const image = join(store.path, 'a.img');
    tool('qemu-img', 'create', '-q', '-f', 'raw', image, '16M');
    const roomy = await scanned(store.path);
    expect([roomy.code, roomy.store.assumed, roomy.codes]).toEqual([0, [], expect.not.arrayContaining(['MAP_MAY_EXCEED'])]);
    const excess = roomy.store.mapExcess;
    expect([excess > 48 * MiB, roomy.store.images[0]?.mapExcess]).toEqual([true, excess]);
    const admitted = async (...words: string[]): Promise<[number | null, AdmissionDecision]> => {
      const asked = ['admit', '--json', '--store', store.path, '--socket', '/nowhere', ...words];
      const { code, stdout } = await plimsoll(asked);
      return [code, JSON.parse(stdout) as AdmissionDecision];
    };
    expect((await admitted('--size', '1M', '-f', 'raw'))[0]).toBe(0);
    // The map of the requested image counts too.
    expect((await admitted('--size', '24M', '-f', 'raw'))[0]).toBe(11);

    // Space for the residual and 8 MiB.
    writeFileSync(join(store.path, 'filler.log'), new Uint8Array((roomy.store.headroom ?? 0) - 8 * MiB).fill(7), { flush: true });
    const { code, store: tight } = await scanned(store.path);
    expect([code, tight.fits, tight.residual, tight.headroom]).toEqual([11, null, roomy.store.residual, expect.any(Number)]);
    const message = tight.findings.find((finding) => finding.code === 'MAP_MAY_EXCEED')?.message;
    expect(message).toMatch(/The residuals fit with (7|8)\S* MiB remaining.*up to 5\S* MiB.*--assume usual-writes/);
    const declared = await scanned('--assume', 'usual-writes', store.path);
    expect([declared.code, declared.store.assumed, declared.codes]).toEqual([0, ['usual-writes'], expect.arrayContaining(['ASSUMED'])]);
    const [exitCode, decision] = await admitted('--bytes', '1M');
    expect([exitCode, decision.admitted, decision.message]).toEqual([11, null, expect.stringContaining('up to')]);
    const [sure, rested] = await admitted('--bytes', '1M', '--assume', 'usual-writes');
    expect([sure, rested.assumed]).toEqual([0, ['usual-writes']]);
    expect((await admitted('--bytes', '1M', '--policy', 'entitled'))[0]).toBe(0);
    expect((await admitted('--bytes', '16M', '--assume', 'usual-writes'))[0]).toBe(10);

    // The oracle: QEMU, in an order that splits the map, stops at ENOSPC.
    const order = splittingOrder(4096, 340).flat();
    const commands = order.map((block) => `write -q ${block * 4096} 4096`).join('\n');
    const { stdout, stderr } = spawnSync('qemu-io', ['-f', 'raw', '-t', 'none', image], { input: commands, encoding: 'utf8' });
    expect(`${stdout}${stderr}`).toContain('No space left on device');
  });

  it('ext3 with 1 KiB blocks: an image of 18 GiB exceeds the maximum file size, although the space is available', async () => {
    await using store = await withFilesystem('ext4', 24 * GiB, ['-t', 'ext3', '-b', '1024', '-N', '128', '-O', '^resize_inode']);
    const image = join(store.path, 'a.qcow2');
    qcow2(image, '18G');
    const { code, store: report, codes } = await scanned(store.path);
    expect(report.headroom).toBeGreaterThan(0);
    expect([code, report.fits, codes]).toEqual([10, false, expect.arrayContaining(['IMAGES_EXCEED_LARGEST_FILE'])]);
    expect(report.images[0]?.findings.map((finding) => finding.code)).toContain('EXCEEDS_LARGEST_FILE');
    // The oracle: the byte at 17 GiB of the file cannot exist.
    expect(() => truncateSync(image, 17 * GiB)).toThrow(/EFBIG/);
    expect((await plimsoll(['admit', '--size', '18G', '--store', store.path, '--socket', '/nowhere'])).code).toBe(10);
    expect((await plimsoll(['admit', '--size', '1G', '--store', store.path, '--socket', '/nowhere'])).code).toBe(11);
    const refused = await plimsoll(['create', '-f', 'qcow2', join(store.path, 'b.qcow2'), '18G']);
    expect([refused.code, refused.stderr]).toEqual([18, expect.stringContaining('the largest file of this filesystem')]);
    expect((await plimsoll(['create', '-q', '-f', 'qcow2', '--overcommit', join(store.path, 'b.qcow2'), '18G'])).code).toBe(0);
  });
});
