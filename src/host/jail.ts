/**
 * Node in a jail of bubblewrap: own user, pid, network, mount, ipc, uts and cgroup namespaces, no capabilities, an empty
 * read-only root that holds the runtime and one script, and a seccomp filter from its first instruction on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { asPlimsollError, PlimsollError } from '#base';
import { type RuntimeFiles, runtimeFiles } from './runtime-files.ts';

/** Where things lie inside. */
const INSIDE = { node: '/plimsoll/node', script: '/plimsoll/script.mjs', libraries: '/plimsoll/lib', packages: '/plimsoll/node_modules' };
const NOBODY = '65534';

/** The descriptor of the channel between the script and its parent, both directions. */
export const CHANNEL_FD = 3;
/** The descriptor by which the script receives open files while it runs. */
export const DESCRIPTOR_FD = 4;
const FILTER_FD = 5;

export interface JailOptions {
  /** The script, in one file: the jail holds no other. */
  readonly script: string;
  readonly nodeFlags: readonly string[];
  readonly args: readonly string[];
  /** A seccomp program as the kernel takes it, an array of struct sock_filter. */
  readonly filter: Uint8Array;
  /** The script's DESCRIPTOR_FD; undefined: the script receives no open files. It stays the caller's to close. */
  readonly descriptorFd: number | undefined;
}

/** How it ended: bubblewrap turns the signal n that ended the script into the exit code 128 + n. */
export interface JailEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Jailed {
  readonly channel: Duplex;
  /** Standard error of bubblewrap, Node and the script. Standard output is discarded. */
  readonly stderr: Readable;
  /** Resolves once no process and no open pipe of it is left. Rejects with SANDBOX_UNAVAILABLE only. */
  readonly ended: Promise<JailEnd>;
  /** Ends all that runs inside, at once and for certain. May be called twice. */
  kill(): void;
}

/** Throws: unsupported, SANDBOX_UNAVAILABLE, and io, both here or by `ended`. */
export function startJailed(options: JailOptions): Jailed {
  const child = spawnBubblewrap(jailArgs(options, runtimeFiles()), options.descriptorFd);
  const ended = endOf(child);
  // The one who waits for it may not have begun to.
  ended.catch(() => {});
  // bubblewrap reads the filter to its end before it starts anything.
  const filterPipe = (child.stdio as readonly unknown[])[FILTER_FD] as Duplex | undefined;
  filterPipe?.on('error', () => {});
  filterPipe?.end(options.filter);
  const channel = child.stdio[CHANNEL_FD] as Duplex;
  return {
    channel,
    stderr: child.stderr as Readable,
    ended,
    kill: () => {
      killJail(child);
      // A script that starts in the moment before it would die with bubblewrap finds its channel closed and ends.
      channel.destroy();
    },
  };
}

/**
 * --die-with-parent: with bubblewrap dies the first process of the pid namespace, and with that all others in it. Before that
 * process has asked for it, it is still in bubblewrap's process group: else a jail that is killed while it starts would stay.
 */
export function killJail(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL');
  }
}

function spawnBubblewrap(args: readonly string[], descriptorFd: number | undefined): ChildProcess {
  try {
    return spawn('bwrap', args, {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', descriptorFd ?? 'ignore', 'pipe'],
      // A process group of its own, to be killed as one.
      detached: true,
      // Nothing of it reaches the inside; bubblewrap itself needs no more.
      env: { PATH: process.env['PATH'] },
    });
  } catch (error) {
    throw cannotStart(error as NodeJS.ErrnoException);
  }
}

function jailArgs(options: JailOptions, runtime: RuntimeFiles): string[] {
  const readOnly = (source: string, path: string): string[] => ['--ro-bind', source, path];
  return [
    ...['--unshare-user', '--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
    ...['--uid', NOBODY, '--gid', NOBODY, '--cap-drop', 'ALL'],
    ...['--die-with-parent', '--new-session', '--clearenv'],
    ...['--setenv', 'LD_LIBRARY_PATH', INSIDE.libraries, '--setenv', 'UV_THREADPOOL_SIZE', '1'],
    ...readOnly(runtime.node, INSIDE.node),
    ...(runtime.loader === undefined ? [] : readOnly(runtime.loader.source, runtime.loader.path)),
    ...[...runtime.libraries].flatMap(([name, source]) => readOnly(source, `${INSIDE.libraries}/${name}`)),
    ...[...runtime.packages].flatMap(([name, source]) => readOnly(source, `${INSIDE.packages}/${name}`)),
    ...readOnly(options.script, INSIDE.script),
    ...['--remount-ro', '/', '--chdir', '/', '--seccomp', String(FILTER_FD)],
    ...['--', INSIDE.node, ...options.nodeFlags, INSIDE.script, ...options.args],
  ];
}

function endOf(child: ChildProcess): Promise<JailEnd> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(cannotStart(cause)));
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}

/** No memory or descriptors left is trouble of the moment; whatever else it is, there is no bubblewrap to be had. */
function cannotStart(cause: NodeJS.ErrnoException): PlimsollError {
  const { code = '' } = cause;
  if (['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM'].includes(code)) return asPlimsollError(cause, 'start the sandboxed reader of the image');
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'sandbox the reader of the image',
    found: code === 'ENOENT' ? 'bubblewrap is not installed' : `bwrap cannot be started (${code === '' ? cause.message : code})`,
    expected: 'the program bwrap (Debian: apt-get install bubblewrap), or --unconfined to read the image without sandboxing',
    cause,
  });
}
