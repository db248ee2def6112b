/**
 * State files of plimsoll: in a directory writable only by this user, each readable only by its owner; a damaged one is
 * renamed, never removed.
 *
 * All calls are synchronous, as the database is that works on these files. None of them opens a database file that is in
 * use: closing it again would drop the locks of the whole process on it (fcntl(2), F_SETLK).
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statfsSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { asPlimsollError, PlimsollError } from '#base';

const DOING = 'open state file';
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;
/** The permissions in octal: a digit for group or others with the write bit, 2. */
const WRITABLE_BY_OTHERS = /[2367].$|[2367]$/;
/** Names for damaged files of the same second. */
const MAX_NAMES = 1000;

/** Suffix of the link to the quarantined file. */
const MARK = '.aside';

/** directory: a directory in place of the file, which can be quarantined; empty: a file of zero bytes. */
export type StateFileKind = 'missing' | 'empty' | 'file' | 'directory';

/**
 * The directory of `file`, made if it is missing (mode 0700), as its path without links: systemd's own state directories
 * are links.
 *
 * Throws: refused, STATE_DIRECTORY_UNSAFE, when others may write in it, or it is theirs; not-found, io.
 */
export function prepareStateDirectory(path: string): string {
  return attempt(path, () => {
    makeDirectory(path);
    const directory = realpathSync(path);
    refuseUnsafe(directory, lstatSync(directory));
    return directory;
  });
}

/**
 * With its parents. One by one: Node's recursive mkdir never ends where an existing parent reports that it does not exist, as in
 * /proc.
 */
function makeDirectory(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: DIRECTORY_MODE });
  } catch (error) {
    // Created meanwhile by another process.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * The kind of `file`. A file of this user that others may read becomes private.
 *
 * Throws: refused, STATE_FILE_REFUSED, for a link, device, fifo or socket; io.
 */
export function stateFileKind(file: string): StateFileKind {
  return attempt(file, () => {
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats === undefined) return 'missing';
    if (stats.isDirectory()) return 'directory';
    if (!stats.isFile()) throw refusedFile(file, stats);
    if (permissions(stats) !== FILE_MODE) chmodSync(file, FILE_MODE);
    return stats.size === 0 ? 'empty' : 'file';
  });
}

/** Bytes that can still be written beside `file`. */
export function roomBeside(file: string): number {
  return attempt(file, () => {
    const { bavail, bsize } = statfsSync(dirname(file));
    return bavail * bsize;
  });
}

/** Device and inode, to detect whether a name still refers to the same file; undefined if it does not exist. */
export function stateFileIdentity(file: string): string | undefined {
  const stats = lstatSync(file, { throwIfNoEntry: false, bigint: true });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`;
}

/** An empty file with mode 0600, unless the name exists. It is never replaced: it may be locked by then. */
export function ensureStateFile(file: string): void {
  attempt(file, () => {
    try {
      closeSync(openSync(file, 'wx', FILE_MODE));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  });
}

/** A new empty file with mode 0600; an existing file of that name is removed, with its journal. */
export function createEmptyStateFile(file: string): void {
  attempt(file, () => {
    removeStateFile(file);
    closeSync(openSync(file, 'wx', FILE_MODE));
  });
}

/** Renames the complete `from` to `to`, durably. */
export function publishStateFile(from: string, to: string): void {
  attempt(to, () => {
    renameSync(from, to);
    syncDirectory(dirname(to));
  });
}

/** A copy to work on, with its log; the original is only read. */
export function copyStateFile(from: string, to: string): void {
  attempt(to, () => {
    createEmptyStateFile(to);
    copyFileSync(from, to);
    if (lstatSync(`${from}-wal`, { throwIfNoEntry: false })?.isFile() === true) copyFileSync(`${from}-wal`, `${to}-wal`);
  });
}

/** Makes `replacement` the first bytes of `file`. */
export function overwriteStart(file: string, replacement: Uint8Array): void {
  const fd = openSync(file, 'r+');
  try {
    writeSync(fd, replacement, 0, replacement.length, 0);
  } finally {
    closeSync(fd);
  }
}

/** The first `byteLength` bytes of a file that has no locks. */
export function readStart(file: string, byteLength: number): Buffer {
  const start = Buffer.alloc(byteLength);
  const fd = openSync(file, 'r');
  try {
    readSync(fd, start, 0, byteLength, 0);
    return start;
  } finally {
    closeSync(fd);
  }
}

export function removeStateFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${suffix}`, { force: true });
}

