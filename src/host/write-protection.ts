/**
 * Marks that prevent every user from opening a file for writing: a read-only superblock or btrfs subvolume, the
 * immutable flag. None of them affects an existing descriptor or mapping, and a read-only mount does not count: another
 * mount may be writable.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { WriteProtection } from '#block';
import { type Ffi, loadFfi } from './ffi.ts';
import type { HostFilesystem } from './filesystem.ts';
import { isImmutable, isReadOnlySubvolume } from './ioctls.ts';
import { mountIdOf, readMounts } from './mounts.ts';

/** The mark on an open file; undefined without one, or if the query failed. */
export function protectionOf(
  ffi: Ffi | undefined,
  fd: number,
  { isReadOnly, type }: Pick<HostFilesystem, 'isReadOnly' | 'type'>,
): WriteProtection | undefined {
  if (isReadOnly) return isLocal(type) ? 'superblock' : undefined;
  if (ffi === undefined) return undefined;
  if (type === 'btrfs' && isReadOnlySubvolume(ffi, fd)) return 'subvolume';
  return isLocal(type) && isImmutable(ffi, fd) ? 'immutable' : undefined;
}

/** Elsewhere another host can write although this one cannot. */
function isLocal(type: string): boolean {
  return ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs'].includes(type);
}

/**
 * Whether the file at `path` is still `identity` (`device:inode`), is protected, and no process has it open or mapped for writing.
 *
 * The kernel answers the last by granting a read lease, for every process and for itself. False if the query failed:
 * a lease wants the owner of the file, or CAP_LEASE. Source: fcntl(2); fs/locks.c, check_conflicting_open.
 */
export async function isUnwritable(path: Buffer, identity: string): Promise<boolean> {
  const ffi = await loadFfi();
  if (ffi === undefined) return false;
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const { dev, ino } = fstatSync(fd, { bigint: true });
      return `${dev}:${ino}` === identity && isProtectedWithoutWriters(ffi, fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

/** The mark is looked up while the lease keeps writers out: from then on the mark does. */
function isProtectedWithoutWriters(ffi: Ffi, fd: number): boolean {
  const mountId = mountIdOf(fd);
  let protection: WriteProtection | undefined;
  const lease = ffi.withReadLease(fd, () => {
    const mount = readMounts().find((one) => one.mountId === mountId);
    protection = mount && protectionOf(ffi, fd, { isReadOnly: mount.superOptions.includes('ro'), type: mount.type });
  });
  return lease === 0 && protection !== undefined;
}
