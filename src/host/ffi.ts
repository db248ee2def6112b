/**
 * The system calls that Node does not offer, through koffi: ioctl, lseek, quotactl_fd, OFD lock queries, fallocate, fstatfs, renameat2.
 *
 * koffi is an optional dependency and costs 14 ms to load, so it is imported at the first call that needs it, and callers
 * must work without it. Structures are those of 64-bit little-endian Linux with the generic
 * ioctl encoding; on anything else there is no FFI.
 */
import { PlimsollError } from '#base';

/** What a call returned: its result when not negative, else the negated errno, as the kernel itself says it. */
export type CallResult = number;

/** errno values that callers tell apart. Source: asm-generic/errno-base.h, errno.h. */
export const ERRNO = { EINTR: 4, ENXIO: 6, EAGAIN: 11, EEXIST: 17, EINVAL: 22, ENOTTY: 25, ENOSYS: 38, EOPNOTSUPP: 95 } as const;

export const SEEK_SET = 0;
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
  /** lseek; moves the position of the descriptor, which positioned reads do not use. */
  seek(fd: number, fileOffset: number, whence: typeof SEEK_SET | typeof SEEK_DATA | typeof SEEK_HOLE): CallResult;
  /**
   * Takes and releases a read lease (fcntl F_SETLEASE): 0 if no process has the file open or mapped for writing, -EAGAIN if
   * one has; the kernel counts every process and itself. `during` runs while the lease keeps writers out. -EACCES for a caller
   * that neither owns the file nor has CAP_LEASE. `fd` must be open for reading only.
   */
  withReadLease(fd: number, during: () => void): CallResult;
  /** quotactl_fd (kernel 5.14) on the filesystem of `fd`; `type` 0 user, 1 group, 2 project; `argument` is read and overwritten. */
  quotactl(fd: number, command: number, type: number, id: number, argument: Uint8Array): CallResult;
  /**
   * The lock that would prevent an exclusive OFD lock on these bytes: undefined without one, -errno if the query failed.
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
  /**
   * Sends `message` as one datagram to the Unix socket at `address` (sun_path: a path, or a NUL and an abstract name) and
   * does not wait: -EAGAIN when the receiver's queue is full. -EINVAL when the address is too long.
   */
  sendDatagram(address: Uint8Array, message: Uint8Array): CallResult;
  /**
   * The user id of the process that listens at the other end of a connected Unix socket (SO_PEERCRED: as it was at the call
   * of listen), or the negated errno.
   */
  peerUser(fd: number): CallResult;
  /** Two connected Unix sockets that keep message boundaries (SOCK_SEQPACKET), close-on-exec; or the negated errno. */
  socketPair(): readonly [number, number] | CallResult;
  /** Sends one byte with duplicates of `fds` (SCM_RIGHTS) and does not wait: 1, or the negated errno (-EAGAIN: the queue is full). */
  sendDescriptors(socket: number, fds: readonly number[]): CallResult;
}

/**
 * Waits for one message on a Unix socket and returns the descriptors that came with it, close-on-exec; or the negated errno. `count`:
 * the most that are expected; the kernel closes any beyond them.
 */
export type DescriptorReceive = (socket: number, count: number) => readonly number[] | CallResult;

/** What a process can take from itself and never get back. Each returns 0, or the negated errno. */
export interface SelfRestriction {
  /**
   * setrlimit; from `soft` on the kernel warns or refuses, from `hard` on it kills. Without `hard` that one stays, and `soft`
   * can be taken back. Never raises what was inherited.
   */
  limit(resource: number, soft: number, hard?: number): CallResult;
  /** Whether a page of private memory can be had under the limits as they are; it is given back. */
  hasMemoryLeft(): boolean;
  /** No core dumps, and no tracing by others of the same user. */
  forbidDumps(): CallResult;
  forbidNewPrivileges(): CallResult;
  /** A seccomp program (an array of struct sock_filter) for all threads; a positive result is a thread that could not take it. */
  filterSystemCalls(program: Uint8Array): CallResult;
  /** Tries to make a socket: a descriptor, or the negated errno. To see whether the filter holds. */
  openSocket(): CallResult;
}

