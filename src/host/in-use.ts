/**
 * The users of a file: QEMU's locks on its permission bytes, the processes that have it open, and the loop devices on
 * it. Facts only; the caller judges them.
 *
 * QEMU holds a shared lock on byte 100 + n for each permission n that it uses, and on byte 200 + n for each that it lets
 * other processes. Source: qemu block/file-posix.c, RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE; BLK_PERM_*.
 */
import { fstatSync, readlinkSync } from 'node:fs';
import { closeDescriptor, displayPath, openRegular } from './descriptor.ts';
import { type Ffi, type LockConflict, loadFfi } from './ffi.ts';
import { isByteRange, type LockKind, type LockRow, readLockRows } from './lock-rows.ts';
import { type LoopSearch, loopDevicesOn } from './loop-devices.ts';
import { majorMinor, type Mount, mountIdOf, mountOf, readMounts } from './mounts.ts';
import { type ProcessFiles, type ProcessSearch, excludingFd } from './process-files.ts';

/** First byte of the permissions in use, first byte of those not shared, and the number of permissions (4 since QEMU 7.0). */
export const USES_BASE = 100;
export const UNSHARED_BASE = 200;
export const PERMISSION_COUNT = 5;
const LAST_BYTE = UNSHARED_BASE + PERMISSION_COUNT - 1;

/** The byte that libvirt's lock daemon locks in the images themselves. Source: libvirt src/locking/lock_daemon.c, offset 0. */
export const LIBVIRT_BYTE = 0;

/** The source of the information. kernel: F_OFD_GETLK on this very file; table: /proc/locks. */
export type LockSource = 'kernel' | 'table';

/** A permission byte under a shared lock, as QEMU takes it. */
export interface HeldByte {
  readonly byte: number;
  readonly sources: readonly LockSource[];
}

/** A lock that is not QEMU's. */
export interface ForeignLock {
  readonly kind: LockKind | 'unknown';
  readonly exclusive: boolean;
  readonly pid: number | undefined;
  readonly start: number;
  /** Infinity: to the end of the file. */
  readonly end: number;
  readonly sources: readonly LockSource[];
}

export interface LockSearch {
  /** failed: the filesystem could not be queried; absent: there is no FFI. */
  readonly kernel: 'queried' | 'failed' | 'absent';
  readonly table: 'read' | 'unreadable';
  /** Ascending. */
  readonly held: readonly HeldByte[];
  readonly foreign: readonly ForeignLock[];
  /** Locks on the same inode number of a filesystem that may show this very file under another device number. */
  readonly possible: readonly LockRow[];
}

/** The known users of a file. */
export interface FileUse {
  readonly path: string;
  /** `device:inode`, as in FileFacts. */
  readonly identity: string;
  /** The filesystem's type as the kernel spells it; undefined where its mount was not found. */
  readonly filesystemType: string | undefined;
  readonly locks: LockSearch;
  /** undefined when they were not queried. */
  readonly processes: ProcessSearch | undefined;
  /** undefined when they were not queried; 'unreadable' without sysfs. */
  readonly loops: LoopSearch | 'unreadable' | undefined;
}

