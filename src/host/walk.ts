/**
 * Walks the regular files below directories: each file once per name, links are not followed, other filesystems are
 * entered only if listed.
 */
import { type BigIntStats, type Dirent, lstat, readdir, stat, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { asPlimsollError, PlimsollError } from '#base';
import { displayPath } from './descriptor.ts';
import { nameText } from './name-text.ts';
import { RACY_WINDOW_MS, type PathStamp, isFresh, isSamePathStamp } from './path-stamp.ts';
import { FilesystemCache, filesystemOf } from './filesystem.ts';

const lstatAsync = promisify(lstat);
const statAsync = promisify(stat);
const readdirAsync = promisify(readdir);

/** A name, for people and for the kernel: `path` is its `nameText`, `pathBytes` opens the file. */
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
  /** What was read last time: a directory that did not change since is not read again. Brought up to date. */
  readonly memory?: WalkMemory;
  /** Directories below the named ones that are not entered, by their path and the id of the filesystem around them. */
  readonly isExcluded?: (path: string, filesystem: string) => boolean;
}

/** A directory that was read: its files, and what else there is. */
export interface WalkedDirectory extends WalkedPath {
  readonly kind: 'directory';
  /** Device and inode number. */
  readonly key: string;
  /** The id of the filesystem that it lies on. */
  readonly filesystem: string;
  /** From one walk to the next with the same memory the same objects, as long as the names are there. */
  readonly files: readonly WalkedPath[];
  readonly directories: readonly WalkedPath[];
  readonly symlinkCount: number;
  readonly specialCount: number;
}

type DirectoryEntry = WalkedDirectory | Extract<WalkEntry, { kind: 'error' | 'other-filesystem' }>;

interface Inside {
  readonly stDev: bigint;
  readonly id: string;
  readonly isLocal: boolean;
}

interface PendingDirectory {
  readonly pathBytes: Buffer;
  /** The filesystem to stay on, by st_dev and id; undefined for a directory that was named. */
  readonly inside: Inside | undefined;
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
  const counts = { fileCount: 0, directoryCount: 0, symlinkCount: 0, specialCount: 0 };
  for await (const entry of walkDirectories(directories, options)) {
    if (entry.kind !== 'directory') yield entry;
    else {
      const { files, filesystem, symlinkCount, specialCount } = entry;
      for (const file of files) {
        options.signal?.throwIfAborted();
        yield { kind: 'file', path: file.path, pathBytes: file.pathBytes };
      }
      if (symlinkCount + specialCount > 0) yield { kind: 'not-followed', filesystem, symlinkCount, specialCount };
      counts.directoryCount += 1;
      counts.fileCount += files.length;
      counts.symlinkCount += symlinkCount;
      counts.specialCount += specialCount;
    }
  }
  yield { kind: 'end', ...counts };
}

/** As `walkFiles`, a directory at a time. */
export async function* walkDirectories(
  directories: readonly (string | Buffer)[],
  options: WalkOptions = {},
): AsyncGenerator<DirectoryEntry, void> {
  const filesystems = options.filesystems ?? new FilesystemCache();
  const memory = options.memory ?? new WalkMemory();
  const pending: PendingDirectory[] = directories.map((path) => ({ pathBytes: Buffer.from(path), inside: undefined })).reverse();
  const named = await keysOf(directories);
  const seen = new Set<string>();
  memory.begin();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    options.signal?.throwIfAborted();
    const { pathBytes } = next;
    const path = displayPath(pathBytes);
    if (next.inside !== undefined && options.isExcluded?.(path, next.inside.id) === true) continue;
    const entered = await enter(next, path, { seen, named, filesystems, memory });
    if (entered === 'seen') continue;
    if (entered === 'other-filesystem') yield { kind: 'other-filesystem', path, pathBytes };
    else if (entered instanceof PlimsollError) yield { kind: 'error', path, pathBytes, error: entered };
    else {
      const { inside } = entered;
      for (const below of entered.names.directories) pending.push({ pathBytes: below.pathBytes, inside });
      yield { kind: 'directory', path, pathBytes, key: entered.key, filesystem: inside.id, ...entered.names };
    }
  }
  memory.end();
}

type Names = Pick<WalkedDirectory, 'files' | 'directories' | 'symlinkCount' | 'specialCount'>;

interface RememberedDirectory {
  readonly mark: PathStamp;
  /** Read so long after its last change that every later one shows in the mark. */
  readonly isSettled: boolean;
  readonly names: Names;
}

