import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addInternalSnapshot } from './demo-snapshot.ts';

const MiB = 1024 * 1024;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-snapshot-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function anImage(preallocation: string, options = ''): string {
  const path = join(directory, `${preallocation}.qcow2`);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `preallocation=${preallocation}${options}`, path, '64M']);
  return path;
}

function qemu(...words: string[]): string {
  return execFileSync('qemu-img', words, { encoding: 'utf8' });
}

describe('addInternalSnapshot()', () => {
  it.each(['off', 'metadata', 'falloc'])(
    'gives a snapshot that qemu-img lists, in an image that it finds valid (preallocation=%s)',
    async (preallocation) => {
      const path = anImage(preallocation);
      await addInternalSnapshot(path, 'before-upgrade');
      expect(qemu('check', path)).toContain('No errors were found');
      expect(qemu('snapshot', '-l', path)).toMatch(/^1\s+before-upgrade\s/m);
    },
  );

  it('keeps the data of the snapshot apart from later writes of the guest', async () => {
    const path = anImage('off');
    execFileSync('qemu-io', ['-c', 'write -P 17 0 1M', path]);
    await addInternalSnapshot(path, 'old');
    execFileSync('qemu-io', ['-c', 'write -P 34 0 1M', path]);
    expect(qemu('check', path)).toContain('No errors were found');
    expect(execFileSync('qemu-io', ['-c', 'read -P 34 0 1M', path], { encoding: 'utf8' })).not.toContain('Pattern verification failed');
    qemu('snapshot', '-a', 'old', path);
    expect(execFileSync('qemu-io', ['-c', 'read -P 17 0 1M', path], { encoding: 'utf8' })).not.toContain('Pattern verification failed');
    expect(qemu('check', path)).toContain('No errors were found');
  });

  it('refuses an image that has a snapshot already', async () => {
    const path = anImage('off');
    await addInternalSnapshot(path, 'one');
    await expect(addInternalSnapshot(path, 'two')).rejects.toMatchObject({ kind: 'unsupported', code: 'DEMO_SNAPSHOT' });
  });

  it('refuses refcounts of another width, and does not change the file', async () => {
    const path = anImage('metadata', ',refcount_bits=8');
    const before = qemu('map', '--output=json', path);
    await expect(addInternalSnapshot(path, 'one')).rejects.toMatchObject({ kind: 'unsupported' });
    expect(qemu('map', '--output=json', path)).toBe(before);
    expect(qemu('check', path)).toContain('No errors were found');
  });

  it('refuses a file that is not a qcow2 image', async () => {
    const path = join(directory, 'zeros');
    writeFileSync(path, Buffer.alloc(MiB));
    await expect(addInternalSnapshot(path, 'one')).rejects.toMatchObject({ kind: 'unsupported' });
  });
});
