/**
 * The shape of `plimsoll.who/1`: who uses an image, and what may be done with it meanwhile.
 * An unknown value is null or a finding, never "free".
 */
import type { SerializedError } from '#base';
import type { Finding, Host } from './reports.ts';

/**
 * writer: a process may write to it. reader: a process has it open, and no writer was found. free: no process has it open.
 * unknown: no user was found, and some processes could not be inspected.
 */
export type UseVerdict = 'free' | 'reader' | 'writer' | 'unknown';

/** One of QEMU's permission bytes under a shared lock. */
export interface HeldLock {
  readonly byte: number;
  /** uses: a process uses the permission. unshared: a process denies it to others. */
  readonly role: 'uses' | 'unshared';
  /** As QEMU calls it. */
  readonly permission: 'consistent-read' | 'write' | 'write-unchanged' | 'resize' | 'graph-mod';
  /** kernel: F_OFD_GETLK said so; table: /proc/locks. */
  readonly sources: readonly ('kernel' | 'table')[];
}

/** A lock that is not one of QEMU's. */
export interface ForeignLockReport {
  /** As /proc/locks calls it: POSIX, OFDLCK, FLOCK, LEASE, DELEG; unknown where only the kernel was asked. */
  readonly kind: string;
  readonly exclusive: boolean;
  readonly pid: number | null;
  readonly start: number;
  /** The last byte; null: to the end of the file. */
  readonly end: number | null;
}

export interface LockReport {
  /** F_OFD_GETLK. absent: koffi is not installed; failed: the kernel rejected it. */
  readonly kernel: 'queried' | 'failed' | 'absent';
  /** /proc/locks. */
  readonly table: 'read' | 'unreadable';
  readonly held: readonly HeldLock[];
  readonly others: readonly ForeignLockReport[];
  /** Locks on the same inode number of another device, which may be this file: `MAJOR:MINOR` and the range. */
  readonly possible: readonly { readonly device: string; readonly start: number; readonly end: number | null }[];
}

/** A process that has the image open. */
export interface ProcessUser {
  readonly pid: number;
  /** The effective user id. */
  readonly uid: number | null;
  /** The name that the process states. */
  readonly name: string;
  /** The program's file name. */
  readonly program: string | null;
  readonly access: 'read' | 'write' | 'read-write';
  /** The virtual machine that it runs, by its own command line. */
  readonly machine: { readonly name: string | null; readonly uuid: string | null } | null;
  readonly descriptors: readonly number[];
  /** QEMU's permission bytes that it holds. */
  readonly lockedBytes: readonly number[];
  /** As the process shows it, secrets left out. */
  readonly commandLine: readonly string[];
}

/** A loop device that rests on the image. */
export interface LoopUser {
  readonly device: string;
  readonly readOnly: boolean;
  readonly mountPoints: readonly string[];
  /** Block devices that rest on it. */
  readonly usedBy: readonly string[];
}

/** Who uses one image. */
export interface UseReport {
  readonly path: string;
  /** Device and inode numbers; null when the image could not be opened. */
  readonly file: string | null;
  readonly verdict: UseVerdict;
  /** safe: no process writes. torn: a writer may change it between two reads. */
  readonly reading: 'safe' | 'torn' | 'unknown';
  /** safe: no process has it open. unsafe: a process relies on its bytes. */
  readonly writing: 'safe' | 'unsafe' | 'unknown';
  /** The operations that are safe, in a sentence or two. */
  readonly advice: string;
  /** null when they were not asked about. */
  readonly processes: readonly ProcessUser[] | null;
  /** Processes that could not be looked into; null when they were not asked about. */
  readonly inaccessibleProcesses: number | null;
  /** null when they were not asked about, or could not be. */
  readonly loopDevices: readonly LoopUser[] | null;
  /** null when the image could not be opened. */
  readonly locks: LockReport | null;
  readonly findings: readonly Finding[];
  readonly error?: SerializedError;
}

export interface WhoReport {
  readonly schema: 'plimsoll.who/1';
  readonly host: Host;
  readonly images: readonly UseReport[];
}
