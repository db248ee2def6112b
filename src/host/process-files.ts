/**
 * The processes that have a file open, from their descriptors in /proc. Processes of other users that cannot be
 * inspected are counted, never silently skipped. Source: proc_pid_fd(5), proc_pid_fdinfo(5), proc_pid_stat(5).
 *
 * A descriptor's file is queried only if the inode number in fdinfo, which costs no I/O, is the one searched
 * for: a query must not wait for the server of a dead network filesystem on which another process has a file open.
 *
 * Not seen: mappings whose descriptor was closed, descriptors of a thread that shares no table with its process or that
 * are on their way through a socket, swap files, and what the kernel itself opens (loop devices are asked about elsewhere).
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { asPlimsollError, pauseDue, yieldToEventLoop } from '#base';
import { isByteRange, parseLockRow } from './lock-rows.ts';
import { isSystemEmulator, type Machine, machineOf, withoutSecrets } from './machine-name.ts';

export type Access = 'read' | 'write' | 'read-write';

/** A byte range on which a process holds a shared lock through a descriptor. */
export interface HeldRange {
  readonly start: number;
  readonly end: number;
}

/** A process that has the file open. */
export interface HoldingProcess {
  readonly pid: number;
  /** The effective user; undefined when the process is gone again. */
  readonly uid: number | undefined;
  /** The process's own name for itself (comm): at most 15 bytes. */
  readonly name: string;
  /** The program's file name; undefined if unknown. */
  readonly program: string | undefined;
  /** The words of its command line, as the process shows them, secrets left out; at most 64 KiB. */
  readonly commandLine: readonly string[];
  /** The virtual machine, if it is a QEMU that runs one. */
  readonly machine: Machine | undefined;
  readonly access: Access;
  readonly descriptors: readonly number[];
  /** Byte-range locks that it holds through these descriptors. */
  readonly lockedRanges: readonly HeldRange[];
}

/** The processes found, and the number of those that could not be inspected. */
export interface ProcessSearch {
  readonly processes: readonly HoldingProcess[];
  /** Processes whose descriptors are not accessible. */
  readonly inaccessibleCount: number;
  /** Why some processes are not listed at all. */
  readonly hidden: 'pid-namespace' | 'hidepid' | undefined;
}

/** A file to search for: device and inode from stat, of the open descriptor `fd` of this process. */
export interface TargetFile {
  readonly fd: number;
  readonly dev: bigint;
  readonly ino: bigint;
}

const O_ACCMODE_WRONLY = 1;
const O_ACCMODE_RDWR = 2;
const O_PATH = 0x200000;
const PF_KTHREAD = 0x200000;
/** include/linux/proc_ns.h, PROC_PID_INIT_INO: the PID namespace that holds all others. */
const INITIAL_PID_NAMESPACE = 'pid:[4026531836]';
const SHOWN_COMMAND_BYTES = 65_536;
/** A command line of QEMU has some 10 KiB, more with many disks; the kernel allows a quarter of the stack limit. */
const READ_COMMAND_BYTES = 524_288;
/** Two queries within this time (ms) share one pass over all processes. */
const SNAPSHOT_AGE_MS = 500;
const PROCESSES_BETWEEN_PAUSES = 64;

/** Descriptors that this process opened only for queries: not counted as users of the file. */
const ownProbeFds = new Set<number>();

/** Runs `ask` with `fd` not counted as a user of its file. */
export async function excludingFd<T>(fd: number, ask: () => Promise<T>): Promise<T> {
  ownProbeFds.add(fd);
  try {
    return await ask();
  } finally {
    ownProbeFds.delete(fd);
  }
}

interface Descriptor {
  readonly pid: number;
  readonly fd: number;
}

interface Snapshot {
  /** By inode number as in fdinfo; '' where the kernel (before 5.14) does not report it. */
  readonly byInode: ReadonlyMap<string, readonly Descriptor[]>;
  readonly inaccessibleCount: number;
}

/** All descriptors of all processes, for the queries of one run. */
export class ProcessFiles {
  readonly #proc: string;
  #snapshot: Promise<Snapshot> | undefined;
  #takenAt = Number.NEGATIVE_INFINITY;