/**
 * Renames `file` and its log to NAME.corrupt-<time> and returns that name; nothing is removed but the index of the log, which
 * is made anew from it. Until `forgetAside`, `quarantinePath` gives the name, also to a later process.
 *
 * The log goes last: one without its file is put aside by the next start, but never a file without its log, whose last
 * entries would then be missing unnoticed.
 */
export function quarantine(file: string, nowMs: number): string {
  return attempt(file, () => {
    const aside = freeName(file, nowMs);
    forgetAside(file);
    // A link holds a name and is created atomically.
    symlinkSync(basename(aside), `${file}${MARK}`);
    for (const suffix of ['', '-wal', '-journal']) {
      if (lstatSync(`${file}${suffix}`, { throwIfNoEntry: false }) !== undefined) renameSync(`${file}${suffix}`, `${aside}${suffix}`);
    }
    rmSync(`${file}-shm`, { force: true });
    syncDirectory(dirname(file));
    return basename(aside);
  });
}

/** The name that `quarantine` returned; undefined once `forgetAside` was called. */
export function quarantinePath(file: string): string | undefined {
  try {
    return basename(readlinkSync(`${file}${MARK}`));
  } catch {
    return undefined;
  }
}

export function forgetAside(file: string): void {
  rmSync(`${file}${MARK}`, { force: true });
}

/** Whether `file` has a log that is not empty. */
export function hasLog(file: string): boolean {
  return (lstatSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

function freeName(file: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  for (let count = 0; count < MAX_NAMES; count += 1) {
    const name = join(dirname(file), `${basename(file)}.corrupt-${time}${count === 0 ? '' : `-${count}`}`);
    const isTaken = ['', '-wal', '-journal'].some((suffix) => lstatSync(`${name}${suffix}`, { throwIfNoEntry: false }) !== undefined);
    if (!isTaken) return name;
  }
  throw new PlimsollError('conflict', 'FILE_EXISTS', { doing: 'quarantine damaged file', image: file, found: `${MAX_NAMES} of them` });
}

function refuseUnsafe(directory: string, stats: Stats): void {
  const isOurs = stats.uid === process.geteuid?.();
  const mode = permissions(stats).toString(8).padStart(3, '0');
  if (stats.isDirectory() && isOurs && !WRITABLE_BY_OTHERS.test(mode)) return;
  throw new PlimsollError('refused', 'STATE_DIRECTORY_UNSAFE', {
    doing: 'use state directory',
    image: directory,
    found: stats.isDirectory() ? `a directory of user ${stats.uid} with mode ${mode}` : 'not a directory',
    expected: 'a directory writable only by this user',
  });
}

function permissions(stats: Stats): number {
  return stats.mode % 0o1000;
}

function refusedFile(file: string, stats: Stats): PlimsollError {
  return new PlimsollError('refused', 'STATE_FILE_REFUSED', {
    doing: DOING,
    image: file,
    found: stats.isSymbolicLink() ? 'a symbolic link' : 'a special file',
    expected: 'a regular file',
  });
}

function syncDirectory(directory: string): void {
  const fd = openSync(directory, 'r');
  try {
    fsyncSync(fd);
  } catch (error) {
    // Some filesystems do not flush directories; SQLite continues then, too.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}

function attempt<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asPlimsollError(error, DOING, file);
  }
}

/** Identifies this boot of the host: while it is the same, its monotonic clock continues. */
export function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    // Without /proc: no earlier deadline counts as one of this boot.
    return `unknown since ${Date.now()}`;
  }
}
