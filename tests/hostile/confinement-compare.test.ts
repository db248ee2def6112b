/** The jail of `--compare`: a compromised tool can read the image, but change neither the image nor the caller's view of it. */
import { closeSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { JAILED_FILE, runJailedTool } from '#host';

const directory = mkdtempSync(join(tmpdir(), 'plimsoll-confinement-compare-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const path = join(directory, 'json:{} -x\nimage');
const LIMITS = { seconds: 20, memoryBytes: 2 ** 30, outputBytes: 2 ** 20 };

beforeEach(() => writeFileSync(path, 'the bytes of an image'));

async function inJail(script: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const fd = openSync(path, 'r');
  try {
    return await runJailedTool(['sh', '-c', script, 'sh', JAILED_FILE], { ...LIMITS, fd });
  } finally {
    closeSync(fd);
  }
}

describe('a tool in the jail of --compare', () => {
  it('reads the image', async () => {
    expect(await inJail('cat "$1"')).toMatchObject({ code: 0, stdout: 'the bytes of an image' });
  });

  it.each([
    ['opens it for writing', 'exec 4<>"$1"'],
    ['appends to it', 'echo more >>"$1"'],
    ['truncates it', 'truncate -s 0 "$1"'],
    ['touches it', 'touch -d 2001-01-01 "$1"'],
    ['changes its mode', 'chmod 777 "$1"'],
    ['opens each of its descriptors anew for writing', 'for fd in /proc/self/fd/* /proc/$$/fd/*; do echo more >>"$fd"; done; exit 1'],
    ['opens the descriptor of the first process', 'echo more >>/proc/1/fd/3'],
    ['mounts it for writing', 'mount -o remount,rw "$1"'],
  ])('fails when it %s', async (_, script) => {
    const before = statSync(path);
    const { code } = await inJail(`${script} || exit 7`);
    expect(code).not.toBe(0);
    const after = statSync(path);
    expect(readFileSync(path, 'utf8')).toBe('the bytes of an image');
    expect([after.mtimeMs, after.ctimeMs, after.mode]).toEqual([before.mtimeMs, before.ctimeMs, before.mode]);
  });

  it('holds no descriptor of the image', async () => {
    const { stdout } = await inJail('ls -l /proc/self/fd');
    expect(stdout).not.toContain('image');
  });

  it('does not run if the name is now that of another file, or of none', async () => {
    const fd = openSync(path, 'r');
    const run = (): Promise<unknown> => runJailedTool(['cat', JAILED_FILE], { ...LIMITS, fd });
    const other = join(directory, 'other');
    writeFileSync(other, 'another image');
    renameSync(other, path);
    await expect(run()).rejects.toMatchObject({ kind: 'conflict', code: 'FILE_REPLACED' });
    rmSync(path);
    await expect(run()).rejects.toMatchObject({ kind: 'conflict', code: 'FILE_REPLACED' });
    closeSync(fd);
  });
});
