/**
 * The largest file that a process may write: RLIMIT_FSIZE (setrlimit(2)). A write beyond it fails with EFBIG or ends the
 * process by SIGXFSZ, whatever the length of the file. The limits of every process in /proc are world-readable.
 *
 * Source: proc_pid_limits(5), Linux fs/read_write.c: generic_write_check_limits.
 */
import { readFileSync } from 'node:fs';
import { isGone } from './process-files.ts';

export interface FileSizeLimit {
  /** The soft limit. */
  readonly bytes: number;
  readonly pid: number;
  /** The process's own name for itself (comm): at most 15 bytes. */
  readonly process: string;
}

const ROW = /^Max file size +(\S+) /m;

/** The soft limit in bytes that the text of /proc/PID/limits gives; Infinity: unlimited; undefined: it has no such row. */
export function parseFileSizeLimit(text: string): number | undefined {
  const soft = ROW.exec(text)?.[1];
  if (soft === 'unlimited') return Number.POSITIVE_INFINITY;
  return soft !== undefined && /^\d+$/.test(soft) ? Number(soft) : undefined;
}

/** The limit of a process; undefined if it has none or has exited, 'unread' if it could not be read. */
export function fileSizeLimitOf(proc: string, pid: number | 'self'): FileSizeLimit | 'unread' | undefined {
  try {
    const bytes = parseFileSizeLimit(readFileSync(`${proc}/${pid}/limits`, 'latin1'));
    if (bytes === undefined) return 'unread';
    if (bytes === Number.POSITIVE_INFINITY) return undefined;
    return { bytes, pid: pid === 'self' ? process.pid : pid, process: nameOf(proc, pid) };
  } catch (error) {
    return isGone(error) ? undefined : 'unread';
  }
}

/** The limit of this process in bytes; undefined if it has none or it could not be read. */
export function ownFileSizeLimit(proc = '/proc'): number | undefined {
  const limit = fileSizeLimitOf(proc, 'self');
  return typeof limit === 'object' ? limit.bytes : undefined;
}

function nameOf(proc: string, pid: number | 'self'): string {
  try {
    return readFileSync(`${proc}/${pid}/comm`, 'utf8').replace(/\n$/, '');
  } catch {
    return '';
  }
}

export function lesser(one: FileSizeLimit | undefined, other: FileSizeLimit | undefined): FileSizeLimit | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return other.bytes < one.bytes ? other : one;
}
