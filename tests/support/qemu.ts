/**
 * QEMU's own tools as foreign judges: qemu-img and qemu-io, run as processes, their failures turned into errors that
 * say what was run.
 */
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname } from 'node:path';

/** Debian package of each program that the tests run. */
const PACKAGE_OF: Readonly<Record<string, string>> = {
  'qemu-img': 'qemu-utils',
  'qemu-io': 'qemu-utils',
  xfs_io: 'xfsprogs',
  cp: 'coreutils',
};

/** How an image is opened; a LUKS image needs its secret. */
export interface Opening {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  /** Passphrase of a LUKS image. */
  readonly secret?: string;
}

/** What `qemu-img info` says of an image, as far as the tests ask. */
export interface QemuImageInfo {
  readonly capacity: number;
  /** 0 for raw. */
  readonly clusterSize: number;
  readonly extendedL2: boolean;
  /** Name of the external data file as the image records it. */
  readonly dataFile: string | undefined;
  readonly snapshotNames: readonly string[];
}

export type CacheMode = 'writeback' | 'unsafe' | 'none';

export interface QemuIoOptions {
  readonly cache?: CacheMode;
  /** What guest discards do to the file. */
  readonly discard?: 'unmap' | 'ignore';
  /** More options of the qcow2 driver: `pass-discard-request=off`. */
  readonly driverOptions?: readonly string[];
  /** The last command kills qemu-io (`sigraise 9`): an image is left as a power cut leaves it. */
  readonly crashes?: boolean;
}

/**
 * Standard output of `program`, fed with `input`.
 *
 * Throws an error that names the Debian package when the program is missing, and what it said when it fails.
 */
export async function runTool(
  program: string,
  programArguments: readonly string[],
  { cwd = tmpdir(), input = '' }: { cwd?: string; input?: string } = {},
): Promise<string> {
  const { output, errors, code, signal } = await feed(program, programArguments, cwd, input);
  if (code === 0) return output;
  throw new Error(`${program} ${programArguments.join(' ')} failed, exit ${code ?? signal ?? '?'}: ${errors.trim() || output.trim()}`);
}

/** Runs qemu-img in `directory`: QEMU takes the names of external data files from the working directory. */
export async function qemuImg(directory: string, ...imgArguments: readonly string[]): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await runTool('qemu-img', imgArguments, { cwd: directory });
    } catch (error) {
      // LUKS key derivation is calibrated by the clock and gives up on a loaded machine.
      if (attempt === 5 || !String(error).includes('Unable to get accurate CPU usage')) throw error;
    }
  }
}

/** Arguments that open an image in any of QEMU's tools, secret included. */
export function openingArguments(opening: Opening, driverOptions: readonly string[] = []): string[] {
  const secret = opening.secret === undefined ? [] : ['--object', `secret,id=sec0,data=${opening.secret}`];
  const key = opening.secret === undefined ? [] : ['encrypt.key-secret=sec0'];
  const parts = [`driver=${opening.format}`, 'file.driver=file', `file.filename=${opening.path}`, ...key, ...driverOptions];
  return [...secret, '--image-opts', parts.join(',')];
}

/**
 * Runs `commands` in one qemu-io process, one per line, and closes the image.
 *
 * Every command must be quiet (`-q`): whatever qemu-io then prints is taken for a failure and thrown. What it says on
 * standard error is not: it repairs an image aloud.
 */
export async function qemuIo(opening: Opening, commands: readonly string[], options: QemuIoOptions = {}): Promise<void> {
  const ioArguments = [
    ...['-t', options.cache ?? 'writeback', '-d', options.discard ?? 'ignore'],
    ...openingArguments(opening, options.driverOptions),
  ];
  const { output, errors, code, signal } = await feed('qemu-io', ioArguments, dirname(opening.path), `${commands.join('\n')}\n`);
  const failures = output.replaceAll('qemu-io> ', '').trim();
  const ended = options.crashes === true ? signal === 'SIGKILL' : code === 0;
  if (failures === '' && ended) return;
  const what = `qemu-io ${ioArguments.join(' ')} (${commands.length} commands, the first: ${commands[0] ?? 'none'})`;
  throw new Error(`${what} failed, exit ${code ?? signal ?? '?'}: ${`${failures} ${errors}`.slice(0, 600)}`);
}

/** What QEMU says of the image; needs no secret. */
export async function imageInfo(path: string, format: 'qcow2' | 'raw'): Promise<QemuImageInfo> {
  const info = JSON.parse(await qemuImg(dirname(path), 'info', '-U', '-f', format, '--output=json', path)) as {
    'virtual-size': number;
    'cluster-size'?: number;
    snapshots?: { name: string }[];
    'format-specific'?: { data?: { 'extended-l2'?: boolean; 'data-file'?: string } };
  };
  const specific = info['format-specific']?.data;
  return {
    capacity: info['virtual-size'],
    clusterSize: info['cluster-size'] ?? 0,
    extendedL2: specific?.['extended-l2'] ?? false,
    dataFile: specific?.['data-file'],
    snapshotNames: (info.snapshots ?? []).map((snapshot) => snapshot.name),
  };
}

function feed(
  program: string,
  programArguments: readonly string[],
  cwd: string,
  input: string,
): Promise<{ output: string; errors: string; code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, programArguments, { stdio: 'pipe', cwd });
    let output = '';
    let errors = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('latin1')));
    child.on('error', (error) => reject(explain(error, program)));
    child.on('close', (code, signal) => resolve({ output, errors, code, signal }));
    // A program that refuses its image exits before it reads; its output gives the reason.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

function explain(error: Error, program: string): Error {
  if ((error as { code?: string }).code !== 'ENOENT') return error;
  return new Error(`Cannot run ${program}: not found; install the Debian package ${PACKAGE_OF[program] ?? program}`);
}
