import { readUpTo } from '#block';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import {
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { newHostCache, openImageFile } from './open-file.ts';

const MiB = 2 ** 20;
const mountable = canMount('facts of files on ext4, XFS, btrfs and tmpfs; block devices');
let directory: string;
const at = (name: string): string => join(directory, name);
/** Descriptors of this process that lead to the test's own files. */
const openDescriptors = (): number =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false; // the descriptor that listed them
    }
  }).length;

/** A process that holds a write lease on `path` until it is killed, or until the file is opened. */
const LEASE_HOLDER = `
  import koffi from 'koffi';
  import { openSync } from 'node:fs';
  const fcntl = koffi.load(null).func('int fcntl(int fd, int command, int argument)');
  const [F_SETLEASE, F_WRLCK] = [1024, 1];
  console.log(fcntl(openSync(process.argv[1], 'w'), F_SETLEASE, F_WRLCK) === 0 ? 'held' : 'failed ' + koffi.errno());
  setInterval(() => {}, 1000);
`;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-open-'));
  writeFileSync(at('image'), 'content of the image');
});
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(resetFfiForTests);

describe('openImageFile()', () => {
  it('reads the file and reports its real path', async () => {
    symlinkSync('image', at('link'));
    await using file = await openImageFile(at('link'));
    expect(Buffer.from(await readUpTo(file.device, 0, 100)).toString()).toBe('content of the image');
    expect(file).toMatchObject({ path: at('link'), realPath: at('image') });
    expect(file.realPathBytes.toString()).toBe(at('image'));
    const { dev, ino } = statSync(at('image'));
    expect(file.identity).toBe(`${dev}:${ino}`);
  });

  it('opens for reading only and closes on exec', async () => {
    await using file = await openImageFile(at('image'));
    const flags = Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'))?.[1] ?? '', 8);
    expect(flags & 3).toBe(0);
    expect(flags & 0o2000000).toBe(0o2000000);
  });

  it('opens names that are not UTF-8', async () => {
    const name = Buffer.concat([Buffer.from(`${directory}/`), Buffer.of(0xff, 0xfe, 0x41)]);
    writeFileSync(name, 'odd');
    await using file = await openImageFile(name);
    expect(file.device.byteLength).toBe(3);
    expect(file.realPathBytes).toEqual(name);
    expect(file.path).toBe(`${directory}/\udcff\udcfeA`);
  });

  it('refuses a directory', async () => {
    await expect(openImageFile(directory)).rejects.toMatchObject({
      kind: 'refused',
      code: 'NOT_A_REGULAR_FILE',
      where: { found: 'a directory' },
    });
  });

  it('refuses a character device', async () => {
    await expect(openImageFile('/dev/null')).rejects.toMatchObject({ code: 'NOT_A_REGULAR_FILE', where: { found: 'a character device' } });
  });

  it('refuses a fifo at once, without waking its writer', async () => {
    execFileSync('mkfifo', [at('fifo')]);
    const writer = spawn('sh', ['-c', 'echo woken > fifo'], { cwd: directory, stdio: 'ignore' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await expect(openImageFile(at('fifo'))).rejects.toMatchObject({ kind: 'refused', where: { found: 'a fifo' } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(writer.exitCode).toBeNull();
    writer.kill('SIGKILL');
  });

  it('refuses a socket', async () => {
    const server = createServer().listen(at('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(openImageFile(at('socket'))).rejects.toMatchObject({ kind: 'refused', where: { found: 'a socket' } });
    server.close();
  });

  it.skipIf(!mountable)('reports that block devices are not supported yet', async () => {
    execFileSync('mknod', [at('block'), 'b', '7', '0']);
    await expect(openImageFile(at('block'))).rejects.toMatchObject({
      kind: 'refused',
      code: 'NOT_A_REGULAR_FILE',
      where: { expected: expect.stringContaining('block devices are not supported') },
    });
  });

  it.each([
    ['', 'IMPOSSIBLE_NAME', 'refused'],
    ['a\0b', 'IMPOSSIBLE_NAME', 'refused'],
    ['/no/such/file', 'IO_ENOENT', 'not-found'],
    [`/${'x'.repeat(300)}`, 'IO_ENAMETOOLONG', 'io'],
  ])('refuses the name %j with a type', async (name, code, kind) => {
    await expect(openImageFile(name)).rejects.toMatchObject({ code, kind });
  });

  it.skipIf(!mountable)('refuses a length beyond 2^53', async () => {
    await using filesystem = await withFilesystem('xfs', 300 * MiB);
    const path = join(filesystem.path, 'endless');
    execFileSync('xfs_io', ['-f', '-c', `truncate ${2n ** 53n}`, path]);
    await expect(openImageFile(path)).rejects.toMatchObject({ kind: 'unsupported', code: 'FILE_TOO_LONG' });
  });

  it('refuses flags that write', async () => {
    await expect(openImageFile(at('image'), { flags: 2 })).rejects.toMatchObject({ kind: 'bug', code: 'OPEN_FLAGS' });
  });

  it('reports a lease that prevents opening', async () => {
    const holder = spawn(process.execPath, ['--input-type=module', '-e', LEASE_HOLDER, at('leased')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const answer = await new Promise((resolve) => holder.stdout.once('data', resolve));
    expect(String(answer)).toBe('held\n');
    // Breaking the lease signals its holder, which dies of it: the first opening gets the error.
    await expect(openImageFile(at('leased'))).rejects.toMatchObject({ kind: 'busy', code: 'FILE_LEASED' });
    holder.kill('SIGKILL');
  });

  it('leaves no descriptor behind when it refuses', async () => {
    const before = openDescriptors();
    for (let round = 0; round < 20; round += 1) {
      await openImageFile(directory).catch(() => undefined);
      await openImageFile(at('image'), {
        permit: () => {
          throw new Error('no');
        },
      }).catch(() => undefined);
    }
    expect(openDescriptors()).toBe(before);
  });

  it('can be closed twice', async () => {
    const file = await openImageFile(at('image'));
    await Promise.all([file.close(), file.close()]);
    await file.close();
    expect(openDescriptors()).toBe(0);
  });

  it('changes neither content nor times but atime', async () => {
    const before = statSync(at('image'), { bigint: true });
    const hash = createHash('sha256')
      .update(readFileSync(at('image')))
      .digest('hex');
    {
      await using file = await openImageFile(at('image'));
      await file.facts();
      await readUpTo(file.device, 0, 10);
    }
    const after = statSync(at('image'), { bigint: true });
    expect([after.mtimeNs, after.ctimeNs, after.size, after.ino]).toEqual([before.mtimeNs, before.ctimeNs, before.size, before.ino]);
    expect(
      createHash('sha256')
        .update(readFileSync(at('image')))
        .digest('hex'),
    ).toBe(hash);
  });
});

describe('openImageFile() with a check of the place', () => {
  it('checks the real place before it opens the file', async () => {
    symlinkSync('/etc/hostname', at('escape'));
    const places: string[] = [];
    const permit = ({ realPath }: { realPath: string }): void => {
      places.push(realPath);
      if (!realPath.startsWith(directory)) throw new Error('outside');
    };
    await expect(openImageFile(at('escape'), { permit })).rejects.toThrow('outside');
    expect(places).toEqual(['/etc/hostname']);
  });

  it('opens the checked file, whatever the name means by then', async () => {
    writeFileSync(at('first'), 'first');
    writeFileSync(at('second'), 'the second');
    const permit = (): void => renameSync(at('second'), at('first'));
    await using file = await openImageFile(at('first'), { permit });
    expect(Buffer.from(await readUpTo(file.device, 0, 20)).toString()).toBe('first');
  });
});

describe.skipIf(!mountable)('facts()', () => {
  it.each(['ext4', 'xfs', 'btrfs', 'tmpfs'] as const)('on %s agree with stat and the filesystem', async (kind) => {
    await using filesystem = await withFilesystem(kind, 300 * MiB, kind === 'ext4' ? ['-b', '1024'] : []);
    const path = join(filesystem.path, 'image');
    writeFileSync(path, Buffer.alloc(MiB, 1));
    truncateSync(path, 10 * MiB);
    execFileSync('sync', ['-f', path]);
    await using file = await openImageFile(path);
    const facts = await file.facts();
    const [blocks, size] = execFileSync('stat', ['-c', '%b %s', path], { encoding: 'utf8' }).split(' ').map(Number);
    expect(facts).toMatchObject({
      filesystem: kind,
      fsBlockSize: kind === 'ext4' ? 1024 : 4096,
      length: size,
      allocation: (blocks ?? 0) * 512,
      extentSizeHint: 0,
      cowExtentSize: kind === 'xfs' ? 32 * 4096 : 0,
      openForWriting: false,
      noCow: kind === 'btrfs' ? false : undefined,
    });
    expect(facts.map).toMatchObject([{ fileOffset: 0, byteLength: MiB }]);
    expect((await file.filesystem()).mount).toBe(filesystem.path);
  });

  it("tell the block size and XFS's extent size hint", async () => {
    await using filesystem = await withFilesystem('xfs', 300 * MiB, ['-b', 'size=1024']);
    const path = join(filesystem.path, 'hinted');
    execFileSync('xfs_io', ['-f', '-c', 'extsize 1m', path]);
    await using file = await openImageFile(path);
    expect(await file.facts()).toMatchObject({ extentSizeHint: MiB, cowExtentSize: MiB, fsBlockSize: 1024, filesystem: 'xfs' });
  });

  it('include the hint that qemu-img sets on XFS', async () => {
    await using filesystem = await withFilesystem('xfs', 300 * MiB);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', join(filesystem.path, 'q'), '1G']);
    await using file = await openImageFile(join(filesystem.path, 'q'));
    expect((await file.facts()).extentSizeHint).toBe(MiB);
  });

  it('tell btrfs files without copy on write', async () => {
    await using filesystem = await withFilesystem('btrfs', 128 * MiB);
    const path = join(filesystem.path, 'nocow');
    writeFileSync(path, '');
    execFileSync('chattr', ['+C', path]);
    await using file = await openImageFile(path);
    expect((await file.facts()).noCow).toBe(true);
  });

  it('fall back to stat where there is no FFI', async () => {
    setFfiForTests(undefined);
    await using filesystem = await withFilesystem('xfs', 300 * MiB);
    const path = join(filesystem.path, 'image');
    writeFileSync(path, Buffer.alloc(8192, 1));
    await using file = await openImageFile(path);
    expect(await file.facts()).toMatchObject({
      map: undefined,
      filesystem: 'xfs',
      length: 8192,
      noCow: undefined,
      extentSizeHint: 0,
      cowExtentSize: 0,
      openForWriting: false,
    });
  });

  it('give hard links one identity, and query one filesystem once', async () => {
    linkSync(at('image'), at('hard'));
    const cache = newHostCache();
    await using one = await openImageFile(at('image'), { cache });
    await using two = await openImageFile(at('hard'), { cache });
    expect((await one.facts()).identity).toBe((await two.facts()).identity);
    expect(await one.filesystem()).toBe(await two.filesystem());
  });
});