/** Source: asm-generic/resource.h; the same on all architectures that are supported. */
export const RLIMIT = { CPU: 0, FSIZE: 1, DATA: 2, STACK: 3, CORE: 4, AS: 9 } as const;

/** Set to `1`, the process behaves as if koffi could not be loaded. */
const DISABLE_VARIABLE = 'PLIMSOLL_NO_FFI';
const ARCHITECTURES: ReadonlySet<string> = new Set(['x64', 'arm64', 'riscv64', 'loong64']);

const F_OFD_GETLK = 36;
const F_SETSIG = 10;
const F_SETLEASE = 1024;
const SIGURG = 23;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;
const AT_SYMLINK_FOLLOW = 0x400;
const RWF_NOWAIT = 8;
/** Of quotactl_fd(2), which the C library does not wrap; the same on all architectures that are supported. */
const QUOTACTL_FD_NUMBER = 443;
/** struct flock: l_type i16 at 0, l_whence i16 at 2, l_start i64 at 8, l_len i64 at 16, l_pid i32 at 24. */
const FLOCK_BYTES = 32;
/** struct statfs has 120 bytes; f_frsize is the tenth word. */
const STATFS_BYTES = 120;
const STATFS_FRSIZE_AT = 72;

const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
/** Of seccomp(2), which the C library does not wrap. */
const SECCOMP_NUMBER: Readonly<Record<string, number>> = { x64: 317 };
const SOCK_FILTER_BYTES = 8;
const PAGE_BYTES = 4096;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const AF_UNIX = 1;
const AF_INET = 2;
const SOCK_STREAM = 1;
/** SOCK_DGRAM with SOCK_CLOEXEC. */
const CLOSING_DATAGRAMS = 0x8_0002;
/** MSG_DONTWAIT with MSG_NOSIGNAL. */
const NEITHER_WAIT_NOR_SIGNAL = 0x4040;
/** SOCK_SEQPACKET with SOCK_CLOEXEC. */
const CLOSING_PACKETS = 0x8_0005;
const MSG_CMSG_CLOEXEC = 0x4000_0000;
const SCM_RIGHTS = 1;
/** struct cmsghdr: cmsg_len u64 at 0, cmsg_level i32 at 8, cmsg_type i32 at 12, data from 16, padded to 8 bytes. */
const CMSG_TYPE_AT = 12;
const CMSG_DATA_AT = 16;
/** struct sockaddr_un: sun_family u16 at 0, sun_path of 108 bytes at 2. */
/** Source: asm-generic/socket.h. struct ucred: pid, uid and gid, 32 bits each. */
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_BYTES = 12;
const UCRED_UID_AT = 4;
const SUN_PATH_AT = 2;
const SUN_PATH_BYTES = 108;

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

/** The calls by which a process confines itself, or undefined where there is no koffi or no number for this architecture. */
export async function loadSelfRestriction(): Promise<SelfRestriction | undefined> {
  const number = SECCOMP_NUMBER[process.arch];
  return number === undefined ? undefined : withKoffi((koffi) => bindSelfRestriction(koffi, number));
}

/** For a process that is about to restrict its system calls: bound now, called later. undefined where there is no koffi. */
export function loadDescriptorReceiver(): Promise<DescriptorReceive | undefined> {
  return withKoffi((koffi) => {
    const recvmsg = koffi.load(null).func('recvmsg', 'int64_t', ['int', koffi.pointer(messageType(koffi)), 'int']);
    return (socket, count) => {
      const control = Buffer.alloc(controlBytes(count));
      for (;;) {
        const returned = recvmsg(integer(socket), messageOf(Buffer.alloc(1), control), MSG_CMSG_CLOEXEC) as number;
        if (returned >= 0) return descriptorsIn(control);
        const errno = koffi.errno();
        if (errno !== ERRNO.EINTR) return -errno;
      }
    };
  });
}

/** struct iovec. */
function vectorType(koffi: Koffi) {
  return koffi.struct({ base: 'void *', length: 'size_t' });
}

/** struct msghdr with one struct iovec. */
function messageType(koffi: Koffi) {
  return koffi.struct({
    name: 'void *',
    nameLength: 'uint32_t',
    vectors: koffi.pointer(vectorType(koffi)),
    vectorCount: 'size_t',
    control: 'void *',
    controlLength: 'size_t',
    flags: 'int',
  });
}

