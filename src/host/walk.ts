/** The regular files below directories: every one once by name, no link followed, no other filesystem entered unasked. */
import { type BigIntStats, type Dirent, lstat, readdir, stat, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { asPlimsollError, PlimsollError } from '#base';
import { displayPath } from './descriptor.ts';
import { FilesystemCache, filesystemOf } from './filesystem.ts';

const lstatAsync = promisify(lstat);
const statAsync = promisify(stat);
const readdirAsync = promisify(readdir);

/** A name, for people and for the kernel: `path` shows bytes that are not UTF-8 as U+FFFD, `pathBytes` opens the file. */
export interface WalkedPath {
  readonly path: string;
  readonly pathBytes: Buffer;
}

export type WalkEntry =
  | ({ readonly kind: 'file' } & WalkedPath)
  /** A directory that could not be read: what lies below is not known. */
  | ({ readonly kind: 'error'; readonly error: PlimsollError } & WalkedPath)
  /** A directory on another filesystem, not entered. */
  | ({ readonly kind: 'other-filesystem' } & WalkedPath)
  /** A directory, read before, with names that are neither files nor directories; `filesystem` is the id of the one it lies on. */
  | { readonly kind: 'not-followed'; readonly filesystem: string; readonly symlinkCount: number; readonly specialCount: number }
  /** Once, at the end. */
  | ({ readonly kind: 'end' } & WalkCounts);

export interface WalkCounts {
  readonly fileCount: number;
  readonly directoryCount: number;
  readonly symlinkCount: number;
  /** Fifos, sockets and devices. */
  readonly specialCount: number;
}

export interface WalkOptions {
  readonly signal?: AbortSignal;
  /** Shared with the rest of the run; a fresh one when left out. */
  readonly filesystems?: FilesystemCache;
}

interface PendingDirectory {
  readonly pathBytes: Buffer;
  /** The filesystem to stay on, by st_dev and id; undefined for a directory that was named. */
  readonly inside: { readonly stDev: bigint; readonly id: string } | undefined;
}

const SLASH = 0x2f;

/**
 * The regular files below `directories`, in no particular order, then the counts.
 *
 * A named directory may be a symbolic link; links below are counted, not followed. Directories given twice, inside each
 * other, or bound to several places are read once. btrfs subvolumes belong to the filesystem they lie on. Hard links are
 * names of their own. Depth costs memory, never stack.
 *
 * Throws: the signal's reason, when it is aborted. Everything else is an entry.
 */
export async function* walkFiles(directories: readonly (string | Buffer)[], options: WalkOptions = {}): AsyncGenerator<WalkEntry, void> {
  const filesystems = options.filesystems ?? new FilesystemCache();
  const pending: PendingDirectory[] = directories.map((path) => ({ pathBytes: Buffer.from(path), inside: undefined })).reverse();
  const named = await keysOf(directories);
  const seen = new Set<string>();
  const counts = { fileCount: 0, directoryCount: 0, symlinkCount: 0, specialCount: 0 };

  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    options.signal?.throwIfAborted();
    const { pathBytes } = next;
    const path = displayPath(pathBytes);
    const entered = await enter(next, path, { seen, named, filesystems });
    if (entered === 'seen') continue;
    if (entered === 'other-filesystem') yield { kind: 'other-filesystem', path, pathBytes };
    else if (entered instanceof PlimsollError) yield { kind: 'error', path, pathBytes, error: entered };
    else {
      counts.directoryCount += 1;
      let symlinkCount = 0;
      let specialCount = 0;
      for (const name of entered.names) {
        if (name.isFile()) {
          counts.fileCount += 1;
          options.signal?.throwIfAborted();
          yield { kind: 'file', ...joined(path, pathBytes, name.name) };
        } else if (name.isDirectory()) {
          pending.push({ pathBytes: joined(path, pathBytes, name.name).pathBytes, inside: entered.inside });
        } else if (name.isSymbolicLink()) symlinkCount += 1;
        else specialCount += 1;
      }
      if (symlinkCount + specialCount > 0) yield { kind: 'not-followed', filesystem: entered.inside.id, symlinkCount, specialCount };
      counts.symlinkCount += symlinkCount;
      counts.specialCount += specialCount;
    }
  }
  yield { kind: 'end', ...counts };
}

interface WalkState {
  /** Directories read so far, by `keyOf`. */
  readonly seen: Set<string>;
  /** Directories that were asked for: each is its own reason to be entered, when its turn comes. */
  readonly named: ReadonlySet<string>;
  readonly filesystems: FilesystemCache;
}

interface EnteredDirectory {
  readonly names: readonly Dirent<Buffer>[];
  readonly inside: { readonly stDev: bigint; readonly id: string };
}

async function enter(
  directory: PendingDirectory,
  path: string,
  { seen, named, filesystems }: WalkState,
): Promise<EnteredDirectory | 'seen' | 'other-filesystem' | PlimsollError> {
  const { pathBytes, inside } = directory;
  try {
    const stats: BigIntStats = await (inside === undefined ? statAsync : lstatAsync)(pathBytes, { bigint: true });
    if (!stats.isDirectory()) {
      // Below a named directory it was one a moment ago: whoever replaced it gets no link followed.
      return inside === undefined ? notADirectory(path) : 'seen';
    }
    const key = keyOf(stats);
    if (seen.has(key)) return 'seen';
    const id = inside?.stDev === stats.dev ? inside.id : (await filesystemOf(pathBytes, filesystems)).id;
    if (inside !== undefined && inside.id !== id) return named.has(key) ? 'seen' : 'other-filesystem';
    const names = await readdirAsync(pathBytes, { withFileTypes: true, encoding: 'buffer' });
    seen.add(key);
    return { names, inside: { stDev: stats.dev, id } };
  } catch (error) {
    return asPlimsollError(error, 'read directory', path);
  }
}

function keyOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

async function keysOf(directories: readonly (string | Buffer)[]): Promise<ReadonlySet<string>> {
  // What cannot be looked at here becomes an error entry when its turn comes.
  const keys = await Promise.all(directories.map((path) => statAsync(path, { bigint: true }).then(keyOf, () => undefined)));
  return new Set(keys.filter((key) => key !== undefined));
}

/** Whether the name leads to something that is there and no directory. */
export function isNoDirectory(path: string | Buffer): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === false;
  } catch {
    // What cannot be looked at is reported by the walk.
    return false;
  }
}

function notADirectory(path: string): PlimsollError {
  return new PlimsollError('usage', 'NOT_A_DIRECTORY', { doing: 'read directory', image: path, found: 'not a directory' });
}

function joined(directory: string, directoryBytes: Buffer, name: Buffer): WalkedPath {
  const hasSlash = directoryBytes.at(-1) === SLASH;
  return {
    path: `${directory}${hasSlash ? '' : '/'}${name.toString('utf8')}`,
    pathBytes: Buffer.concat(hasSlash ? [directoryBytes, name] : [directoryBytes, Buffer.of(SLASH), name]),
  };
}