export interface FileUseOptions {
  /** Query processes and loop devices too, not only locks. */
  readonly processes?: ProcessFiles | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Who uses the regular file `path`. It is opened for reading meanwhile, and no lock is taken.
 *
 * Throws: as `openRegular` (refused, not-found, busy, io); the signal's reason.
 */
export async function fileUseOf(path: string | Buffer, { processes, signal }: FileUseOptions = {}): Promise<FileUse> {
  const { fd } = await openRegular(path);
  try {
    return await excludingFd(fd, () => useOfDescriptor(displayPath(path), fd, processes, signal));
  } finally {
    closeDescriptor(fd);
  }
}

async function useOfDescriptor(
  path: string,
  fd: number,
  processFiles: ProcessFiles | undefined,
  signal: AbortSignal | undefined,
): Promise<FileUse> {
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const ffi = await loadFfi();
  const mounts = readMounts();
  const mount = mountOf(mounts, {
    mountId: mountIdOf(fd),
    realPath: readlinkSync(`/proc/self/fd/${fd}`),
    device: majorMinor(dev),
  });
  const locks = combineLocks(askKernel(ffi, fd), readLockRows(), { mount, device: majorMinor(dev), inode: ino.toString(), mounts });
  const known = { path, identity: `${dev}:${ino}`, filesystemType: mount?.type, locks };
  if (processFiles === undefined) return { ...known, processes: undefined, loops: undefined };
  return {
    ...known,
    processes: await processFiles.search({ fd, dev, ino }, signal),
    loops: (await loopDevicesOn({ dev, ino }, '/sys/block', mounts)) ?? 'unreadable',
  };
}

/** Conflicts with an exclusive lock on any of the bytes; each is found once. */
function askKernel(ffi: Ffi | undefined, fd: number): readonly LockConflict[] | 'failed' | 'absent' {
  if (ffi === undefined) return 'absent';
  const found: LockConflict[] = [];
  for (const byte of ASKED_BYTES) {
    const conflict = ffi.lockConflict(fd, byte, 1);
    if (typeof conflict === 'number') return 'failed';
    if (conflict !== undefined) found.push(conflict);
  }
  return found;
}

const permissionNumbers = Array.from({ length: PERMISSION_COUNT }, (_, index) => index);
const PERMISSION_BYTES: readonly number[] = [
  ...permissionNumbers.map((n) => USES_BASE + n),
  ...permissionNumbers.map((n) => UNSHARED_BASE + n),
];
/** The byte after QEMU's last one stands for all others: a lock on the whole file covers it too. */
const ASKED_BYTES: readonly number[] = [LIBVIRT_BYTE, ...PERMISSION_BYTES, LAST_BYTE + 1];

interface LockedPlace {
  readonly mount: Mount | undefined;
  /** Of st_dev; of the mount if that has no device number of its own. */
  readonly device: string;
  readonly inode: string;
  readonly mounts: readonly Mount[];
}

/** Both sources together, each lock once. */
export function combineLocks(
  kernel: readonly LockConflict[] | 'failed' | 'absent',
  table: readonly LockRow[] | undefined,
  place: LockedPlace,
): LockSearch {
  const superblock = place.mount?.device ?? place.device;
  const sameInode = (table ?? []).filter((row) => row.inode === place.inode);
  const exact = sameInode.filter((row) => row.superblock === superblock);
  const told = [
    ...exact.map(({ kind, exclusive, pid, start, end }) => ({ kind, exclusive, pid, start, end, source: 'table' as const })),
    ...(typeof kernel === 'string' ? [] : kernel.map((conflict) => ({ ...rowOf(conflict), source: 'kernel' as const }))),
  ];
  return {
    kernel: typeof kernel === 'string' ? kernel : 'queried',
    table: table === undefined ? 'unreadable' : 'read',
    held: heldBytes(told.filter(isQemus)),
    foreign: foreignLocks(told.filter((lock) => !isQemus(lock))),
    possible: sameInode.filter((row) => row.superblock !== superblock && mayBeSameFile(row, place)),
  };
}

type ToldLock = Omit<ForeignLock, 'sources'> & { readonly source: LockSource };

function rowOf({ start, byteLength, exclusive, pid }: LockConflict): Omit<ForeignLock, 'sources'> {
  const end = byteLength === 0 ? Number.POSITIVE_INFINITY : start + byteLength - 1;
  // The owner of a lock reveals its kind: the lock of a process is POSIX. For two without an owner the table decides.
  return { kind: pid === undefined ? 'unknown' : 'POSIX', exclusive, pid, start, end };
}

/**
 * QEMU takes shared locks within its two groups of bytes, and nothing else; POSIX locks on request, where OFD locks are missing.
 */
function isQemus({ exclusive, start, end }: ToldLock): boolean {
  if (exclusive) return false;
  return [USES_BASE, UNSHARED_BASE].some((base) => start >= base && end < base + PERMISSION_COUNT);
}

function heldBytes(locks: readonly ToldLock[]): HeldByte[] {
  return PERMISSION_BYTES.flatMap((byte) => {
    const sources = new Set(locks.filter((lock) => lock.start <= byte && byte <= lock.end).map((lock) => lock.source));
    return sources.size === 0 ? [] : [{ byte, sources: [...sources].sort() }];
  });
}

/** Ascending. The same range from both sources is one lock; the table has its kind. */
function foreignLocks(locks: readonly ToldLock[]): ForeignLock[] {
  const byKey = new Map<string, ForeignLock>();
  for (const { source, ...lock } of locks) {
    const ranged = lock.kind === 'unknown' || isByteRange(lock.kind);
    const key = `${ranged ? 'range' : lock.kind} ${lock.exclusive} ${lock.pid} ${lock.start} ${lock.end}`;
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, { ...lock, sources: [source] });
    else byKey.set(key, { ...known, sources: [...new Set([...known.sources, source])].sort() });
  }
  return [...byKey.values()].sort((a, b) => a.start - b.start || a.end - b.end);
}

/**
 * Whether a lock on the same inode number under another device may be on this file: an overlay shows the files of others, as
 * do filesystems that this mount namespace does not. Two filesystems that are both known and stacked on nothing share no file.
 */
function mayBeSameFile(row: LockRow, { mount, mounts }: LockedPlace): boolean {
  const other = mounts.find((one) => one.device === row.superblock);
  return mount === undefined || other === undefined || isStacked(mount.type) || isStacked(other.type);
}

function isStacked(type: string): boolean {
  return ['overlay', 'aufs', 'ecryptfs', 'fuse.fuse-overlayfs', 'fuse.unionfs', 'fuse.mergerfs'].includes(type);
}