/** A value that is made by the first call. */
function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

function messageOf(content: Buffer, control: Buffer): object {
  const vectors = { base: content, length: content.byteLength };
  return { name: null, nameLength: 0, vectors, vectorCount: 1, control, controlLength: control.byteLength, flags: 0 };
}

function controlBytes(count: number): number {
  return CMSG_DATA_AT + 8 * Math.ceil(count / 2);
}

function rightsOf(fds: readonly number[]): Buffer {
  const control = Buffer.alloc(controlBytes(fds.length));
  control.writeBigUInt64LE(BigInt(CMSG_DATA_AT + 4 * fds.length), 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, CMSG_TYPE_AT);
  for (const [index, fd] of fds.entries()) control.writeInt32LE(integer(fd), CMSG_DATA_AT + 4 * index);
  return control;
}

function descriptorsIn(control: Buffer): number[] {
  const end = Math.min(Number(control.readBigUInt64LE(0)), control.byteLength);
  if (end < CMSG_DATA_AT || control.readInt32LE(CMSG_TYPE_AT) !== SCM_RIGHTS) return [];
  return Array.from({ length: Math.floor((end - CMSG_DATA_AT) / 4) }, (_, index) => control.readInt32LE(CMSG_DATA_AT + 4 * index));
}

function importKoffi(): Promise<Ffi | undefined> {
  return withKoffi(bindCalls);
}

async function withKoffi<T>(bind: (koffi: Koffi) => T): Promise<T | undefined> {
  if (process.env[DISABLE_VARIABLE] === '1' || process.platform !== 'linux' || !ARCHITECTURES.has(process.arch)) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    return bind(koffi);
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
  const fcntlNumber = libc.func('fcntl', 'int', ['int', 'int', 'int']);
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)');
  const preadv2 = libc.func('preadv2', 'int64_t', ['int', koffi.pointer(vectorType(koffi)), 'int', 'int64_t', 'int']);
  const fstatfs = libc.func('int fstatfs(int fd, void *buffer)');
  const renameat2 = libc.func('int renameat2(int fromDirectory, void *from, int toDirectory, void *to, unsigned int flags)');
  const linkat = libc.func('int linkat(int fromDirectory, void *from, int toDirectory, void *to, int flags)');
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const sendto = libc.func('int64_t sendto(int fd, void *message, size_t length, int flags, void *address, unsigned int addressLength)');
  const getsockopt = libc.func('int getsockopt(int fd, int level, int option, void *value, void *length)');
  // Only sessions with a confined process send messages: other commands do not pay for the binding.
  const sendmsg = lazily(() => libc.func('sendmsg', 'int64_t', ['int', koffi.pointer(messageType(koffi)), 'int']));
  const socketpair = lazily(() => libc.func('int socketpair(int domain, int type, int protocol, void *pair)'));
  const close = libc.func('int close(int fd)');
  const syscall = libc.func('syscall', 'int64_t', ['int64_t', 'uint32_t', 'uint32_t', 'uint32_t', 'void *']);
  const orErrno = (returned: number): CallResult => (returned < 0 ? -koffi.errno() : returned);

  return {
    ioctl: (fd, request, argument) => orErrno(ioctl(integer(fd), integer(request), argument)),
    // koffi gives a bigint above 2^53: such an offset is reported as an overflow (EOVERFLOW).
    seek: (fd, fileOffset, whence) => {
      const returned: unknown = lseek(integer(fd), integer(fileOffset), whence);
      return typeof returned === 'number' ? orErrno(returned) : -75;
    },
    withReadLease: (fd, during) => {
      // A break of the lease sends SIGIO, which would end the process; SIGURG is ignored unless asked for.
      const signal = orErrno(fcntlNumber(integer(fd), F_SETSIG, SIGURG));
      const taken = signal < 0 ? signal : orErrno(fcntlNumber(integer(fd), F_SETLEASE, F_RDLCK));
      if (taken < 0) return taken;
      try {
        during();
      } finally {
        fcntlNumber(integer(fd), F_SETLEASE, F_UNLCK);
      }
      return 0;
    },
    quotactl: (fd, command, type, id, argument) =>
      orErrno(syscall(QUOTACTL_FD_NUMBER, integer(fd), commandOf(command, type), integer(id), argument)),
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
    sendDatagram: (address, message) => {
      if (address.byteLength > SUN_PATH_BYTES) return -ERRNO.EINVAL;
      const fd = orErrno(socket(AF_UNIX, CLOSING_DATAGRAMS, 0));
      if (fd < 0) return fd;
      const to = unixAddress(address);
      const result = orErrno(sendto(fd, message, message.byteLength, NEITHER_WAIT_NOR_SIGNAL, to, to.byteLength));
      close(fd);
      return result;
    },
    peerUser: (fd) => {
      const credentials = Buffer.alloc(UCRED_BYTES);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(UCRED_BYTES);
      const result = orErrno(getsockopt(integer(fd), SOL_SOCKET, SO_PEERCRED, credentials, length));
      return result < 0 ? result : credentials.readUInt32LE(UCRED_UID_AT);
    },
    socketPair: () => {
      const pair = Buffer.alloc(8);
      const result = orErrno(socketpair()(AF_UNIX, CLOSING_PACKETS, 0, pair));
      return result < 0 ? result : ([pair.readInt32LE(0), pair.readInt32LE(4)] as const);
    },
    sendDescriptors: (fd, fds) => orErrno(sendmsg()(integer(fd), messageOf(Buffer.of(0), rightsOf(fds)), NEITHER_WAIT_NOR_SIGNAL)),
  };
}

