/**
 * The system calls that Node does not offer, through koffi: ioctl, lseek, OFD lock queries, fallocate, fstatfs, renameat2.
 *
 * koffi is an optional dependency and costs 14 ms to load, so it is imported at the first call that needs it, and whoever
 * asks must be ready to hear that there is none. Structures are those of 64-bit little-endian Linux with the generic
 * ioctl encoding; on anything else there is no FFI.
 */
import { PlimsollError } from '#base';

/** What a call returned: its result when not negative, else the negated errno, as the kernel itself says it. */
export type CallResult = number;

/** errno values that callers tell apart. Source: asm-generic/errno-base.h, errno.h. */
export const ERRNO = { EINTR: 4, ENXIO: 6, EAGAIN: 11, EEXIST: 17, EINVAL: 22, ENOTTY: 25, ENOSYS: 38, EOPNOTSUPP: 95 } as const;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** A lock that stands in the way of the one asked about. */
export interface LockConflict {
  readonly start: number;
  /** 0: to the end of the file, however long it becomes. */
  readonly byteLength: number;
  readonly exclusive: boolean;
  /** Who holds it; undefined where it belongs to an open file description, as QEMU's do, or to another host. */
  readonly pid: number | undefined;
}

export interface Ffi {
  /** `request` is unsigned 32-bit; `argument` is read and overwritten in place. */
  ioctl(fd: number, request: number, argument: Uint8Array): CallResult;
  /** lseek with SEEK_DATA or SEEK_HOLE; moves the position of the descriptor, which positioned reads do not use. */
  seek(fd: number, fileOffset: number, whence: typeof SEEK_DATA | typeof SEEK_HOLE): CallResult;
  /**
   * What would stop an exclusive OFD lock on these bytes: undefined when nothing, -errno when it could not be asked.
   * A descriptor opened for reading is enough; nothing is locked.
   */
  lockConflict(fd: number, start: number, byteLength: number): LockConflict | undefined | CallResult;
  /**
   * Reads what lies in the page cache and waits for nothing (preadv2 with RWF_NOWAIT): how many bytes, fewer where the rest
   * is on disk, -EAGAIN where all of it is, -EOPNOTSUPP where the filesystem cannot tell.
   */
  readCached(fd: number, target: Uint8Array, fileOffset: number): CallResult;
  /** fallocate on the thread pool: it can take seconds where the filesystem has to write. */
  fallocate(fd: number, mode: number, fileOffset: number, byteLength: number): Promise<CallResult>;
  /** The unit that fstatfs counts blocks in (f_frsize), which Node's statfs leaves out. */
  fragmentSize(fd: number): CallResult;
  /** renameat2 with RENAME_NOREPLACE: atomic, -EEXIST when `to` exists. Paths must not contain NUL. */
  renameNoReplace(from: Uint8Array, to: Uint8Array): CallResult;
  /** linkat of an open descriptor: gives a file that was opened with O_TMPFILE a name; -EEXIST when it is taken. */
  linkDescriptor(fd: number, to: Uint8Array): CallResult;
}

/** Set to `1`, the process behaves as if koffi could not be loaded. */
const DISABLE_VARIABLE = 'PLIMSOLL_NO_FFI';
const ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'loong64']);

const F_OFD_GETLK = 36;
const F_WRLCK = 1;
const F_UNLCK = 2;
const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
const AT_SYMLINK_FOLLOW = 0x400;
const RWF_NOWAIT = 8;
/** struct flock: l_type i16 at 0, l_whence i16 at 2, l_start i64 at 8, l_len i64 at 16, l_pid i32 at 24. */
const FLOCK_BYTES = 32;
/** struct statfs has 120 bytes; f_frsize is the tenth word. */
const STATFS_BYTES = 120;
const STATFS_FRSIZE_AT = 72;

let loading: Promise<Ffi | undefined> | undefined;

/** The system calls, or undefined where koffi is not installed or cannot be loaded. Cheap after the first call. */
export function loadFfi(): Promise<Ffi | undefined> {
  loading ??= importKoffi();
  return loading;
}

/** For tests: from now on `loadFfi` gives this; `undefined` forces every fallback. */
export function setFfiForTests(ffi: Ffi | undefined): void {
  loading = Promise.resolve(ffi);
}

/** For tests: undoes `setFfiForTests`. */
export function resetFfiForTests(): void {
  loading = undefined;
}

