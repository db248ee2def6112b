/**
 * Every regular file that some process can write, from one pass over the processes: through a descriptor that is open
 * for writing, or through a shared writable mapping, which outlives its descriptor. Also the files of loop devices,
 * which the kernel itself holds open.
 *
 * A file without a name is in no directory, and its storage and growth are there all the same. Not seen: processes that this
 * one may not look into (counted), and images that the kernel serves by other means (iSCSI, vhost).
 */
import { pauseDue } from '#base';
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { fileSizeLimitOf, type FileSizeLimit, lesser } from './process-limits.ts';
import { hasEndedLeader, hiddenProcesses, isGone, isKernelThread, pidsIn, type ProcessSearch } from './process-files.ts';

/** A regular file that was removed while a process can write it. */
export interface NamelessFile {
  /** `device:inode`, as in FileFacts. */
  readonly identity: string;
  /** The path by which it can be opened while that process has it open. */
  readonly opening: string;
  /** Its former name. */
  readonly formerPath: string;
  readonly pid: number;
}

export interface OpenWriters {
  /** `device:inode` of each file. */
  readonly written: ReadonlySet<string>;
  /** One for each file. */
  readonly nameless: readonly NamelessFile[];
  /** By `device:inode`, the lowest limit of the processes that can write the file; no entry if none has a limit. */
  readonly limits: ReadonlyMap<string, FileSizeLimit | 'unread'>;
  /** Of the processes that could not be inspected. */
  readonly inaccessible: {
    /** The lowest limit of any of them; undefined if none has one. */
    readonly limit: FileSizeLimit | undefined;
    /** The limit of some could not be read either. */
    readonly hasUnread: boolean;
  };
  /** Processes that could not be inspected. */
  readonly inaccessibleCount: number;
  /** Why some processes are not listed at all. */
  readonly hidden: ProcessSearch['hidden'];
}

const DELETED = ' (deleted)';
const OWNER_WRITES = 0o200;
/** `address perms offset device inode path` of a shared mapping that can be written. Source: proc_pid_maps(5). */
const WRITABLE_MAPPING = /^([0-9a-f]+-[0-9a-f]+) .w.s \S+ \S+ [1-9]\d* +(\/.*)$/gm;

export interface OpenWritersOptions {
  /** Search mappings too: the kernel takes far longer to list them than descriptors. */
  readonly mappings?: boolean;
  /** Where processes and block devices are listed. */
  readonly proc?: string;
  readonly block?: string;
}

/** The files open for writing now. Throws: not-found, io: there is no list of the processes. */
export async function openWriters(options: OpenWritersOptions = {}): Promise<OpenWriters> {
  const { mappings = false, proc = '/proc', block = '/sys/block' } = options;
  const written = new Set<string>(loopFiles(block));
  const nameless = new Map<string, NamelessFile>();
  const limits = new Map<string, FileSizeLimit | 'unread'>();
  let inaccessibleLimit: FileSizeLimit | undefined;
  let hasUnread = false;
  let inaccessibleCount = 0;
  for (const pid of pidsIn(proc)) {
    const pause = pauseDue();
    if (pause !== undefined) await pause;
    const found = filesWrittenBy(proc, pid, mappings);
    // The first process of all starts others, and uses no disk image itself.
    if (found === 'inaccessible') {
      if (pid === 1) continue;
      inaccessibleCount += 1;
      const limit = fileSizeLimitOf(proc, pid);
      if (limit === 'unread') hasUnread = true;
      else inaccessibleLimit = lesser(inaccessibleLimit, limit);
    } else if (found.length > 0) {
      noteLimit(limits, found, fileSizeLimitOf(proc, pid));
      for (const { identity, removed } of found) {
        written.add(identity);
        if (removed !== undefined && !nameless.has(identity)) nameless.set(identity, removed);
      }
    }
  }
  const inaccessible = { limit: inaccessibleLimit, hasUnread };
  return { written, limits, inaccessible, nameless: [...nameless.values()], inaccessibleCount, hidden: hiddenProcesses(proc) };
}

