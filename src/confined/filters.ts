/**
 * The two filters of the worker. The first holds from its first instruction on, and lets Node start and load its code.
 * The worker puts the second on top before it reads anything: what it has open can be read and written, memory can be
 * had, and that is all.
 *
 * Numbers: asm/unistd_64.h. Other architectures need tables of their own.
 */
import { DESCRIPTOR_FD } from '#host';
import { assembleFilter, type FilterRules } from './bpf.ts';

/** AUDIT_ARCH_X86_64 and __X32_SYSCALL_BIT. */
const X64 = { arch: 0xc000003e, firstForeign: 0x40000000 } as const;

/** What a sealed Node needs: reads, writes, memory, clocks, locks between its threads, signals to itself, its end. */
const ALWAYS = {
  read: 0,
  write: 1,
  close: 3,
  fstat: 5,
  poll: 7,
  mprotect: 10,
  munmap: 11,
  brk: 12,
  rt_sigaction: 13,
  rt_sigprocmask: 14,
  rt_sigreturn: 15,
  pread64: 17,
  readv: 19,
  writev: 20,
  sched_yield: 24,
  madvise: 28,
  nanosleep: 35,
  getpid: 39,
  exit: 60,
  uname: 63,
  gettimeofday: 96,
  getrusage: 98,
  sysinfo: 99,
  times: 100,
  sigaltstack: 131,
  gettid: 186,
  futex: 202,
  sched_getaffinity: 204,
  restart_syscall: 219,
  clock_gettime: 228,
  clock_getres: 229,
  clock_nanosleep: 230,
  exit_group: 231,
  epoll_wait: 232,
  epoll_ctl: 233,
  tgkill: 234,
  ppoll: 271,
  set_robust_list: 273,
  epoll_pwait: 281,
  preadv: 295,
  getcpu: 309,
  getrandom: 318,
  membarrier: 324,
  pkey_mprotect: 329,
  pkey_alloc: 330,
  pkey_free: 331,
  rseq: 334,
} as const;

/** What the start needs beside it: bubblewrap's last steps and its first process, the loader, Node, koffi, the seal. */
const AT_START = {
  open: 2,
  stat: 4,
  lstat: 6,
  lseek: 8,
  ioctl: 16,
  pwrite64: 18,
  access: 21,
  dup: 32,
  dup2: 33,
  sendto: 44,
  recvfrom: 45,
  sendmsg: 46,
  recvmsg: 47,
  shutdown: 48,
  getsockname: 51,
  getsockopt: 55,
  execve: 59,
  wait4: 61,
  getcwd: 79,
  readlink: 89,
  getrlimit: 97,
  getuid: 102,
  getgid: 104,
  geteuid: 107,
  getegid: 108,
  getppid: 110,
  capget: 125,
  statfs: 137,
  fstatfs: 138,
  prctl: 157,
  arch_prctl: 158,
  setrlimit: 160,
  sched_setaffinity: 203,
  getdents64: 217,
  set_tid_address: 218,
  fadvise64: 221,
  openat: 257,
  newfstatat: 262,
  readlinkat: 267,
  eventfd: 284,
  eventfd2: 290,
  epoll_create1: 291,
  dup3: 292,
  pipe2: 293,
  prlimit64: 302,
  seccomp: 317,
  statx: 332,
  faccessat2: 439,
} as const;

const MMAP = 9;
const CLONE = 56;
const FCNTL = 72;
const FSYNC = 74;
const RECVMSG = 47;
const MREMAP = 25;
const CLONE3 = 435;
const ENOSYS = 38;

/**
 * MAP_SHARED 1, MAP_PRIVATE 2, MAP_GROWSDOWN 0x100, MAP_HUGETLB 0x40000: shared memory and a mapping that grows down, which
 * counts as stack, are not in RLIMIT_DATA; huge pages come out of a pool of the host.
 */
const PRIVATE_MEMORY = { number: MMAP, argument: 3, mask: 0x4010f, oneOf: [2] } as const;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, and NEWTIME: threads, but no namespaces. */
const NO_NAMESPACES = { number: CLONE, argument: 0, mask: 0x7e020080, oneOf: [0] } as const;
/** F_GETFD, F_SETFD, F_GETFL. No locks: on an image they would keep its machine from starting. No flags: no O_DIRECT, no O_APPEND. */
const NO_LOCKS = { number: FCNTL, argument: 1, mask: 0xffffffff, oneOf: [1, 2, 3] } as const;

/** The descriptors 0 to 3: koffi flushes standard output at the end, and hangs where it may not. Not the image. */
const OWN_OUTPUT = { number: FSYNC, argument: 0, mask: 0xfffffffc, oneOf: [0] } as const;

/** Open files are received by the descriptor channel alone. */
const DESCRIPTOR_CHANNEL = { number: RECVMSG, argument: 0, mask: 0xffffffff, oneOf: [DESCRIPTOR_FD] } as const;

const START: FilterRules = {
  ...X64,
  allow: [...Object.values(ALWAYS), ...Object.values(AT_START), MMAP, MREMAP, FCNTL, FSYNC],
  allowIf: [NO_NAMESPACES],
  // Its flags lie in memory, where no filter sees them. The C library then takes clone.
  refuseWith: [{ number: CLONE3, errno: ENOSYS }],
};

/** Without mremap, by which the main stack could grow past every limit; the C library then copies. */
const SEALED: FilterRules = { ...X64, allow: Object.values(ALWAYS), allowIf: [PRIVATE_MEMORY, NO_LOCKS, OWN_OUTPUT, DESCRIPTOR_CHANNEL] };

/** For bubblewrap, which installs it just before it runs Node. */
export function startFilter(): Uint8Array {
  return assembleFilter(START);
}

/** For the worker, once all its code is loaded. */
export function sealFilter(): Uint8Array {
  return assembleFilter(SEALED);
}