async function importKoffi(): Promise<Ffi | undefined> {
  if (process.env[DISABLE_VARIABLE] === '1' || process.platform !== 'linux' || !ARCHITECTURES.has(process.arch)) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    return bindCalls(koffi);
  } catch {
    // Whatever stops koffi (not installed, no binary for this libc, noexec) means the same to us: do without.
    return undefined;
  }
}

type Koffi = typeof import('koffi').default;

function bindCalls(koffi: Koffi): Ffi {
  const libc = koffi.load(null);
  const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');
  const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
  const fcntl = libc.func('int fcntl(int fd, int command, void *lock)');
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
  const iovec = koffi.struct({ base: 'void *', length: 'size_t' });
  const preadv2 = libc.func('preadv2', 'int64_t', ['int', koffi.pointer(iovec), 'int', 'int64_t', 'int']);
  const fstatfs = libc.func('int fstatfs(int fd, void *buffer)');
  const renameat2 = libc.func('int renameat2(int fromDirectory, void *from, int toDirectory, void *to, unsigned int flags)');
  const linkat = libc.func('int linkat(int fromDirectory, void *from, int toDirectory, void *to, int flags)');
  const orErrno = (returned: number): CallResult => (returned < 0 ? -koffi.errno() : returned);

  return {
    ioctl: (fd, request, argument) => orErrno(ioctl(integer(fd), integer(request), argument)),
    // koffi gives a bigint above 2^53: such an offset is reported as an overflow (EOVERFLOW).
    seek: (fd, fileOffset, whence) => {
      const returned: unknown = lseek(integer(fd), integer(fileOffset), whence);
      return typeof returned === 'number' ? orErrno(returned) : -75;
    },
    lockConflict: (fd, start, byteLength) => {
      const lock = writeLock(start, byteLength);
      const result = orErrno(fcntl(integer(fd), F_OFD_GETLK, lock));
      return result < 0 ? result : conflictIn(lock);
    },
    readCached: (fd, target, fileOffset) =>
      orErrno(preadv2(integer(fd), { base: target, length: target.byteLength }, 1, integer(fileOffset), RWF_NOWAIT)),
    fallocate: (fd, mode, fileOffset, byteLength) =>
      new Promise((resolve, reject) => {
        fallocate.async(integer(fd), mode, integer(fileOffset), integer(byteLength), (error: Error | null, returned: number) => {
          if (error !== null) reject(error);
          else resolve(orErrno(returned));
        });
      }),
    fragmentSize: (fd) => {
      const buffer = Buffer.alloc(STATFS_BYTES);
      const result = orErrno(fstatfs(integer(fd), buffer));
      return result < 0 ? result : buffer.readUInt32LE(STATFS_FRSIZE_AT);
    },
    renameNoReplace: (from, to) => orErrno(renameat2(AT_FDCWD, nulTerminated(from), AT_FDCWD, nulTerminated(to), RENAME_NOREPLACE)),
    linkDescriptor: (fd, to) =>
      // The link below /proc leads to the open file itself; needs no capability, unlike AT_EMPTY_PATH.
      orErrno(linkat(AT_FDCWD, nulTerminated(Buffer.from(`/proc/self/fd/${integer(fd)}`)), AT_FDCWD, nulTerminated(to), AT_SYMLINK_FOLLOW)),
  };
}

/** koffi takes 1.5 for an integer and wraps 2^40 where an int is wanted; neither may reach the kernel. */
function integer(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new PlimsollError('bug', 'UNSAFE_INTEGER', { doing: 'call the kernel', found: value, expected: 'an integer from 0 to 2^53 - 1' });
}

function writeLock(start: number, byteLength: number): Buffer {
  const lock = Buffer.alloc(FLOCK_BYTES);
  lock.writeInt16LE(F_WRLCK, 0);
  lock.writeBigInt64LE(BigInt(integer(start)), 8);
  lock.writeBigInt64LE(BigInt(integer(byteLength)), 16);
  return lock;
}

function conflictIn(lock: Buffer): LockConflict | undefined {
  const type = lock.readInt16LE(0);
  if (type === F_UNLCK) return undefined;
  const pid = lock.readInt32LE(24);
  return {
    start: Number(lock.readBigInt64LE(8)),
    byteLength: Number(lock.readBigInt64LE(16)),
    exclusive: type === F_WRLCK,
    pid: pid > 0 ? pid : undefined,
  };
}

function nulTerminated(path: Uint8Array): Buffer {
  if (path.includes(0)) {
    throw new PlimsollError('bug', 'PATH_WITH_NUL', { doing: 'call the kernel', found: Buffer.from(path).toString('latin1') });
  }
  return Buffer.concat([path, Buffer.of(0)]);
}
