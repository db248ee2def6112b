/** QEMU itself holds the locks that are looked for. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { nbdGreeting } from '../../tests/support/holders.ts';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { parseLockRows } from './lock-rows.ts';
import { writersIn } from './locks.ts';
import { openImageFile } from './open-file.ts';

const mountable = canMount("QEMU's locks on a btrfs subvolume");
let directory: string;
let image: string;
const children: ChildProcess[] = [];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-locks-'));
  image = join(directory, 'image.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M']);
});
afterEach(async () => {
  resetFfiForTests();
  for (const child of children.splice(0)) {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

/** qemu-io with the image open, waiting for commands: its first answer says that the image is open. */
async function qemuIo(...options: string[]): Promise<void> {
  const child = spawn('qemu-io', options, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  child.stdin.write('length\n');
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (text: Buffer) => text.includes('16 MiB') && resolve(undefined));
    child.once('exit', () => reject(new Error('qemu-io ended')));
  });
}

async function qemuNbd(...options: string[]): Promise<void> {
  const socket = join(directory, `nbd-${children.length}.sock`);
  const child = spawn('qemu-nbd', ['-k', socket, '-t', '-f', 'qcow2', ...options], { stdio: 'inherit' });
  children.push(child);
  while (!existsSync(socket)) {
    if (child.exitCode !== null) throw new Error('qemu-nbd did not start');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await nbdGreeting(socket);
}

async function openForWriting(path: string): Promise<boolean | undefined> {
  await using file = await openImageFile(path);
  return (await file.facts()).openForWriting;
}

describe.each(['asked of the kernel', 'read from /proc/locks'])('openForWriting, %s', (way) => {
  const prepare = (): void => {
    if (way === 'read from /proc/locks') setFfiForTests(undefined);
  };

  it('is false without any user', async () => {
    prepare();
    expect(await openForWriting(image)).toBe(false);
  });

  it('is true while qemu-io has it open for writing, and false afterwards', async () => {
    prepare();
    await qemuIo(image);
    expect(await openForWriting(image)).toBe(true);
    const child = children[0];
    const gone = new Promise((resolve) => child?.once('exit', resolve));
    child?.stdin?.end('quit\n');
    await gone;
    children.length = 0;
    expect(await openForWriting(image)).toBe(false);
  });

  it('is false while qemu-io only reads it', async () => {
    prepare();
    await qemuIo('-r', image);
    expect(await openForWriting(image)).toBe(false);
  });

  it('is true while qemu-nbd serves it, false while it serves it read-only', async () => {
    prepare();
    await qemuNbd('--read-only', image);
    expect(await openForWriting(image)).toBe(false);
    children[0]?.kill('SIGKILL');
    await new Promise((resolve) => children[0]?.once('exit', resolve));
    children.length = 0;
    rmSync(join(directory, 'nbd-0.sock'), { force: true });
    await qemuNbd(image);
    expect(await openForWriting(image)).toBe(true);
    rmSync(join(directory, 'nbd-0.sock'), { force: true });
  });

  it('is false for a backing file whose overlay is written', async () => {
    prepare();
    const overlay = join(directory, 'overlay.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'qcow2', overlay]);
    await qemuIo(overlay);
    expect(await openForWriting(overlay)).toBe(true);
    expect(await openForWriting(image)).toBe(false);
  });

  it.skipIf(!mountable)('is true on a btrfs subvolume, whose device number is its own', async () => {
    prepare();
    await using filesystem = await withFilesystem('btrfs', 128 * 2 ** 20);
    execFileSync('btrfs', ['-q', 'subvolume', 'create', join(filesystem.path, 'sub')]);
    const path = join(filesystem.path, 'sub', 'image.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '16M']);
    await qemuIo(path);
    expect(await openForWriting(path)).toBe(true);
    const child = children.pop();
    const gone = new Promise((resolve) => child?.once('exit', resolve));
    child?.kill('SIGKILL');
    await gone;
  });

  it('does not prevent QEMU from opening the image for writing', async () => {
    prepare();
    await using file = await openImageFile(image);
    await file.facts();
    expect(execFileSync('qemu-io', ['-c', 'write 0 64k', image], { encoding: 'utf8' })).toContain('wrote 65536/65536');
  });
});

describe('writersIn()', () => {
  it('matches byte-range locks over 101 to 103, held, of either kind', () => {
    const text = [
      '1: OFDLCK ADVISORY  READ -1 08:02:11 101 101',
      '2: POSIX  ADVISORY  WRITE 77 08:02:12 0 EOF',
      '3: OFDLCK ADVISORY  READ -1 fd:1a:13 103 103',
      '4: OFDLCK ADVISORY  READ -1 08:02:14 100 100',
      '5: OFDLCK ADVISORY  READ -1 08:02:15 201 201',
      '6: FLOCK  ADVISORY  WRITE 78 08:02:16 0 EOF',
      '7: POSIX  ADVISORY  READ 79 08:02:17 104 EOF',
      '2: -> POSIX  ADVISORY  WRITE 80 08:02:18 0 EOF',
      '',
    ].join('\n');
    expect([...writersIn(parseLockRows(text))].sort()).toEqual(['253:26:13', '8:2:11', '8:2:12']);
  });
});