  /** `proc`: where the proc filesystem is mounted; tests supply their own. */
  constructor(proc = '/proc') {
    this.#proc = proc;
  }

  /** The processes that have `file` open, ascending by pid. Throws: the signal's reason; unsupported, NO_PROC. */
  async search(file: TargetFile, signal?: AbortSignal): Promise<ProcessSearch> {
    const snapshot = await this.#recentSnapshot(signal);
    const inode = infoOf(this.#proc, 'self', file.fd)?.inode ?? file.ino.toString();
    const candidates = [...(snapshot.byInode.get(inode) ?? []), ...(snapshot.byInode.get('') ?? [])];
    const { byPid, inaccessible } = this.#openings(candidates, file);
    return {
      processes: [...byPid].sort(([a], [b]) => a - b).map(([pid, descriptors]) => describeProcess(this.#proc, pid, descriptors)),
      inaccessibleCount: snapshot.inaccessibleCount + inaccessible.size,
      hidden: hiddenProcesses(this.#proc),
    };
  }

  #recentSnapshot(signal: AbortSignal | undefined): Promise<Snapshot> {
    const now = performance.now();
    if (this.#snapshot !== undefined && now - this.#takenAt <= SNAPSHOT_AGE_MS) return this.#snapshot;
    const taking = takeSnapshot(this.#proc, signal);
    this.#takenAt = now;
    this.#snapshot = taking;
    taking.catch(() => {
      this.#snapshot = undefined;
    });
    return taking;
  }

  #openings(candidates: readonly Descriptor[], file: TargetFile): { byPid: Map<number, OpenDescriptor[]>; inaccessible: Set<number> } {
    const self = ownPid(this.#proc);
    const byPid = new Map<number, OpenDescriptor[]>();
    const inaccessible = new Set<number>();
    for (const { pid, fd } of candidates) {
      if (pid === self && ownProbeFds.has(fd)) continue;
      try {
        const { dev, ino } = statSync(`${this.#proc}/${pid}/fd/${fd}`, { bigint: true });
        const info = dev === file.dev && ino === file.ino ? infoOf(this.#proc, pid, fd) : undefined;
        if (info === undefined || info.isPathOnly) continue;
        byPid.set(pid, [...(byPid.get(pid) ?? []), { fd, ...info }]);
      } catch (error) {
        // Closed meanwhile: no user of the file has it open through that descriptor. Any other error leaves the result open.
        if (!isGone(error)) inaccessible.add(pid);
      }
    }
    return { byPid, inaccessible };
  }
}

/** A VM, and those of the queried files that it has open, by `dev:ino`. */
export interface MachineFiles {
  readonly pid: number;
  readonly machine: Machine;
  readonly files: ReadonlySet<string>;
}

/**
 * The machines that have files open whose inode numbers `isSought` knows, in one pass over the processes: only of a QEMU
 * are the descriptors looked at. What we may not look into is not seen.
 *
 * Throws: io, unsupported: there is no /proc.
 */
export async function machinesWith(isSought: (inode: string) => boolean, proc = '/proc'): Promise<MachineFiles[]> {
  const found: MachineFiles[] = [];
  for (const pid of pidsIn(proc)) {
    const pause = pauseDue();
    if (pause !== undefined) await pause;
    if (!isSystemEmulator(programOf(proc, pid, []) ?? '')) continue;
    const words = commandLineOf(proc, pid);
    const machine = machineOf(programOf(proc, pid, words) ?? '', words);
    const seen = filesOf(proc, pid);
    if (machine === undefined || seen === 'inaccessible') continue;
    const files = seen.flatMap(({ fd, inode }) => (isSought(inode) ? (identityBehind(proc, pid, fd) ?? []) : []));
    if (files.length > 0) found.push({ pid, machine, files: new Set(files) });
  }
  return found;
}

function identityBehind(proc: string, pid: number, fd: number): string | undefined {
  try {
    const { dev, ino } = statSync(`${proc}/${pid}/fd/${fd}`, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    // Closed meanwhile.
    return undefined;
  }
}

async function takeSnapshot(proc: string, signal: AbortSignal | undefined): Promise<Snapshot> {
  const byInode = new Map<string, Descriptor[]>();
  let inaccessibleCount = 0;
  for (const [index, pid] of pidsIn(proc).entries()) {
    if (index % PROCESSES_BETWEEN_PAUSES === 0) {
      signal?.throwIfAborted();
      await yieldToEventLoop();
    }
    const seen = filesOf(proc, pid);
    if (seen === 'inaccessible') inaccessibleCount += 1;
    else {
      for (const { fd, inode } of seen) {
        const list = byInode.get(inode) ?? [];
        if (list.length === 0) byInode.set(inode, list);
        list.push({ pid, fd });
      }
    }
  }
  return { byInode, inaccessibleCount };
}

export function pidsIn(proc: string): number[] {
  try {
    return readdirSync(proc)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch (error) {
    throw asPlimsollError(error, 'inspect the processes');
  }
}

/** The descriptors of a process that refer to files; 'inaccessible' without permission to list them. */
function filesOf(proc: string, pid: number): { fd: number; inode: string }[] | 'inaccessible' {
  try {
    const names = readdirSync(`${proc}/${pid}/fd`);
    // A process whose first thread has ended shows no descriptors, though its other threads keep running.
    if (names.length === 0 && hasEndedLeader(proc, pid)) return 'inaccessible';
    return names.flatMap((name) => {
      if (!leadsToFile(`${proc}/${pid}/fd/${name}`)) return [];
      const info = infoOf(proc, pid, Number(name));
      return info === undefined || info.isPathOnly ? [] : [{ fd: Number(name), inode: info.inode }];
    });
  } catch (error) {
    // Exited: it has nothing open. Any other error means that it is inaccessible.
    if (isGone(error)) return [];
    return isKernelThread(proc, pid) ? [] : 'inaccessible';
  }
}

/** Sockets, pipes and the like have no path; paths outside our root begin with "(unreachable)". */
function leadsToFile(link: string): boolean {
  try {
    const target = readlinkSync(link, 'latin1');
    return target.startsWith('/') || target.startsWith('(unreachable)');
  } catch (error) {
    if (isGone(error)) return false;
    // Too long for a path, but a path.
    if ((error as NodeJS.ErrnoException).code === 'ENAMETOOLONG') return true;
    throw error;
  }
}

interface DescriptorInfo {
  /** '' where the kernel does not report it. */
  readonly inode: string;
  readonly access: Access;
  /** Opened with O_PATH: it permits neither reading nor writing. */
  readonly isPathOnly: boolean;
  readonly ranges: readonly HeldRange[];
}

interface OpenDescriptor extends DescriptorInfo {
  readonly fd: number;
}

/** undefined when it is closed. Throws when it is inaccessible. */
function infoOf(proc: string, pid: number | 'self', fd: number): DescriptorInfo | undefined {
  try {
    return parseDescriptorInfo(readFileSync(`${proc}/${pid}/fdinfo/${fd}`, 'latin1'));
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** The fields of a /proc/PID/fdinfo file. */
export function parseDescriptorInfo(text: string): DescriptorInfo {
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(text)?.[1] ?? '0', 8);
  const rows = text.split('\n').flatMap((line) => (line.startsWith('lock:') ? (parseLockRow(line.slice(5).trim()) ?? []) : []));
  const mode = flags % 4;
  return {
    inode: /^ino:\s*(\d+)$/m.exec(text)?.[1] ?? '',
    access: mode === O_ACCMODE_WRONLY ? 'write' : mode === O_ACCMODE_RDWR ? 'read-write' : 'read',
    isPathOnly: Math.floor(flags / O_PATH) % 2 === 1,
    ranges: rows.filter(({ kind }) => isByteRange(kind)).map(({ start, end }) => ({ start, end })),
  };
}

function describeProcess(proc: string, pid: number, descriptors: readonly OpenDescriptor[]): HoldingProcess {
  const words = commandLineOf(proc, pid);
  const program = programOf(proc, pid, words);
  const ranges = descriptors.flatMap((one) => one.ranges);
  return {
    pid,
    uid: effectiveUid(textOf(`${proc}/${pid}/status`)),
    name: textOf(`${proc}/${pid}/comm`).replace(/\n$/, ''),
    program,
    commandLine: shownWords(words),
    machine: program === undefined ? undefined : machineOf(program, words),
    access: strongest(descriptors.map((one) => one.access)),
    descriptors: descriptors.map((one) => one.fd).sort((a, b) => a - b),
    lockedRanges: [...new Map(ranges.map((range) => [`${range.start}-${range.end}`, range])).values()].sort((a, b) => a.start - b.start),
  };
}

function strongest(accesses: readonly Access[]): Access {
  const reads = accesses.some((access) => access !== 'write');
  const writes = accesses.some((access) => access !== 'read');
  return writes ? (reads ? 'read-write' : 'write') : 'read';
}

/** The executable of the process; after an upgrade replaced it, the name ends in " (deleted)". */
function programOf(proc: string, pid: number, words: readonly string[]): string | undefined {
  try {
    return basename(readlinkSync(`${proc}/${pid}/exe`)).replace(/ \(deleted\)$/, '');
  } catch {
    return words[0] === undefined ? undefined : basename(words[0]);
  }
}

function commandLineOf(proc: string, pid: number): string[] {
  const bytes = beginningOf(`${proc}/${pid}/cmdline`, READ_COMMAND_BYTES);
  const words = bytes.toString('utf8').split('\0');
  // Each word ends with NUL; what a process wrote over its command line may not.
  if (words.at(-1) === '') words.pop();
  return words;
}

function shownWords(words: readonly string[]): string[] {
  const shown: string[] = [];
  let room = SHOWN_COMMAND_BYTES;
  for (const word of words.map(withoutSecrets)) {
    if (word.length > room) return [...shown, '…'];
    shown.push(word);
    room -= word.length + 1;
  }
  return shown;
}

function beginningOf(path: string, byteLength: number): Buffer {
  const buffer = Buffer.alloc(byteLength);
  let filled = 0;
  try {
    const fd = openSync(path, 'r');
    try {
      for (let got = -1; got !== 0 && filled < byteLength; filled += got) got = readSync(fd, buffer, filled, byteLength - filled, null);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Exited or hidden: use the part that was read.
  }
  return buffer.subarray(0, filled);
}

function textOf(path: string): string {
  return beginningOf(path, 4096).toString('utf8');
}

function effectiveUid(status: string): number | undefined {
  const match = /^Uid:\s*\d+\s+(\d+)/m.exec(status);
  return match === null ? undefined : Number(match[1]);
}

/** A kernel thread has no open files, but only root can verify that. */
export function isKernelThread(proc: string, pid: number): boolean {
  const flags = Number(statFields(proc, pid)[6] ?? 0);
  return Math.floor(flags / PF_KTHREAD) % 2 === 1;
}

export function hasEndedLeader(proc: string, pid: number): boolean {
  const fields = statFields(proc, pid);
  return fields[0] === 'Z' && Number(fields[17]) > 1;
}

/** The fields of /proc/PID/stat from the third on, the state; the second is a name that may hold anything. */
function statFields(proc: string, pid: number): string[] {
  const text = textOf(`${proc}/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

export function hiddenProcesses(proc: string): ProcessSearch['hidden'] {
  // hidepid=invisible shows only our own processes, so not even PID 1.
  if (!existsSync(`${proc}/1`)) return 'hidepid';
  try {
    return readlinkSync(`${proc}/self/ns/pid`) === INITIAL_PID_NAMESPACE ? undefined : 'pid-namespace';
  } catch {
    return 'pid-namespace';
  }
}

function ownPid(proc: string): number {
  try {
    // By the numbering of this /proc, which may differ from that of our own PID namespace.
    return Number(readlinkSync(`${proc}/self`));
  } catch {
    return process.pid;
  }
}

export function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR';
}