/** What a walk read of each directory, for the next one. */
export class WalkMemory {
  #before = new Map<string, RememberedDirectory>();
  #now = new Map<string, RememberedDirectory>();

  begin(): void {
    this.#now = new Map();
  }

  /** A walk that did not end leaves what was known before it. */
  end(): void {
    this.#before = this.#now;
  }

  recall(pathBytes: Buffer): RememberedDirectory | undefined {
    return this.#before.get(pathBytes.toString('latin1'));
  }

  keep(pathBytes: Buffer, read: RememberedDirectory): void {
    this.#now.set(pathBytes.toString('latin1'), read);
  }
}

interface WalkState {
  /** Directories read so far, by `keyOf`. */
  readonly seen: Set<string>;
  /** Directories that were asked for: each is its own reason to be entered, when its turn comes. */
  readonly named: ReadonlySet<string>;
  readonly filesystems: FilesystemCache;
  readonly memory: WalkMemory;
}

interface EnteredDirectory {
  readonly names: Names;
  readonly key: string;
  readonly inside: Inside;
}

async function enter(
  directory: PendingDirectory,
  path: string,
  { seen, named, filesystems, memory }: WalkState,
): Promise<EnteredDirectory | 'seen' | 'other-filesystem' | PlimsollError> {
  const { pathBytes, inside } = directory;
  try {
    const stats: BigIntStats = await (inside === undefined ? statAsync : lstatAsync)(pathBytes, { bigint: true });
    if (!stats.isDirectory()) {
      // Below a named directory it was one a moment ago; a link in its place is not followed.
      return inside === undefined ? notADirectory(path) : 'seen';
    }
    const key = keyOf(stats);
    if (seen.has(key)) return 'seen';
    const { id, isLocal } = inside?.stDev === stats.dev ? inside : await storeOf(pathBytes, filesystems);
    if (inside !== undefined && inside.id !== id) return named.has(key) ? 'seen' : 'other-filesystem';
    const names = await namesIn(pathBytes, path, stats, isLocal, memory);
    seen.add(key);
    return { names, key, inside: { stDev: stats.dev, id, isLocal } };
  } catch (error) {
    return asPlimsollError(error, 'read directory', path);
  }
}

async function storeOf(pathBytes: Buffer, filesystems: FilesystemCache): Promise<{ id: string; isLocal: boolean }> {
  const { id, kind } = await filesystemOf(pathBytes, filesystems);
  return { id, isLocal: kind !== 'other' };
}

/** The names in a directory, read only where it may have changed. */
async function namesIn(pathBytes: Buffer, path: string, stats: BigIntStats, isLocal: boolean, memory: WalkMemory): Promise<Names> {
  const remembered = memory.recall(pathBytes);
  if (remembered?.isSettled === true && isSamePathStamp(remembered.mark, stats)) {
    memory.keep(pathBytes, remembered);
    return remembered.names;
  }
  const { dev, ino, size, blocks, mtimeNs, ctimeNs } = stats;
  const mark = { dev, ino, size, blocks, mtimeNs, ctimeNs };
  // What other hosts change on a server's directory shows here when the client's cache is over.
  const isSettled = isLocal && !isFresh(mark, Date.now(), RACY_WINDOW_MS);
  const read = await readdirAsync(pathBytes, { withFileTypes: true, encoding: 'buffer' });
  const names = sortedOut(read, path, pathBytes, remembered?.names);
  memory.keep(pathBytes, { mark, isSettled, names });
  return names;
}

function sortedOut(read: readonly Dirent<Buffer>[], path: string, pathBytes: Buffer, before: Names | undefined): Names {
  const known = new Map((before?.files ?? []).map((file) => [file.pathBytes.toString('latin1'), file]));
  const files: WalkedPath[] = [];
  const directories: WalkedPath[] = [];
  let symlinkCount = 0;
  let specialCount = 0;
  for (const name of read) {
    if (name.isFile()) {
      const file = joined(path, pathBytes, name.name);
      files.push((known.size === 0 ? undefined : known.get(file.pathBytes.toString('latin1'))) ?? file);
    } else if (name.isDirectory()) directories.push(joined(path, pathBytes, name.name));
    else if (name.isSymbolicLink()) symlinkCount += 1;
    else specialCount += 1;
  }
  return { files, directories, symlinkCount, specialCount };
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
    path: `${directory}${hasSlash ? '' : '/'}${nameText(name)}`,
    pathBytes: Buffer.concat(hasSlash ? [directoryBytes, name] : [directoryBytes, Buffer.of(SLASH), name]),
  };
}
