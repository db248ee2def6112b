/** The backing file of a loop device, and the filesystem that stores it. */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { storedBytes } from '#block';
import { loadFfi } from '../ffi.ts';
import type { HostFilesystem } from '../filesystem.ts';
import { noCowOf } from '../ioctls.ts';
import { readStorageMap } from '../storage-map.ts';
import { availableIn } from './underlying-storage.ts';
import { type BackingStorage, directoryOfRemoved, type ExamineBacking } from './loop-layer.ts';

/** Maximum depth of loop devices on loop devices. */
const MAX_DEPTH = 8;
const BYTES_PER_STAT_BLOCK = 512;
/** The path may be a fifo by now. */
const READ_WITHOUT_WAITING = constants.O_RDONLY | constants.O_NONBLOCK;

/** `filesystemOf`: finds the filesystem of a path or descriptor. `depth`: loop devices above it. */
export function examineBackingWith(filesystemOf: (target: Buffer | number) => Promise<HostFilesystem>, depth: number): ExamineBacking {
  return async (path, isRemoved) => {
    if (depth >= MAX_DEPTH) return undefined;
    try {
      return isRemoved ? removedFile(await filesystemOf(directoryOfRemoved(path))) : await namedFile(path, filesystemOf);
    } catch {
      // It does not exist in this namespace, or may not be read.
      return undefined;
    }
  };
}

function removedFile(filesystem: HostFilesystem): BackingStorage {
  return { ...storageOf(filesystem, filesystem.underlying.domains), file: undefined, copiesOnWrite: filesystem.copyOnWrite === true };
}

async function namedFile(
  path: Buffer,
  filesystemOf: (target: Buffer | number) => Promise<HostFilesystem>,
): Promise<BackingStorage | undefined> {
  const fd = openSync(path, READ_WITHOUT_WAITING);
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return undefined;
    const filesystem = await filesystemOf(fd);
    const noCow = filesystem.kind === 'btrfs' ? await isNoCow(fd) : undefined;
    const allocation = stats.blocks * BYTES_PER_STAT_BLOCK;
    return {
      ...storageOf(filesystem, filesystem.underlying.domains),
      file: { length: stats.size, allocation, stored: () => storedIn(path, stats, filesystem) },
      copiesOnWrite: filesystem.copyOnWrite === true && noCow !== true,
    };
  } finally {
    closeSync(fd);
  }
}

function storageOf(
  filesystem: HostFilesystem,
  domains: readonly string[],
): Pick<BackingStorage, 'available' | 'device' | 'type' | 'caveats'> {
  const { available, size, underlying, device, type } = filesystem;
  const atMost = size === 0 ? 0 : available;
  return { available: availableIn(underlying, atMost, domains), device, type, caveats: underlying.caveats };
}

async function isNoCow(fd: number): Promise<boolean | undefined> {
  const ffi = await loadFfi();
  return ffi === undefined ? undefined : noCowOf(ffi, fd);
}

/** Bytes that an overwrite finds stored: neither holes nor blocks that other files share. */
async function storedIn(path: Buffer, before: Stats, { fsBlockSize }: HostFilesystem): Promise<number | undefined> {
  const fd = openSync(path, READ_WITHOUT_WAITING);
  try {
    const { size, blocks, ino, dev } = fstatSync(fd);
    if (ino !== before.ino || dev !== before.dev) return undefined;
    const map = await readStorageMap(fd, size, blocks * BYTES_PER_STAT_BLOCK, fsBlockSize);
    return map === undefined ? undefined : storedBytes(map.filter(({ shared, encoded }) => !shared && !encoded));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}
