import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { resetFfiForTests, setFfiForTests } from './ffi.ts';
import { openImageFile } from './open-file.ts';
import { type WalkEntry, walkFiles, type WalkOptions } from './walk.ts';

const MiB = 2 ** 20;
const mountable = canMount('walks over mounts and btrfs subvolumes; unreadable directories');
const roots: string[] = [];
let root: string;
const at = (...names: string[]): string => join(root, ...names);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'plimsoll-walk-'));
  roots.push(root);
});
afterEach(resetFfiForTests);
// rm, since Node's own removal recurses on the stack.
afterAll(() => execFileSync('rm', ['-rf', ...roots]));

async function walk(directories: readonly (string | Buffer)[], options?: WalkOptions): Promise<WalkEntry[]> {
  const entries: WalkEntry[] = [];
  for await (const entry of walkFiles(directories, options)) entries.push(entry);
  return entries;
}
const pathsOf = (entries: readonly WalkEntry[], kind: WalkEntry['kind']): string[] =>
  entries.flatMap((entry) => (entry.kind === kind && 'path' in entry ? [entry.path] : [])).sort();

describe('walkFiles()', () => {
  it('finds regular files, follows no link, counts the rest', async () => {
    mkdirSync(at('a', 'b'), { recursive: true });
    for (const name of ['one', 'a/two', 'a/b/three']) writeFileSync(at(name), name);
    symlinkSync('/etc', at('link-to-directory'));
    symlinkSync('one', at('link-to-file'));
    symlinkSync('.', at('a', 'loop'));
    execFileSync('mkfifo', [at('fifo')]);
    const entries = await walk([root]);
    expect(pathsOf(entries, 'file')).toEqual([at('a/b/three'), at('a/two'), at('one')]);
    expect(entries.at(-1)).toEqual({ kind: 'end', fileCount: 3, directoryCount: 3, symlinkCount: 3, specialCount: 1 });
  });

  it('enters a named directory that is a link, and shows it by the given name', async () => {
    mkdirSync(at('real'));
    writeFileSync(at('real', 'file'), '');
    symlinkSync('real', at('link'));
    expect(pathsOf(await walk([at('link')]), 'file')).toEqual([at('link/file')]);
    expect(pathsOf(await walk([at('link/')]), 'file')).toEqual([at('link/file')]);
  });

  it.each([
    ['twice', ['a', 'a']],
    ['parent first', ['.', 'a', 'a/b']],
    ['child first', ['a/b', 'a', '.']],
    ['by a link', ['link', 'a', '.']],
  ])('reads a directory once when it is given %s', async (_, names) => {
    mkdirSync(at('a', 'b'), { recursive: true });
    symlinkSync('a', at('link'));
    for (const name of ['one', 'a/two', 'a/b/three']) writeFileSync(at(name), name);
    const entries = await walk(names.map((name) => at(name)));
    const contents = entries.flatMap((entry) => (entry.kind === 'file' ? [readFileSync(entry.pathBytes, 'utf8')] : []));
    const expected = names.includes('.') ? ['a/b/three', 'a/two', 'one'] : ['a/b/three', 'a/two'];
    expect(contents.sort()).toEqual(expected);
  });

  it('keeps names that are not UTF-8 openable', async () => {
    mkdirSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0xfe)]));
    const name = Buffer.concat([Buffer.from(`${root}/`), Buffer.of(0xfe, 0x2f, 0xff, 0x0a, 0x41)]);
    writeFileSync(name, 'odd');
    const [entry] = await walk([root]);
    if (entry?.kind !== 'file') throw new Error('no file found');
    expect(entry.pathBytes).toEqual(name);
    expect(entry.path).toBe(`${root}/\udcfe/\udcff\nA`);
    await using file = await openImageFile(entry.pathBytes);
    expect(file.device.byteLength).toBe(3);
  });

  it('reports a path that is missing or not a directory, and continues', async () => {
    writeFileSync(at('file'), '');
    const entries = await walk([at('missing'), at('file'), root]);
    expect(entries[0]).toMatchObject({ kind: 'error', path: at('missing'), error: { kind: 'not-found', code: 'IO_ENOENT' } });
    expect(entries[1]).toMatchObject({ kind: 'error', path: at('file'), error: { kind: 'usage', code: 'NOT_A_DIRECTORY' } });
    expect(pathsOf(entries, 'file')).toEqual([at('file')]);
  });

  it.skipIf(!mountable)('reports an unreadable directory, and continues', () => {
    mkdirSync(at('closed'), { mode: 0 });
    mkdirSync(at('open'));
    writeFileSync(at('open', 'file'), '');
    execFileSync('chmod', ['755', root]);
    // Root may read everything; a process without its capabilities may not.
    const script = `
      import { walkFiles } from './src/host/walk.ts';
      (async () => { for await (const entry of walkFiles([process.argv[1]])) console.log(entry.kind, entry.path ?? '', entry.error?.code ?? ''); })();
    `;
    const text = execFileSync(
      'setpriv',
      [
        '--bounding-set',
        '-all',
        '--inh-caps',
        '-all',
        '--reuid',
        '0',
        process.execPath,
        '--conditions=source',
        '--import',
        'tsx',
        '--input-type=module',
        '-e',
        script,
        root,
      ],
      { encoding: 'utf8' },
    );
    expect(
      text
        .trimEnd()
        .split('\n')
        .map((line) => line.trimEnd())
        .sort(),
    ).toEqual(['end', `error ${at('closed')} IO_EACCES`, `file ${at('open/file')}`].sort());
  });

  it('walks a deep tree without recursion', async () => {
    let path = root;
    for (let depth = 0; depth < 1900; depth += 1) path += '/d';
    mkdirSync(path, { recursive: true });
    writeFileSync(`${path}/f`, '');
    const entries = await walk([root]);
    expect(entries.at(-1)).toMatchObject({ fileCount: 1, directoryCount: 1901 });
  });

  it('reports a directory whose name has become too long', async () => {
    const name = 'x'.repeat(255);
    // Deeper than PATH_MAX is only reachable by moving one tree into another.
    const half = Array.from({ length: 9 }, () => name).join('/');
    mkdirSync(at('upper', half), { recursive: true });
    mkdirSync(at('lower', half), { recursive: true });
    renameSync(at('lower'), at('upper', half, 'lower'));
    const entries = await walk([root]);
    expect(entries[0]).toMatchObject({ kind: 'error', error: { code: 'IO_ENAMETOOLONG' } });
  });

  it('stops when it is aborted', async () => {
    for (let index = 0; index < 10; index += 1) writeFileSync(at(`f${index}`), '');
    const controller = new AbortController();
    const seen: string[] = [];
    const run = async (): Promise<void> => {
      for await (const entry of walkFiles([root], { signal: controller.signal })) {
        if (entry.kind === 'file') seen.push(entry.path);
        controller.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(seen).toHaveLength(1);
  });

  it('walks 10,000 files', async () => {
    for (let index = 0; index < 10_000; index += 1) writeFileSync(at(`f${index}`), '');
    expect((await walk([root])).at(-1)).toMatchObject({ fileCount: 10_000 });
  });
});