/** A known limit counts, even beside one that could not be read. */
function noteLimit(
  limits: Map<string, FileSizeLimit | 'unread'>,
  found: readonly WrittenFile[],
  limit: FileSizeLimit | 'unread' | undefined,
): void {
  if (limit === undefined) return;
  for (const { identity } of found) {
    const before = limits.get(identity);
    if (limit === 'unread') limits.set(identity, before ?? 'unread');
    else limits.set(identity, lesser(before === 'unread' ? undefined : before, limit) ?? limit);
  }
}

interface WrittenFile {
  readonly identity: string;
  readonly removed: NamelessFile | undefined;
}

function filesWrittenBy(proc: string, pid: number, mappings: boolean): WrittenFile[] | 'inaccessible' {
  try {
    const { base, names } = descriptorsOf(proc, pid);
    const open = names.flatMap((name) => writtenThrough(base, name, pid) ?? []);
    return mappings ? [...open, ...mappedBy(base, pid)] : open;
  } catch (error) {
    if (isGone(error)) return [];
    return isKernelThread(proc, pid) ? [] : 'inaccessible';
  }
}

/** A process whose first thread has ended shows its descriptors through its other threads only. */
function descriptorsOf(proc: string, pid: number): { readonly base: string; readonly names: readonly string[] } {
  const own = `${proc}/${pid}`;
  const names = readdirSync(`${own}/fd`);
  if (names.length > 0 || !hasEndedLeader(proc, pid)) return { base: own, names };
  const running = readdirSync(`${own}/task`).find((thread) => thread !== String(pid));
  const base = `${own}/task/${running ?? pid}`;
  return { base, names: readdirSync(`${base}/fd`) };
}

function writtenThrough(base: string, name: string, pid: number): WrittenFile | undefined {
  const opening = `${base}/fd/${name}`;
  try {
    const target = readlinkSync(opening, 'utf8');
    if (!target.startsWith('/') && !target.startsWith('(unreachable)')) return undefined;
    // The mode of the link gives the open mode; reading fdinfo takes the kernel thirty times as long.
    if (Math.floor(lstatSync(opening).mode / OWNER_WRITES) % 2 === 0) return undefined;
    return writtenFile(statSync(opening, { bigint: true }), opening, target, pid);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function mappedBy(base: string, pid: number): WrittenFile[] {
  return [...mapsOf(base).matchAll(WRITABLE_MAPPING)].flatMap(([, address, path]) => {
    const opening = `${base}/map_files/${address}`;
    const stats = statOrUndefined(opening) ?? statOrUndefined(path as string);
    return stats === undefined ? [] : (writtenFile(stats, opening, path as string, pid) ?? []);
  });
}

/** Empty where its descriptors are visible and its mappings are not. */
function mapsOf(base: string): string {
  try {
    return readFileSync(`${base}/maps`, 'utf8');
  } catch {
    return '';
  }
}

function writtenFile(stats: BigIntStats, opening: string, target: string, pid: number): WrittenFile | undefined {
  if (!stats.isFile()) return undefined;
  const identity = `${stats.dev}:${stats.ino}`;
  if (stats.nlink > 0n) return { identity, removed: undefined };
  const formerPath = target.endsWith(DELETED) ? target.slice(0, -DELETED.length) : target;
  return { identity, removed: { identity, opening, formerPath, pid } };
}

function statOrUndefined(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    // Unmapped meanwhile, or no permission to follow it.
    return undefined;
  }
}

/** The files below writable loop devices, as far as their paths resolve. */
function loopFiles(block: string): string[] {
  let names: string[];
  try {
    names = readdirSync(block).filter((name) => /^loop\d+$/.test(name));
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      if (readFileSync(`${block}/${name}/ro`, 'latin1').trim() === '1') return [];
      const path = readFileSync(`${block}/${name}/loop/backing_file`, 'utf8').replace(/\n$/, '');
      const stats = statOrUndefined(path);
      return stats === undefined ? [] : [`${stats.dev}:${stats.ino}`];
    } catch {
      // No backing file.
      return [];
    }
  });
}
