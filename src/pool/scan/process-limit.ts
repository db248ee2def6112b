/** Images whose writing process has an RLIMIT_FSIZE below the length that the guest can give them. */
import { formatBytes, quoteForHumans } from '#base';
import type { FileSizeLimit, OpenWriters } from '#host';
import type { Finding, ImageReport } from '#wire';

/** What limits the writer of an image. */
export interface WriterLimit {
  /** The least of the processes that write it, or that may be the one; undefined: none of them has a limit. */
  readonly limit: FileSizeLimit | undefined;
  /** seen: that process has the image open. inaccessible: a process whose files could not be inspected has it open for writing. */
  readonly writer: 'seen' | 'inaccessible';
  /** Limits of processes that may write it could not be read. */
  readonly isUnread: boolean;
}

/** undefined: no process is known to have the file open for writing. `isLocked`: QEMU's lock shows that one has. */
export function writerLimitOf(writers: OpenWriters | undefined, identity: string | undefined, isLocked: boolean): WriterLimit | undefined {
  if (identity === undefined) return undefined;
  if (writers === undefined) return isLocked ? { limit: undefined, writer: 'inaccessible', isUnread: true } : undefined;
  if (writers.written.has(identity)) {
    const limit = writers.limits.get(identity);
    return limit === 'unread' ? { limit: undefined, writer: 'seen', isUnread: true } : { limit, writer: 'seen', isUnread: false };
  }
  if (!isLocked) return undefined;
  return {
    limit: writers.inaccessible.limit,
    writer: 'inaccessible',
    isUnread: writers.inaccessible.hasUnread || writers.hidden !== undefined,
  };
}

/** Findings on an image: writes that the limit ends for certain, or perhaps. */
export function writerLimitFindings(
  found: WriterLimit | undefined,
  report: Pick<ImageReport, 'maxLength' | 'expected' | 'capacity' | 'chain'>,
): Finding[] {
  if (found === undefined) return [];
  const { limit, writer, isUnread } = found;
  const { maxLength } = report;
  if (limit !== undefined && maxLength !== null && maxLength > limit.bytes) {
    const who = `process ${limit.pid} (${quoteForHumans(limit.process, 20)})`;
    const figures = `the guest can make the file ${formatBytes(maxLength)} long, and the process may write files of ${formatBytes(limit.bytes)} at most (RLIMIT_FSIZE)`;
    if (writer === 'inaccessible') {
      const message = `Writes may fail: the image is open for writing in a process that could not be inspected, and ${who} may be that process: ${figures}.`;
      return [{ level: 'warning', code: 'MAY_EXCEED_PROCESS_LIMIT', message }];
    }
    if (reachedLength(report) > limit.bytes) {
      const message = `Writes will fail: ${who} has the image open for writing; ${figures}.`;
      return [{ level: 'critical', code: 'EXCEEDS_PROCESS_LIMIT', message }];
    }
    return [
      {
        level: 'warning',
        code: 'MAY_EXCEED_PROCESS_LIMIT',
        message: `Writes may fail: ${who} has the image open for writing; ${figures}.`,
      },
    ];
  }
  if (!isUnread) return [];
  const message = 'The image is open for writing in a process whose limit of file sizes (RLIMIT_FSIZE) could not be read: it may have one.';
  return [{ level: 'warning', code: 'PROCESS_LIMIT_UNREAD', message }];
}

/** What the file is as long as at the least when every byte of the disk is written: nothing is known of it with a data file. */
function reachedLength({ expected, capacity, chain }: Pick<ImageReport, 'expected' | 'capacity' | 'chain'>): number {
  return expected ?? (chain.some(({ role }) => role === 'data') ? 0 : (capacity ?? 0));
}
