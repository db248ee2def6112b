/**
 * Detects whether a QEMU has a file open for writing, by the locks that it holds while it may write.
 *
 * QEMU takes a shared lock on byte 100 + n for each permission n that it uses: write is 1, write-unchanged (block jobs that
 * copy) 2, resize 3. Source: qemu block/file-posix.c, RAW_LOCK_PERM_BASE; include/block/block-common.h, BLK_PERM_*.
 *
 * No lock found is no proof: `locking=off`, other programs, and network filesystems whose locks stay with the client.
 */
import type { Ffi } from './ffi.ts';
import { isByteRange, type LockRow, readLockRows } from './lock-rows.ts';

const FIRST_WRITING_BYTE = 101;
const LAST_WRITING_BYTE = 103;

/** The locks of one superblock's file: `MAJOR:MINOR` in decimal, as mountinfo has it. */
export interface LockedFile {
  readonly superblock: string;
  readonly inode: bigint;
}

/**
 * Whether a QEMU writing lock is held on the open file; undefined if the query failed.
 *
 * Queries the kernel about this file where there is an FFI; otherwise searches `table`. Takes no lock itself.
 */
export function isOpenForWriting(ffi: Ffi | undefined, fd: number, file: LockedFile, table: LockTable): boolean | undefined {
  if (ffi === undefined) return table.holdsWritingLock(file);
  const conflict = ffi.lockConflict(fd, FIRST_WRITING_BYTE, LAST_WRITING_BYTE - FIRST_WRITING_BYTE + 1);
  if (typeof conflict === 'number') return table.holdsWritingLock(file);
  return conflict !== undefined;
}

export function lockKeyOf({ superblock, inode }: LockedFile): string {
  return `${superblock}:${inode}`;
}

/** The content of /proc/locks when it was first read: one reading serves all files of a run. Source: proc_locks(5). */
export class LockTable {
  #writers: ReadonlySet<string> | undefined | 'unread' = 'unread';

  /** undefined without /proc/locks: the query then has no answer. */
  holdsWritingLock(file: LockedFile): boolean | undefined {
    return this.writers()?.has(lockKeyOf(file));
  }

  /** All files with such a lock, by `lockKeyOf`. */
  writers(): ReadonlySet<string> | undefined {
    if (this.#writers === 'unread') {
      const rows = readLockRows();
      this.#writers = rows === undefined ? undefined : writersIn(rows);
    }
    return this.#writers;
  }
}

/** The files, as `MAJOR:MINOR:INODE` in decimal, on which a lock covers one of QEMU's writing bytes. */
export function writersIn(rows: readonly LockRow[]): Set<string> {
  const writing = rows.filter((row) => isByteRange(row.kind) && row.start <= LAST_WRITING_BYTE && row.end >= FIRST_WRITING_BYTE);
  return new Set(writing.map((row) => `${row.superblock}:${row.inode}`));
}