describe.skipIf(!mountable)('walkFiles() at the borders of filesystems', () => {
  it('does not enter another filesystem, unless it was named', async () => {
    await using outer = await withFilesystem('ext4', 16 * MiB);
    await using other = await withFilesystem('tmpfs', 8 * MiB);
    writeFileSync(join(outer.path, 'mine'), '');
    writeFileSync(join(other.path, 'other'), '');
    const border = join(outer.path, 'border');
    mkdirSync(border);
    execFileSync('mount', ['--bind', other.path, border]);
    try {
      const entries = await walk([outer.path]);
      expect(pathsOf(entries, 'file')).toEqual([join(outer.path, 'mine')]);
      expect(pathsOf(entries, 'other-filesystem')).toEqual([border]);
      for (const order of [
        [outer.path, border],
        [border, outer.path],
      ]) {
        const both = await walk(order);
        expect(pathsOf(both, 'file')).toEqual([join(border, 'other'), join(outer.path, 'mine')]);
        expect(pathsOf(both, 'other-filesystem')).toEqual([]);
      }
    } finally {
      execFileSync('umount', [border]);
    }
  });

  it.each(['with', 'without'])('enters btrfs subvolumes, %s the FFI', async (way) => {
    if (way === 'without') setFfiForTests(undefined);
    await using mounted = await withFilesystem('btrfs', 128 * MiB);
    const sub = join(mounted.path, 'sub');
    execFileSync('btrfs', ['-q', 'subvolume', 'create', sub]);
    writeFileSync(join(sub, 'file'), '');
    execFileSync('btrfs', ['-q', 'subvolume', 'snapshot', sub, join(mounted.path, 'snap')]);
    const entries = await walk([mounted.path]);
    expect(pathsOf(entries, 'file')).toEqual([join(mounted.path, 'snap/file'), join(sub, 'file')]);
    expect(pathsOf(entries, 'other-filesystem')).toEqual([]);
  });

  it('does not read a directory again through a bind mount', async () => {
    await using mounted = await withFilesystem('ext4', 16 * MiB);
    mkdirSync(join(mounted.path, 'a'));
    mkdirSync(join(mounted.path, 'b'));
    writeFileSync(join(mounted.path, 'a', 'file'), '');
    execFileSync('mount', ['--bind', join(mounted.path, 'a'), join(mounted.path, 'b')]);
    try {
      expect((await walk([mounted.path])).at(-1)).toMatchObject({ fileCount: 1 });
    } finally {
      execFileSync('umount', [join(mounted.path, 'b')]);
    }
  });
});
