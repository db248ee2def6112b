/** The limit of file sizes (RLIMIT_FSIZE) of the processes that write images, and of plimsoll itself. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ScanReport } from '#wire';
import { COMMAND, plimsoll } from '../support/command.ts';

const MiB = 2 ** 20;
const isRoot = process.getuid?.() === 0;

let directory: string;
const running: ChildProcess[] = [];
beforeEach(() => {
  // A tmpfs, whose yes rests on nothing else.
  directory = mkdtempSync('/dev/shm/plimsoll-limit-');
  chmodSync(directory, 0o755);
});
afterEach(async () => {
  for (const child of running.splice(0)) await ended(child);
  rmSync(directory, { recursive: true, force: true });
});

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

function made(name: string, format: string, ...options: string[]): string {
  const path = join(directory, name);
  execFileSync('qemu-img', ['create', '-q', '-f', format, ...options, path, '32M']);
  return path;
}

/** qemu-io with the image open until it is told otherwise, under a limit. */
async function opened(image: string, format: string, limit: string): Promise<ChildProcess> {
  const child = spawn('prlimit', [`--fsize=${limit}`, 'qemu-io', '-f', format, image]);
  running.push(child);
  child.stdin.write('write -q 0 4k\n');
  await once(child.stdout, 'data');
  return child;
}

/** What a process prints after `commands`, until it ends. */
async function outputOf({ stdin, stdout }: ChildProcess, commands: string): Promise<string> {
  let output = '';
  stdout?.on('data', (chunk) => (output += String(chunk)));
  stdin?.end(commands);
  if (stdout !== null) await once(stdout, 'end');
  return output;
}

interface Answer {
  readonly code: number | null;
  /** Of the image, then of the store. */
  readonly codes: readonly string[];
  readonly messages: string;
}

function answerOf(code: number | null, stdout: string): Answer {
  const [store] = (JSON.parse(stdout) as ScanReport).stores;
  const findings = [...(store?.images[0]?.findings ?? []), ...(store?.findings ?? [])];
  return {
    code,
    codes: findings.map((finding) => finding.code).filter((one) => one.includes('PROCESS_LIMIT')),
    messages: findings.map(({ message }) => message).join('\n'),
  };
}

async function scanned(): Promise<Answer> {
  const { code, stdout } = await plimsoll(['scan', '--json', directory]);
  return answerOf(code, stdout);
}

function scannedWithoutPrivileges(): Answer {
  const words = ['--reuid', '65534', '--clear-groups', '--', process.execPath, COMMAND, 'scan', '--json', directory];
  const { status, stdout } = spawnSync('setpriv', words, { encoding: 'utf8' });
  return answerOf(status, stdout);
}

describe('a process whose file size limit is below the maximum length of an image', () => {
  it.each([
    ['raw', []],
    ['qcow2', []],
    ['qcow2', ['-o', 'preallocation=falloc']],
  ] as const)('makes the answer no, by name: %s %j', async (format, options) => {
    const image = made(`disk.${format}`, format, ...options);
    expect((await scanned()).code).toBe(0);
    const writer = await opened(image, format, String(8 * MiB));
    const { code, codes, messages } = await scanned();
    expect([code, codes]).toEqual([10, ['EXCEEDS_PROCESS_LIMIT', 'IMAGES_EXCEED_PROCESS_LIMIT']]);
    expect(messages).toMatch(/Writes will fail: process \d+ \(qemu-io\).*files of 8 MiB at most \(RLIMIT_FSIZE\)/);
    // The oracle: QEMU, whose write past the limit fails.
    expect(await outputOf(writer, 'write -q 0 32M\nflush\nquit\n')).toContain('File too large');
    await ended(writer);
    expect(await scanned()).toMatchObject({ code: 0, codes: [] });
  });

  it('leaves the answer unknown if only the bound of the length exceeds the limit', async () => {
    const image = made('disk.qcow2', 'qcow2');
    const { images } = (JSON.parse((await plimsoll(['scan', '--json', directory])).stdout) as ScanReport).stores[0] ?? { images: [] };
    const { expected, maxLength } = images[0] ?? {};
    expect(expected).toBeLessThan(maxLength ?? 0);
    await opened(image, 'qcow2', String((maxLength ?? 0) - 1));
    expect(await scanned()).toMatchObject({ code: 11, codes: ['MAY_EXCEED_PROCESS_LIMIT', 'IMAGES_EXCEED_PROCESS_LIMIT'] });
  });

  it('has no effect if the limit is large enough or absent', async () => {
    const image = made('disk.raw', 'raw');
    for (const limit of [String(32 * MiB), 'unlimited']) {
      const writer = await opened(image, 'raw', limit);
      expect(await scanned()).toMatchObject({ code: 0, codes: [] });
      await ended(writer);
    }
  });

  it.skipIf(!isRoot)('of another user leaves the answer unknown if it is limited, and not otherwise', async () => {
    const image = made('disk.raw', 'raw');
    chmodSync(image, 0o644);
    const free = await opened(image, 'raw', 'unlimited');
    const before = scannedWithoutPrivileges();
    expect(before.codes).not.toContain('PROCESS_LIMIT_UNREAD');
    await ended(free);
    await opened(image, 'raw', String(8 * MiB));
    const limited = scannedWithoutPrivileges();
    expect([before.code, limited.code, limited.codes]).toEqual([0, 11, ['MAY_EXCEED_PROCESS_LIMIT', 'IMAGES_EXCEED_PROCESS_LIMIT']]);
    expect(limited.messages).toContain('could not be inspected');
  });
});

describe('create under a limit of file sizes', () => {
  it.each([
    ['raw', '32M'],
    ['qcow2', '32M', '-o', 'preallocation=full'],
    ['qcow2', '32M', '-o', 'data_file=data.raw,data_file_raw=on'],
  ])('refuses before anything is made: %s %s %s %s', (format, size, ...options) => {
    const target = join(directory, 'made', 'new.img');
    mkdirSync(join(directory, 'made'));
    const words = [`--fsize=${8 * MiB}`, process.execPath, COMMAND, 'create', '-f', format, ...options, target, size];
    const { status, signal, stderr } = spawnSync('prlimit', words, { encoding: 'utf8' });
    expect([status, signal, stderr]).toEqual([18, null, expect.stringContaining('which this process may write to a file (RLIMIT_FSIZE)')]);
    expect(readdirSync(join(directory, 'made'))).toEqual([]);
  });

  it('creates an image that fits within the limit', () => {
    const target = join(directory, 'new.qcow2');
    const words = [`--fsize=${8 * MiB}`, process.execPath, COMMAND, 'create', '-q', '-f', 'qcow2', target, '1G'];
    expect([spawnSync('prlimit', words).status, existsSync(target)]).toEqual([0, true]);
  });
});
