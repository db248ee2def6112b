import { existsSync, fstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeAll } from './allocate.ts';
import { loadFfi, resetFfiForTests, setFfiForTests } from './ffi.ts';
import { createTemporary, renameWithoutReplacing } from './temporary-file.ts';

const directories: string[] = [];
let directory: string;
const at = (name: string): string => join(directory, name);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'plimsoll-temporary-'));
  directories.push(directory);
});
afterEach(resetFfiForTests);
afterAll(() => directories.forEach((path) => rmSync(path, { recursive: true })));

describe('createTemporary()', () => {
  it('creates a private file beside the final name, which appears when it is published', async () => {
    const file = await createTemporary(at('image.qcow2'));
    expect(fstatSync(file.fd).mode & 0o777).toBe(0o600);
    expect(existsSync(at('image.qcow2'))).toBe(false);
    await writeAll(file.fd, Buffer.from('whole'), 0);
    await file.publish();
    expect(readFileSync(at('image.qcow2'), 'utf8')).toBe('whole');
    expect(statSync(at('image.qcow2'))).toMatchObject({ nlink: 1 });
    expect(statSync(at('image.qcow2')).mode & 0o777).toBe(0o644 & ~process.umask());
    expect(readdirSync(directory)).toEqual(['image.qcow2']);
  });

  it('obeys the umask', async () => {
    const before = process.umask(0o077);
    try {
      await using file = await createTemporary(at('private'));
      await file.publish();
      expect(statSync(at('private')).mode & 0o777).toBe(0o600);
    } finally {
      process.umask(before);
    }
  });

  it.each(['file', 'dangling link'])('refuses a final name that is taken by a %s', async (what) => {
    if (what === 'file') writeFileSync(at('taken'), 'old');
    else symlinkSync('nowhere', at('taken'));
    await expect(createTemporary(at('taken'))).rejects.toMatchObject({ kind: 'conflict', code: 'FILE_EXISTS' });
    expect(readdirSync(directory)).toEqual(['taken']);
  });

  it('never replaces a file created meanwhile, and leaves nothing behind', async () => {
    const file = await createTemporary(at('raced'));
    writeFileSync(at('raced'), 'theirs');
    await expect(file.publish()).rejects.toMatchObject({ kind: 'conflict', code: 'FILE_EXISTS' });
    expect(readFileSync(at('raced'), 'utf8')).toBe('theirs');
    expect(readdirSync(directory)).toEqual(['raced']);
    expect(() => fstatSync(file.fd)).toThrow('EBADF');
  });

  it('lets one of two writers of one name win', async () => {
    const files = await Promise.all([createTemporary(at('one')), createTemporary(at('one'))]);
    const results = await Promise.allSettled(files.map((file) => file.publish()));
    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(readdirSync(directory)).toEqual(['one']);
  });

  it('leaves nothing when it is discarded, twice too', async () => {
    const file = await createTemporary(at('never'));
    await file.discard();
    await file.discard();
    expect(readdirSync(directory)).toEqual([]);
    await expect(file.publish()).rejects.toMatchObject({ kind: 'bug' });
  });

  it('keeps the published file when the scope ends', async () => {
    {
      await using file = await createTemporary(at('kept'));
      await file.publish();
    }
    expect(readdirSync(directory)).toEqual(['kept']);
  });

  it('accepts names as long as the filesystem does', async () => {
    const name = 'ü'.repeat(127);
    await using file = await createTemporary(at(name));
    await file.publish();
    expect(readdirSync(directory)).toEqual([name]);
  });

  it('reports a directory that is missing or not a directory', async () => {
    await expect(createTemporary(at('missing/file'))).rejects.toMatchObject({ kind: 'not-found', code: 'IO_ENOENT' });
    writeFileSync(at('file'), '');
    await expect(createTemporary(at('file/below'))).rejects.toMatchObject({ kind: 'not-found', code: 'IO_ENOTDIR' });
  });
});

describe('renameWithoutReplacing(), for filesystems without hard links', () => {
  it('renames, but not over another file', async () => {
    writeFileSync(at('a'), 'a');
    await renameWithoutReplacing(at('a'), at('b'), undefined);
    expect(readdirSync(directory)).toEqual(['b']);
    writeFileSync(at('a'), 'a');
    await expect(renameWithoutReplacing(at('a'), at('b'), undefined)).rejects.toMatchObject({ kind: 'conflict', code: 'FILE_EXISTS' });
  });

  it('is unsupported without the FFI', async () => {
    setFfiForTests(undefined);
    expect(await loadFfi()).toBeUndefined();
    await expect(renameWithoutReplacing(at('a'), at('b'), undefined)).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'NO_ATOMIC_NAME',
    });
  });
});
