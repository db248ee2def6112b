/**
 * Detects whether a process can change a file unnoticed: it has the file open or mapped for writing. A mapping can
 * change pages that are already dirty without updating the modification time.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { ERRNO, type Ffi } from './ffi.ts';

/** A mapping's line: permissions, device as major:minor in hexadecimal, inode. Source: proc_pid_maps(5). */
const MAPPING = /^[0-9a-f]+-[0-9a-f]+ .w.s [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) ([0-9]+)/gm;

/**
 * Whether some process has the file open or mapped for writing; undefined where it could not be found out.
 *
 * Asks the kernel for a read lease, which it grants only without writers, and gives it back at once. The owner of the file and
 * root can ask, on local filesystems; for others the mappings are read of the processes that can be seen.
 */
export function hasWriters(
  ffi: Ffi | undefined,
  fd: number,
  file: { readonly device: number; readonly inode: number },
): boolean | undefined {
  const lease = ffi?.withReadLease(fd, () => {});
  if (lease === 0 || lease === -ERRNO.EAGAIN) return lease !== 0;
  return isMappedForWriting(file) ? true : undefined;
}

/** Whether a process that can be seen has a shared, writable mapping of the file. `proc`: for tests. */
export function isMappedForWriting({ device, inode }: { readonly device: number; readonly inode: number }, proc = '/proc'): boolean {
  const wanted = `${major(device)}:${minor(device)}:${inode}`;
  for (const pid of readdirSync(proc)) {
    if (!/^[0-9]+$/.test(pid)) continue;
    for (const [, high = '', low = '', number = ''] of mapsOf(`${proc}/${pid}/maps`).matchAll(MAPPING))
      if (`${Number.parseInt(high, 16)}:${Number.parseInt(low, 16)}:${number}` === wanted) return true;
  }
  return false;
}

/** Empty for a process that is gone or is another user's. */
function mapsOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Source: glibc, gnu_dev_major and gnu_dev_minor; st_dev is below 2^32 on Linux. */
function major(device: number): number {
  return Math.floor(device / 256) % 4096;
}

function minor(device: number): number {
  return (device % 256) + Math.floor(device / 2 ** 20) * 256;
}
