/**
 * Sealing oneself in: from then on this process can neither open nor run nor connect to anything, for good. What it holds
 * open stays usable.
 *
 * The limits are set here, by the process on itself, rather than from outside: nothing of an image has been read yet, the
 * kernel keeps them from then on, and neither prlimit64 nor setrlimit is in the filter. From outside it would be a race
 * against the start, with a pid that is known only by way of bubblewrap.
 */
import { closeSync, openSync, stat } from 'node:fs';
import { GiB, MiB, PlimsollError, TiB } from '#base';
import { loadSelfRestriction, RLIMIT, type SelfRestriction } from './ffi.ts';

export interface SealOrder {
  /** A seccomp program as the kernel takes it. */
  readonly filter: Uint8Array;
  readonly cpuSeconds: number;
  /**
   * Of private writable memory, beyond what there is already: heap, buffers, stacks (RLIMIT_DATA).
   */
  readonly memoryBytes: number;
  /**
   * Whether to bound the address space too (RLIMIT_AS): memory that is made read-only again is not in RLIMIT_DATA, and stays.
   * Needs a Node that reserves no 10 GiB for a WebAssembly memory: --disable-wasm-trap-handler.
   */
  readonly boundsAddressSpace: boolean;
}

const PROBE = '/';
/** Address space that V8 reserves without using it: its next heap pages, and a WebAssembly memory up to its largest size. */
const RESERVED_BYTES = 512 * MiB;
/** What Linux gives by default; the main stack is not in RLIMIT_DATA, and without a bound where the caller had none. */
const STACK_BYTES = 8 * MiB;

/**
 * Throws: unsupported, SANDBOX_UNAVAILABLE when a step is not to be had here; SANDBOX_INCOMPLETE when all steps were
 * taken and the seal does not hold.
 */
export async function sealProcess({ filter, cpuSeconds, memoryBytes, boundsAddressSpace }: SealOrder): Promise<void> {
  const self = await loadSelfRestriction();
  if (self === undefined) throw unavailable('koffi', 'cannot be loaded in the sandbox');
  await warmThreadPool();
  if (!canOpen(PROBE)) throw unavailable('the probe', 'could not be opened even before the seccomp filter');
  // Two values: the first ends the process by SIGXCPU, which tells why; the second by SIGKILL, if it lives on.
  limit(self, 'CPU', cpuSeconds, cpuSeconds + 1);
  limit(self, 'DATA', memoryInUse(self, 'DATA') + memoryBytes);
  if (boundsAddressSpace) limit(self, 'AS', memoryInUse(self, 'AS') + memoryBytes + RESERVED_BYTES);
  limit(self, 'STACK', STACK_BYTES);
  limit(self, 'CORE', 0);
  limit(self, 'FSIZE', 0);
  // A limit of zero does not keep a core from a handler behind a pipe; this does.
  succeed('prctl(PR_SET_DUMPABLE)', self.forbidDumps());
  succeed('prctl(PR_SET_NO_NEW_PRIVS)', self.forbidNewPrivileges());
  succeed('seccomp(SECCOMP_SET_MODE_FILTER)', self.filterSystemCalls(filter));
  if (canOpen(PROBE)) throw notSealed('open()');
  if (self.openSocket() !== -EPERM) throw notSealed('socket()');
}

const EPERM = 1;

/** libuv creates its threads at the first use, which would be too late under the filter. */
function warmThreadPool(): Promise<void> {
  return new Promise((resolve) => {
    stat(PROBE, () => resolve());
  });
}

function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'));
    return true;
  } catch {
    return false;
  }
}

/** For good: what is not given twice is warning and end in one. */
function limit(self: SelfRestriction, name: keyof typeof RLIMIT, soft: number, hard = soft): void {
  succeed(`setrlimit(RLIMIT_${name})`, self.limit(RLIMIT[name], soft, hard));
}

/**
 * What RLIMIT_DATA or RLIMIT_AS counts now, to a step. Node 20 has 50 MB when it starts, Node 24 reserves 570 MB, and there is no /proc
 * to ask; so the limit is lowered until a page is refused. Only that one step, of microseconds, could refuse one to V8.
 */
function memoryInUse(self: SelfRestriction, name: 'DATA' | 'AS'): number {
  const step = 16 * MiB;
  const isEnough = (byteLength: number): boolean => {
    succeed(`setrlimit(RLIMIT_${name})`, self.limit(RLIMIT[name], byteLength));
    return self.hasMemoryLeft();
  };
  let enough = 2 * GiB;
  while (!isEnough(enough)) {
    if (enough > 64 * TiB) throw unavailable(`RLIMIT_${name}`, 'no memory left even with a limit of 64 TiB');
    enough *= 2;
  }
  while (enough > step && isEnough(enough - step)) enough -= step;
  return enough;
}

function succeed(step: string, result: number): void {
  if (result !== 0) throw unavailable(step, `gives ${result}`);
}

function unavailable(step: string, found: string): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'sandbox the reader of the image',
    field: step,
    found,
    expected: 'a kernel and a koffi that support it, or --unconfined to read the image without sandboxing',
  });
}

function notSealed(call: string): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_INCOMPLETE', {
    doing: 'sandbox the reader of the image',
    field: call,
    found: 'still answered',
    expected: 'refused by the seccomp filter',
  });
}
