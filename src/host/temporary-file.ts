/**
 * A file that appears under its name only when it is complete. Until then it is unnamed, so that nothing remains even if
 * the process is killed; if the filesystem or the FFI does not support that, it has a temporary name.
 */
import { randomBytes } from 'node:crypto';
import { close, constants, fchmod, fsync, link, lstat, open, readFileSync, unlink } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { asPlimsollError, PlimsollError } from '#base';
import { syncFile, systemError } from './allocate.ts';
import { ERRNO, loadFfi } from './ffi.ts';

const openAsync = promisify(open);
const closeAsync = promisify(close);
const linkAsync = promisify(link);
const unlinkAsync = promisify(unlink);
const lstatAsync = promisify(lstat);
const fsyncAsync = promisify(fsync);
const fchmodAsync = promisify(fchmod);

const DOING = 'create file';
/** O_TMPFILE without O_DIRECTORY, which it contains: Node's constants leave it out. */
const TMPFILE_BIT = 0o20000000;
const MODE_WHILE_INCOMPLETE = 0o600;
const MODE_WHEN_COMPLETE = 0o644;
/** Bytes of a name that every filesystem here accepts (NAME_MAX is 255), less the prefix and suffix. */
const MAX_STEM_LENGTH = 64;

export interface TemporaryFile {
  /** Open for reading and writing. */
  readonly fd: number;
  /** Its name until it is published; undefined for an unnamed file. */
  readonly temporaryPath: string | undefined;
  /**
   * Flushes the file, gives it its final name and mode (0644 less the umask), flushes the directory, closes.
   *
   * Throws: conflict, FILE_EXISTS, when something has that name by now: it is left as it is, and this file is discarded; io.
   */
  publish(): Promise<void>;
  /** Closes and removes the file; does nothing when it was published or discarded before. Never throws. */
  discard(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A new file beside `path`, to be written and then published as `path`. Mode 0600 until then, so that no other user reads it half written.
 *
 * Throws: conflict, FILE_EXISTS, when `path` exists; not-found, io.
 */
export async function createTemporary(path: string): Promise<TemporaryFile> {
  await refuseExisting(path);
  const { fd, temporaryPath } = (await openNameless(path)) ?? (await openNamed(path));
  let isOver = false;

  const discard = async (): Promise<void> => {
    if (isOver) return;
    isOver = true;
    if (temporaryPath !== undefined) await unlinkAsync(temporaryPath).catch(ignore);
    await closeAsync(fd).catch(ignore);
  };
  const publish = async (): Promise<void> => {
    if (isOver) throw new PlimsollError('bug', 'PUBLISHED_TWICE', { doing: DOING, image: path });
    try {
      await fchmodAsync(fd, MODE_WHEN_COMPLETE & ~umask());
      await syncFile(fd);
      if (temporaryPath === undefined) await nameDescriptor(fd, path);
      else await giveName(temporaryPath, path);
      isOver = true;
      await closeAsync(fd);
      await syncDirectory(dirname(path));
    } catch (error) {
      await discard();
      throw asPlimsollError(error, DOING, path);
    }
  };
  return { fd, temporaryPath, publish, discard, [Symbol.asyncDispose]: discard };
}

interface Opened {
  readonly fd: number;
  readonly temporaryPath: string | undefined;
}

/** Since Linux 3.11; not on every filesystem, and only the FFI can name such a file later. */
async function openNameless(path: string): Promise<Opened | undefined> {
  if ((await loadFfi()) === undefined) return undefined;
  const { O_RDWR, O_DIRECTORY } = constants;
  try {
    return { fd: await openAsync(dirname(path), O_RDWR | O_DIRECTORY | TMPFILE_BIT, MODE_WHILE_INCOMPLETE), temporaryPath: undefined };
  } catch {
    // Opening by name reports the actual error, if there is another one.
    return undefined;
  }
}

async function openNamed(path: string): Promise<Opened> {
  const stem = basename(path).slice(0, MAX_STEM_LENGTH);
  const temporaryPath = join(dirname(path), `.${stem}.${randomBytes(6).toString('hex')}.part`);
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = await attempt(path, () => openAsync(temporaryPath, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, MODE_WHILE_INCOMPLETE));
  return { fd, temporaryPath };
}

async function nameDescriptor(fd: number, path: string): Promise<void> {
  const result = (await loadFfi())?.linkDescriptor(fd, Buffer.from(path)) ?? -ERRNO.ENOSYS;
  if (result === -ERRNO.EEXIST) throw fileExists(path);
  if (result < 0) throw systemError(result);
}

/** Reports early what would otherwise fail only after hours of writing; `publish` decides. */
async function refuseExisting(path: string): Promise<void> {
  try {
    await lstatAsync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw asPlimsollError(error, DOING, path);
  }
  throw fileExists(path);
}

/** A hard link is atomic and never replaces; filesystems without hard links have renameat2, where there is an FFI. */
async function giveName(temporaryPath: string, path: string): Promise<void> {
  try {
    await linkAsync(temporaryPath, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw fileExists(path);
    // FAT reports EPERM, others that links are not supported; a full link table is impossible for a new file.
    if (code !== 'EPERM' && code !== 'EOPNOTSUPP' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error;
    return renameWithoutReplacing(temporaryPath, path, error);
  }
  await unlinkAsync(temporaryPath);
}

/** For filesystems without hard links; `cause` is the error of link(). Throws as `publish`; unsupported, NO_ATOMIC_NAME. */
export async function renameWithoutReplacing(temporaryPath: string, path: string, cause: unknown): Promise<void> {
  const ffi = await loadFfi();
  const result = ffi?.renameNoReplace(Buffer.from(temporaryPath), Buffer.from(path)) ?? -ERRNO.ENOSYS;
  if (result >= 0) return;
  if (result === -ERRNO.EEXIST) throw fileExists(path);
  if (result === -ERRNO.EINVAL || result === -ERRNO.ENOSYS) {
    throw new PlimsollError('unsupported', 'NO_ATOMIC_NAME', {
      doing: DOING,
      image: path,
      found: 'filesystem supports neither linkat nor renameat2(RENAME_NOREPLACE)',
      cause,
    });
  }
  throw systemError(result);
}

async function syncDirectory(directory: string): Promise<void> {
  const fd = await openAsync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await fsyncAsync(fd);
  } catch (error) {
    // Some network and FUSE filesystems do not flush directories; the file itself is flushed.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
  } finally {
    await closeAsync(fd);
  }
}

function fileExists(path: string): PlimsollError {
  return new PlimsollError('conflict', 'FILE_EXISTS', { doing: DOING, image: path, found: 'a file of that name exists' });
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asPlimsollError(error, DOING, path);
  }
}

/** From /proc, since process.umask() sets the umask to 0 for a moment. */
function umask(): number {
  const match = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return match?.[1] === undefined ? process.umask() : Number.parseInt(match[1], 8);
}

function ignore(): void {
  // Discarding follows another failure, which is the one to report.
}
