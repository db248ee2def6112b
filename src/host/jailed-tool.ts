/**
 * Runs a foreign program in bubblewrap: the system's programs read-only, one file, no network, no other process, and
 * limits of time, memory and output. For tools that give a second opinion on an untrusted file.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { asPlimsollError, PlimsollError } from '#base';
import { killJail } from './jail.ts';
import { reopenedForReading } from './reopen.ts';

/** Descriptor of the file for bubblewrap: behind the standard ones. The tool itself does not get it. */
const FILE_FD = 3;
/**
 * Where the file lies inside: a read-only bind mount. By a descriptor the tool could open the file anew for writing, since it
 * runs as the file's owner.
 */
export const JAILED_FILE = '/image';
/** Runs the tool only if the mounted file is the very file that was opened outside; bubblewrap mounts by name. */
const IF_SAME_FILE = `if [ ${JAILED_FILE} -ef /proc/self/fd/${FILE_FD} ]; then exec "$@" ${FILE_FD}<&-; fi; exit 99`;
const EXIT_OTHER_FILE = 99;

export interface JailedToolOptions {
  /** The file it may read, open for reading. */
  readonly fd: number;
  readonly seconds: number;
  readonly memoryBytes: number;
  readonly outputBytes: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ToolAnswer {
  /** null when it was killed: by a limit, mostly. */
  readonly code: number | null;
  readonly stdout: string;
  /** The first words of it. */
  readonly stderr: string;
}

const SYSTEM_DIRECTORIES = ['/usr', '/lib', '/lib64', '/lib32', '/bin', '/etc/ld.so.cache', '/etc/alternatives'];
const MAX_COMPLAINT_CHARACTERS = 2000;

/**
 * Runs `words` and gives back what it said.
 *
 * Throws: unsupported, SANDBOX_UNAVAILABLE, when bwrap is missing, JAILED_TOOL, when the tool is; conflict, FILE_REPLACED, when
 * the file's name leads elsewhere by now; io; the signal's reason.
 */
export function runJailedTool(words: readonly string[], options: JailedToolOptions): Promise<ToolAnswer> {
  options.signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    using file = reopenedForReading([options.fd]);
    const tool = ['/bin/sh', '-c', IF_SAME_FILE, 'sh', ...limitWords(options), ...words];
    const child = spawn('bwrap', [...jailWords(), '--', ...tool], {
      stdio: ['ignore', 'pipe', 'pipe', ...file.fds],
      detached: true,
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    });
    let [stdout, stderr] = ['', ''];
    const kill = (): void => killJail(child);
    // Time that passes without processor time counts too.
    const timer = setTimeout(kill, (options.seconds + 1) * 1000);
    options.signal?.addEventListener('abort', kill);
    (child.stdout as Readable).on('data', (piece: Buffer) => {
      stdout += piece.toString('utf8');
      if (stdout.length > options.outputBytes) kill();
    });
    (child.stderr as Readable).on('data', (piece: Buffer) => {
      if (stderr.length < MAX_COMPLAINT_CHARACTERS) stderr += piece.toString('utf8').slice(0, MAX_COMPLAINT_CHARACTERS);
    });
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', kill);
    };
    child.on('error', (error: NodeJS.ErrnoException) => {
      settle();
      reject(error.code === 'ENOENT' ? notInstalled(error) : asPlimsollError(error, 'run a tool in a sandbox'));
    });
    child.on('close', (code) => {
      settle();
      if (options.signal?.aborted === true) reject(options.signal.reason as Error);
      else if (code === EXIT_OTHER_FILE || NAME_GONE.test(stderr)) reject(fileReplaced());
      // Not the tool speaks, but the jail that could not be made, or found no tool to run.
      else if (/^(bwrap|prlimit): /.test(stderr)) reject(cannotRun(words[0] ?? '', stderr));
      else resolve({ code, stdout, stderr });
    });
  });
}

function jailWords(): string[] {
  const readOnly = SYSTEM_DIRECTORIES.flatMap((path) => (existsSync(path) ? ['--ro-bind', path, path] : []));
  return [
    ...['--unshare-all', '--uid', '65534', '--gid', '65534', '--cap-drop', 'ALL', '--die-with-parent', '--new-session'],
    ...readOnly,
    ...['--ro-bind', `/proc/self/fd/${FILE_FD}`, JAILED_FILE],
    ...['--proc', '/proc', '--remount-ro', '/', '--chdir', '/'],
  ];
}

function limitWords({ seconds, memoryBytes }: JailedToolOptions): string[] {
  return ['prlimit', `--cpu=${seconds}`, `--as=${memoryBytes}`, '--fsize=0', '--core=0', '--'];
}

/** bubblewrap resolves the descriptor to a name, which a removed file has not. */
const NAME_GONE = /^bwrap: Can't find source path \/proc\/self\/fd\//;

function fileReplaced(): PlimsollError {
  return new PlimsollError('conflict', 'FILE_REPLACED', {
    doing: 'run a tool on the image',
    found: 'its name now leads to another file or is gone',
    expected: 'a file that keeps its name while it is vetted',
  });
}

function cannotRun(tool: string, stderr: string): PlimsollError {
  return new PlimsollError('unsupported', 'JAILED_TOOL', {
    doing: `run ${tool} in a sandbox`,
    found: stderr.trim().split('\n')[0] ?? '',
    expected: `${tool} (Debian: qemu-utils), prlimit and user namespaces`,
  });
}

function notInstalled(cause: unknown): PlimsollError {
  return new PlimsollError('unsupported', 'SANDBOX_UNAVAILABLE', {
    doing: 'run a tool in a sandbox',
    found: 'bubblewrap is not installed',
    expected: 'the program bwrap (Debian: apt-get install bubblewrap)',
    cause,
  });
}
