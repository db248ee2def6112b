/**
 * Real filesystems for tests: made by mkfs on a sparse file, loop-mounted, gone afterwards.
 *
 * The sparse file is unlinked as soon as it is mounted, so that a mount point is all that an interrupted run can leave;
 * mounts left behind by a process that no longer lives are removed by the next run.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync, statfsSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type MountableKind = 'ext4' | 'xfs' | 'btrfs' | 'tmpfs';

export interface MountedFilesystem {
  readonly kind: MountableKind;
  /** The mount point: an empty directory (ext4: beside lost+found). */
  readonly path: string;
  /** May be called twice. Busy mounts are detached lazily. */
  unmount(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const MiB = 1024 * 1024;
const PREFIX = 'plimsoll-fs-';
/** What each mkfs refuses to go below; smaller requests are raised to it. The files are sparse. */
const MINIMUM_BYTES: Readonly<Record<MountableKind, number>> = { ext4: 8 * MiB, xfs: 300 * MiB, btrfs: 128 * MiB, tmpfs: MiB };
const MKFS: Readonly<Record<Exclude<MountableKind, 'tmpfs'>, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=1'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

const mounted = new Set<string>();
let prepared = false;

/** Whether this process may mount. When it may not, says loudly on stderr that `untested` is not tested. */
export function canMount(untested: string): boolean {
  if (process.getuid?.() === 0) return true;
  console.warn(`\n*** NOT TESTED (needs root to mount filesystems): ${untested} ***\n`);
  return false;
}

/**
 * A new, empty filesystem of `kind` with at least `sizeBytes`, mounted on a directory of its own.
 *
 * `mkfsArguments` go before the file's name: `['-b', '1024']`; for tmpfs they are mount options: `['-o', 'nr_inodes=10']`.
 */
export async function withFilesystem(
  kind: MountableKind,
  sizeBytes: number,
  mkfsArguments: readonly string[] = [],
  mountOptions: readonly string[] = [],
): Promise<MountedFilesystem> {
  prepareOnce();
  const path = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-${kind}-`));
  const byteLength = Math.max(sizeBytes, MINIMUM_BYTES[kind]);
  mounted.add(path);
  try {
    if (kind === 'tmpfs') await run('mount', ['-t', 'tmpfs', '-o', `size=${byteLength}`, ...mkfsArguments, 'tmpfs', path]);
    else await mountLoop(kind, path, byteLength, mkfsArguments, mountOptions);
  } catch (error) {
    unmountNow(path);
    throw error;
  }
  const unmount = (): Promise<void> => unmountOnce(path);
  return { kind, path, unmount, [Symbol.asyncDispose]: unmount };
}

async function mountLoop(
  kind: Exclude<MountableKind, 'tmpfs'>,
  path: string,
  byteLength: number,
  mkfsArguments: readonly string[],
  mountOptions: readonly string[],
): Promise<void> {
  const image = join(roomyDirectory(byteLength), `${basename(path)}.img`);
  const [program, ...fixed] = MKFS[kind] as [string, ...string[]];
  try {
    writeFileSync(image, '');
    truncateSync(image, byteLength);
    await run(program, [...fixed, ...mkfsArguments, image]);
    await run('mount', ['-o', ['loop', ...mountOptions].join(','), image, path]);
  } finally {
    unlinkSync(image);
  }
}

/** Memory where there is plenty, so that neither fsync nor unmounting waits for a disk; else the temporary directory. */
function roomyDirectory(byteLength: number): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    if (bavail * bsize >= 4 * byteLength) return '/dev/shm';
  } catch {
    // /dev/shm does not exist here.
  }
  return tmpdir();
}

async function unmountOnce(path: string): Promise<void> {
  if (!mounted.delete(path)) return;
  try {
    await run('umount', [path]);
  } catch {
    await run('umount', ['--lazy', path]);
  }
  rmdirSync(path);
}

/** The synchronous way out, for exit handlers and failures: never throws. */
function unmountNow(path: string): void {
  mounted.delete(path);
  if (isMountPoint(path)) {
    try {
      execFileSync('umount', ['--lazy', path], { stdio: 'ignore' });
    } catch {
      console.warn(`Cannot unmount ${path}; do it by hand`);
      return;
    }
  }
  for (const directory of ['/dev/shm', tmpdir()]) rmSync(join(directory, `${basename(path)}.img`), { force: true });
  if (existsSync(path)) rmdirSync(path);
}

function isMountPoint(path: string): boolean {
  return mountPoints().includes(path);
}

function mountPoints(): string[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[1] ?? []);
}

function prepareOnce(): void {
  if (prepared) return;
  prepared = true;
  for (const path of mountPoints()) if (isAbandoned(path)) unmountNow(path);
  const unmountAll = (): void => mounted.forEach(unmountNow);
  process.once('exit', unmountAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      unmountAll();
      process.kill(process.pid, signal);
    });
  }
}

/** A mount of ours whose process is gone. */
function isAbandoned(path: string): boolean {
  const owner = new RegExp(`^${PREFIX}(\\d+)-`).exec(basename(path))?.[1];
  return owner !== undefined && !existsSync(`/proc/${owner}`);
}