function bindSelfRestriction(koffi: Koffi, seccompNumber: number): SelfRestriction {
  const libc = koffi.load(null);
  const getrlimit = libc.func('int getrlimit(int resource, void *limit)');
  const setrlimit = libc.func('int setrlimit(int resource, void *limit)');
  const mmap = libc.func('int64_t mmap(int64_t address, size_t length, int protection, int flags, int fd, int64_t offset)');
  const munmap = libc.func('int munmap(int64_t address, size_t length)');
  const prctl = libc.func('int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)');
  const program = koffi.struct({ length: 'uint16_t', filter: 'void *' });
  const syscall = libc.func('syscall', 'int64_t', ['int64_t', 'uint32_t', 'uint32_t', koffi.pointer(program)]);
  const socket = libc.func('int socket(int domain, int type, int protocol)');
  const orErrno = (returned: number): CallResult => (returned < 0 ? -koffi.errno() : returned);

  return {
    limit: (resource, soft, hard) => {
      const pair = Buffer.alloc(16);
      const asked = orErrno(getrlimit(integer(resource), pair));
      if (asked < 0) return asked;
      const inherited = pair.readBigUInt64LE(8);
      const atMost = (value: number): bigint => (BigInt(integer(value)) < inherited ? BigInt(value) : inherited);
      pair.writeBigUInt64LE(atMost(soft), 0);
      pair.writeBigUInt64LE(hard === undefined ? inherited : atMost(hard), 8);
      return orErrno(setrlimit(resource, pair));
    },
    hasMemoryLeft: () => {
      // As a number, for what matters is whether it is -1.
      const address: unknown = mmap(0, PAGE_BYTES, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
      if (address === -1) return false;
      munmap(address, PAGE_BYTES);
      return true;
    },
    forbidDumps: () => orErrno(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)),
    forbidNewPrivileges: () => orErrno(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)),
    filterSystemCalls: (bytes) => {
      const length = integer(bytes.byteLength / SOCK_FILTER_BYTES);
      return orErrno(syscall(seccompNumber, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, { length, filter: bytes }));
    },
    openSocket: () => orErrno(socket(AF_INET, SOCK_STREAM, 0)),
  };
}

/** QCMD of linux/quota.h. */
function commandOf(command: number, type: number): number {
  return integer(command) * 256 + integer(type);
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

function unixAddress(sunPath: Uint8Array): Buffer {
  const address = Buffer.alloc(SUN_PATH_AT + sunPath.byteLength);
  address.writeUInt16LE(AF_UNIX, 0);
  address.set(sunPath, SUN_PATH_AT);
  return address;
}

function nulTerminated(path: Uint8Array): Buffer {
  if (path.includes(0)) {
    throw new PlimsollError('bug', 'PATH_WITH_NUL', { doing: 'call the kernel', found: Buffer.from(path).toString('latin1') });
  }
  return Buffer.concat([path, Buffer.of(0)]);
}
