/**
 * Parses the rows of /proc/locks and the `lock:` lines of /proc/PID/fdinfo/FD, which have the same format.
 *
 * Source: proc_locks(5), proc_pid_fdinfo(5); fs/locks.c, lock_get_status. The kernel hands the list out a page at a time and
 * lets it change in between, so on a busy host a row can be missed: F_OFD_GETLK, where there is an FFI, cannot.
 */
import { readFileSync } from 'node:fs';

/** POSIX: of a process. OFDLCK: of an open file description; QEMU's are. FLOCK: flock(2). LEASE, DELEG: of file servers. */
export type LockKind = 'POSIX' | 'OFDLCK' | 'FLOCK' | 'LEASE' | 'DELEG';

/** A lock that is held; waiters are left out. */
export interface LockRow {
  readonly kind: LockKind;
  readonly exclusive: boolean;
  /** undefined where the lock belongs to no single process. */
  readonly pid: number | undefined;
  /** `MAJOR:MINOR` of the superblock, in decimal as mountinfo has it. */
  readonly superblock: string;
  readonly inode: string;
  readonly start: number;
  /** The last byte; Infinity: to the end of the file, however long it becomes. */
  readonly end: number;
}

// "->" marks waiters; they hold no lock and do not match.
const ROW = /^\d+: (POSIX|OFDLCK|FLOCK|LEASE|DELEG)\s+\S+\s+(READ|WRITE|UNLCK)\s+(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)$/;

export function parseLockRows(text: string): LockRow[] {
  return text.split('\n').flatMap((line) => parseLockRow(line) ?? []);
}

export function parseLockRow(line: string): LockRow | undefined {
  const match = ROW.exec(line);
  if (match === null) return undefined;
  const [, kind = '', mode, pid, major = '', minor = '', inode = '', start, end] = match;
  return {
    kind: kind as LockKind,
    exclusive: mode === 'WRITE',
    pid: Number(pid) > 0 ? Number(pid) : undefined,
    superblock: `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`,
    inode,
    start: Number(start),
    end: end === 'EOF' ? Number.POSITIVE_INFINITY : Number(end),
  };
}

/** Whether such locks are on ranges of bytes, as QEMU's are. */
export function isByteRange(kind: LockKind): boolean {
  return kind === 'POSIX' || kind === 'OFDLCK';
}

/** All locks now; undefined where there is no /proc/locks: some containers hide it. */
export function readLockRows(): LockRow[] | undefined {
  try {
    return parseLockRows(readFileSync('/proc/locks', 'latin1'));
  } catch {
    return undefined;
  }
}
