/** An image file that is open for reading: its bytes, its location, and the facts that the host knows about it. */
import { type BigIntStats, closeSync, fstatSync, realpath, stat } from 'node:fs';
import { promisify } from 'node:util';
import { asPlimsollError, PlimsollError } from '#base';
import type { FileFacts, ReadableDevice, StorageMap } from '#block';
import { displayPath, type OpenOptions, openRegular, type RealPlace } from './descriptor.ts';
import { type Ffi, loadFfi } from './ffi.ts';
import { fileDevice } from './file-device.ts';
import { domainsOf } from './underlying-storage/underlying-storage.ts';
import { FilesystemCache, type HostFilesystem } from './filesystem.ts';
import { extentSizesOf, noCowOf } from './ioctls.ts';
import { LargestFiles } from './largest-file.ts';
import { isOpenForWriting, LockTable } from './locks.ts';
import { inUnits, readStorageMap, readWrittenRanges } from './storage-map.ts';
import { isIndirect } from './storage-rules.ts';
import { protectionOf } from './write-protection.ts';
import { hasWriters } from './writers.ts';

const realpathAsync = promisify(realpath.native);
const statAsync = promisify(stat);

/** Attempts to read a map while the file changes; after these, the last one read is used. */
const MAX_MAP_ATTEMPTS = 3;
const BYTES_PER_STAT_BLOCK = 512;

/** Data that the files of one run share, each queried once. Create one per run: it becomes stale. */
export interface HostCache {
  readonly filesystems: FilesystemCache;
  readonly locks: LockTable;
  readonly largestFiles: LargestFiles;
  /** Buffers for the beginnings of files, borrowed and returned. */
  readonly buffers: BufferPool;
  /** Known once the first file's facts are known. */
  ffi: Ffi | undefined;
}

/**
 * The places that directory names mean, all links resolved; a name that leads nowhere is left out.
 */
export async function realpaths(directories: readonly (string | Buffer)[]): Promise<string[]> {
  const places = await Promise.all(directories.map((directory) => realpathAsync(directory).catch(() => undefined)));
  return places.filter((place) => place !== undefined);
}

/** Buffers of one size, reused from file to file: allocating one for each would cost more than reading into it. */
export class BufferPool {
  readonly #free: Uint8Array[] = [];

  take(byteLength: number): Uint8Array {
    const found = this.#free.pop();
    return found !== undefined && found.byteLength >= byteLength ? found : new Uint8Array(byteLength);
  }

  give(buffer: Uint8Array): void {
    this.#free.push(buffer);
  }
}

/** An empty cache; from `before`, an earlier run's, it takes the entries that do not become stale. */
export function newHostCache(before?: HostCache): HostCache {
  return {
    filesystems: new FilesystemCache(before?.filesystems),
    locks: new LockTable(),
    largestFiles: before?.largestFiles ?? new LargestFiles(),
    buffers: before?.buffers ?? new BufferPool(),
    ffi: before?.ffi,
  };
}

export interface OpenFileOptions extends OpenOptions {
  /** Shared by the files of one run; if left out, a new one for this file. */
  readonly cache?: HostCache;
}

/** The properties that change when a file is written or replaced. */
export interface FileStamp {
  readonly device: number;
  readonly inode: number;
  readonly size: number;
  /** Nanoseconds since 1970 exceed the range of exact numbers. */
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** The facts that need no map of the file. */
export type FileBasics = Pick<FileFacts, 'length' | 'allocation' | 'filesystem' | 'openForWriting'>;

export interface OpenFile extends RealPlace {
  /** The name it was opened by, for display. */
  readonly path: string;
  readonly fd: number;
  /** `device:inode`, as in FileFacts. */
  readonly identity: string;
  /** The file's bytes; the length is that at the time of opening. */
  readonly device: ReadableDevice;
  /** Read anew at each call. Throws: io; unsupported, FILE_TOO_LONG. */
  facts(): Promise<FileFacts>;
  /** The facts that need no map, as `facts`. */
  basics(): Promise<FileBasics>;
  /** The identity and state of the object: read anew at each call. Throws: io. */
  stamp(): FileStamp;
  /** Whether a process can change the file without a trace in its times: see hasWriters. Queried anew at each call. */
  writers(): Promise<boolean | undefined>;
  filesystem(): Promise<HostFilesystem>;
  /** May be called twice. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The regular file `path`, open for reading only. The caller closes it.
 *
 * Throws: refused, for anything but a regular file (it is then never opened) and for names no file can have; not-found; io;
 * busy; unsupported, for a length from 2^53 on; whatever `options.permit` throws.
 */
export async function openImageFile(path: string | Buffer, options: OpenFileOptions = {}): Promise<OpenFile> {
  const opened = await openRegular(path, options);
  try {
    return makeOpenFile(displayPath(path), opened.fd, opened, options.cache ?? newHostCache());
  } catch (error) {
    await closeQuietly(opened.fd);
    throw error;
  }
}

function makeOpenFile(path: string, fd: number, place: RealPlace, cache: HostCache): OpenFile {
  const stats = statOf(fd, path);
  const stDev = stats.dev;
  let closing: Promise<void> | undefined;
  const closeOnce = (): Promise<void> => {
    closing ??= closeQuietly(fd);
    return closing;
  };
  return {
    path,
    fd,
    realPath: place.realPath,
    realPathBytes: place.realPathBytes,
    identity: identityOf(stats),
    device: fileDevice(fd, Number(stats.size), path, () => cache.ffi),
    facts: () => readFacts(fd, path, stats, cache),
    basics: () => readBasics(fd, path, cache),
    stamp: () => stampOf(statOf(fd, path)),
    writers: async () => hasWriters(await loadFfi(), fd, { device: Number(stats.dev), inode: Number(stats.ino) }),
    filesystem: () => cache.filesystems.of(fd, stDev),
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}

function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): FileStamp {
  return { device: Number(dev), inode: Number(ino), size: Number(size), mtimeNs, ctimeNs };
}

async function readBasics(fd: number, path: string, cache: HostCache): Promise<FileBasics> {
  const ffi = await loadFfi();
  cache.ffi = ffi;
  const stats = statOf(fd, path);
  const { kind, device } = await cache.filesystems.of(fd, stats.dev);
  return {
    length: Number(stats.size),
    allocation: allocationOf(stats),
    filesystem: kind,
    openForWriting: isOpenForWriting(ffi, fd, { superblock: device, inode: stats.ino }, cache.locks),
  };
}

/** `dev` and `ino` of an open file never change. */
async function readFacts(fd: number, path: string, { dev, ino }: BigIntStats, cache: HostCache): Promise<FileFacts> {
  const ffi = await loadFfi();
  cache.ffi = ffi;
  const filesystem = await cache.filesystems.of(fd, dev);
  const { kind, fsBlockSize, geometry } = filesystem;
  const blockSize = geometry?.blockSize ?? fsBlockSize;
  const sizes = kind === 'xfs' && ffi !== undefined ? extentSizesOf(ffi, fd, blockSize) : { hint: 0, cowExtentSize: 0 };
  const openForWriting = isOpenForWriting(ffi, fd, { superblock: filesystem.device, inode: ino }, cache.locks);
  const { stats, map } = await readConsistently(fd, path, blockSize);
  return {
    identity: identityOf(stats),
    length: Number(stats.size),
    allocation: allocationOf(stats),
    filesystem: kind,
    fsBlockSize,
    geometry: geometry === undefined ? undefined : { ...geometry, indirect: isIndirect({ ffi, fd, kind }) },
    map: inUnits(map, fsBlockSize),
    written:
      map === undefined ? inUnits(await readWrittenRanges(fd, Number(stats.size), allocationOf(stats), blockSize), fsBlockSize) : undefined,
    extentSizeHint: sizes.hint,
    cowExtentSize: sizes.cowExtentSize,
    noCow: kind === 'btrfs' && ffi !== undefined ? noCowOf(ffi, fd) : undefined,
    openForWriting,
    protection: protectionOf(ffi, fd, filesystem),
    largestFile: cache.largestFiles.of(ffi, fd),
    domains: domainsOf(ffi, fd, stats, filesystem.type),
    permissions: Number(stats.mode % 0o10000n),
  };
}

/** Stat and map of one moment, as far as concurrent writes permit. */
async function readConsistently(fd: number, path: string, blockSize: number): Promise<{ stats: BigIntStats; map: StorageMap | undefined }> {
  let stats = statOf(fd, path);
  for (let attempt = 1; ; attempt += 1) {
    const map = await readStorageMap(fd, Number(stats.size), allocationOf(stats), blockSize);
    const after = statOf(fd, path);
    if (attempt === MAX_MAP_ATTEMPTS || (after.size === stats.size && after.blocks === stats.blocks)) return { stats: after, map };
    stats = after;
  }
}

function statOf(fd: number, path: string): BigIntStats {
  const stats = fstatSync(fd, { bigint: true });
  if (stats.size > Number.MAX_SAFE_INTEGER) {
    throw new PlimsollError('unsupported', 'FILE_TOO_LONG', {
      doing: 'examine file',
      image: path,
      field: 'length',
      found: stats.size,
      expected: 'below 2^53',
    });
  }
  return stats;
}

function allocationOf(stats: BigIntStats): number {
  return Number(stats.blocks) * BYTES_PER_STAT_BLOCK;
}

function identityOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`;
}

/** The identity, as in FileFacts, of the file at `path`. Throws: not-found, io. */
export async function identityOfFile(path: string | Buffer): Promise<string> {
  try {
    return identityOf(await statAsync(path, { bigint: true }));
  } catch (error) {
    throw asPlimsollError(error, 'look up file', displayPath(path));
  }
}

/** Closing a file opened read-only writes nothing and cannot block: a round trip through the thread pool would cost more. */
function closeQuietly(fd: number): Promise<void> {
  try {
    closeSync(fd);
  } catch {
    // A failed close of a file opened read-only loses nothing.
  }
  return Promise.resolve();
}
