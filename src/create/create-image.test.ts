/** New images beside those of qemu-img with the same options, on tmpfs, where st_blocks counts exactly the written bytes. */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GiB, MiB, TiB } from '#base';
import { canMount, withFilesystem } from '../../tests/support/loop-mount.ts';
import { qemuImg, qemuIo, runTool } from '../../tests/support/qemu.ts';
import { createImage, type CreateRequest } from './create-image.ts';
import { type NewImageFormat, parseCreateOptions } from './create-options.ts';
import { measureNew } from './measure-new.ts';
import { planNewQcow2 } from '#formats';

let root: string;
let directory: string;
let count = 0;

beforeAll(async () => {
  root = await mkdtemp('/dev/shm/plimsoll-create-');
});
beforeEach(async () => {
  count += 1;
  directory = join(root, String(count));
  await mkdir(directory);
});
afterAll(() => rm(root, { recursive: true, force: true }));

function create(path: string, list: string, capacity: number, format: NewImageFormat = 'qcow2', more: Partial<CreateRequest> = {}) {
  return createImage({ path, format, capacity, options: parseCreateOptions(format, [list]), ...more });
}

/** The output of qemu-img info, without names and without figures of the filesystem. */
async function described(path: string): Promise<unknown> {
  const {
    filename,
    children,
    'full-backing-filename': full,
    'actual-size': actual,
    ...info
  } = JSON.parse(await qemuImg(directory, 'info', '--output=json', path)) as Record<string, unknown>;
  expect([filename, children, full, actual]).toBeDefined();
  return info;
}

const K = 1024;

/** Options and capacity; odd capacities, all cluster sizes, all refcount widths, tables that move. */
const TWINS: readonly (readonly [list: string, capacity: number])[] = [
  ['', 40 * GiB],
  ['', 0],
  ['', 1000],
  ['', 5 * MiB + 512],
  ['preallocation=metadata', 40 * GiB],
  ['preallocation=metadata', 0],
  ['preallocation=metadata', 5 * MiB + 512],
  ['preallocation=metadata', 200 * GiB],
  ['preallocation=falloc', 20 * MiB + 512],
  ['preallocation=falloc', 0],
  ['preallocation=full', 20 * MiB + 3584],
  ['compat=0.10', 3 * GiB],
  ['compat=0.10,preallocation=metadata', 3 * GiB],
  ['compat=0.10,preallocation=full', 9 * MiB],
  ['cluster_size=512', 4 * GiB],
  ['cluster_size=512,refcount_bits=64', 3 * GiB],
  ['cluster_size=512,preallocation=metadata', 10 * MiB + 512],
  ['cluster_size=512,preallocation=metadata,refcount_bits=64', 40 * MiB],
  ['cluster_size=512,preallocation=falloc,refcount_bits=64', 40 * MiB],
  ['cluster_size=512,preallocation=full', 10 * MiB],
  ['cluster_size=1k,preallocation=metadata,refcount_bits=32', 20 * MiB + 1536],
  ['cluster_size=1k,preallocation=falloc,refcount_bits=32', 20 * MiB + 1536],
  ['cluster_size=2k,preallocation=metadata,refcount_bits=1', 64 * MiB],
  ['cluster_size=2k,refcount_bits=2', 64 * GiB],
  ['cluster_size=4k,preallocation=metadata,refcount_bits=64', GiB],
  ['cluster_size=4k,preallocation=falloc,refcount_bits=4', 100 * MiB + 512],
  ['cluster_size=8k,preallocation=metadata,lazy_refcounts=on', 2 * GiB],
  ['cluster_size=16k,extended_l2=on', 10 * GiB + 512],
  ['cluster_size=16k,extended_l2=on,preallocation=metadata', GiB + 512],
  ['cluster_size=32k,extended_l2=on,preallocation=falloc', 30 * MiB + 512],
  ['extended_l2=on,preallocation=full', 10 * MiB + 512],
  ['extended_l2=on,preallocation=metadata,refcount_bits=8', 20 * GiB],
  ['cluster_size=128k,preallocation=metadata,refcount_bits=64', 20 * GiB],
  ['cluster_size=256k,preallocation=metadata,refcount_bits=64,extended_l2=on', 30 * GiB],
  ['cluster_size=512k,preallocation=falloc,refcount_bits=1', 20 * MiB],
  ['cluster_size=1M,preallocation=metadata', TiB + 512],
  ['cluster_size=2M', 100 * TiB],
  ['cluster_size=2M,preallocation=metadata', 2100 * GiB],
  ['cluster_size=2M,preallocation=full,extended_l2=on', 9 * MiB],
  ['compression_type=zstd', GiB],
  ['compression_type=zstd,cluster_size=4k,preallocation=metadata', 100 * MiB],
  ['lazy_refcounts=on,refcount_bits=1', GiB],
  ['refcount_bits=64,preallocation=metadata', 40 * GiB],
  ['cluster_size=512k,preallocation=metadata,refcount_bits=64', 300 * GiB],
  ['nocow=on', GiB],
];

/** QEMU leaves stale bytes of a moved refcount table; all other bytes are equal. */
function hasStaleTable(list: string, capacity: number): boolean {
  const options = parseCreateOptions('qcow2', [list]);
  if (options.format !== 'qcow2') throw new Error('not qcow2');
  const { allocator } = planNewQcow2(options.qcow2, capacity);
  return allocator.abandoned.some((old) => allocator.free.freeAt(old.start, 1) > 0 || allocator.free.freeAt(old.end - 1, 1) > 0);
}

const mayMount = canMount('40 GiB reserved on ext4, a full filesystem, nocow on btrfs');

describe('createImage() beside qemu-img', () => {
  it.each(TWINS)('qcow2 "%s" of %d bytes: the same file', async (list, capacity) => {
    const [theirs, ours] = [join(directory, 'theirs'), join(directory, 'ours')];
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', ...(list === '' ? [] : ['-o', list]), theirs, String(capacity));
    await create(ours, list, capacity);
    const [their, our] = [statSync(theirs), statSync(ours)];
    expect([our.size, our.blocks * 512]).toEqual([their.size, their.blocks * 512]);
    const measured = measureNew('qcow2', capacity, parseCreateOptions('qcow2', [list]));
    expect([measured.length, measured.allocation]).toEqual([our.size, our.blocks * 512]);
    expect(await described(ours)).toEqual(await described(theirs));
    expect(await qemuImg(directory, 'check', ours)).toMatch(/No errors were found/);
    await qemuImg(directory, 'compare', '-q', '-s', theirs, ours);
    if (our.size < 64 * MiB && !hasStaleTable(list, capacity)) expect(readFileSync(ours).equals(readFileSync(theirs))).toBe(true);
    rmSync(ours);
    rmSync(theirs);
  });

  it.each([
    ['', 40 * GiB],
    ['', 1000],
    ['', 0],
    ['preallocation=falloc', 20 * MiB + 512],
    ['preallocation=full', 9 * MiB],
  ])('raw "%s" of %d bytes: the same file', async (list, capacity) => {
    const [theirs, ours] = [join(directory, 'theirs'), join(directory, 'ours')];
    await qemuImg(directory, 'create', '-q', '-f', 'raw', ...(list === '' ? [] : ['-o', list]), theirs, String(capacity));
    await create(ours, list, capacity, 'raw');
    const [their, our] = [statSync(theirs), statSync(ours)];
    expect([our.size, our.blocks]).toEqual([their.size, their.blocks]);
    const measured = measureNew('raw', capacity, parseCreateOptions('raw', [list]));
    expect([measured.length, measured.allocation]).toEqual([our.size, our.blocks * 512]);
  });

  it.each(['', 'data_file_raw=on', 'preallocation=falloc', 'preallocation=metadata,cluster_size=512', 'preallocation=full,extended_l2=on'])(
    'an external data file, "%s": both files the same',
    async (list) => {
      const options = (name: string) => ['data_file=' + name, list].filter((part) => part !== '').join(',');
      await qemuImg(directory, 'create', '-q', '-f', 'qcow2', '-o', options('d1.raw'), 'theirs', '20M');
      await create(join(directory, 'ours'), options('d2.raw'), 20 * MiB);
      for (const [theirs, ours] of [
        ['theirs', 'ours'],
        ['d1.raw', 'd2.raw'],
      ] as const) {
        const [their, our] = [statSync(join(directory, theirs)), statSync(join(directory, ours))];
        expect([our.size, our.blocks]).toEqual([their.size, their.blocks]);
      }
      expect(await qemuImg(directory, 'check', 'ours')).toMatch(/No errors were found/);
      await qemuIo({ path: join(directory, 'ours'), format: 'qcow2' }, ['write -q -P 7 0 1M', 'read -q -P 7 0 1M']);
    },
  );
});

describe('createImage() and the published table of 40 GiB images', () => {
  it.each([
    ['raw', '', 42949672960, 4096, 42949672960],
    ['qcow2', '', 197248, 200704, 42956488704],
    ['qcow2', 'preallocation=metadata', 42956488704, 6754304, 42956427264],
  ] as const)('%s "%s"', async (format, list, length, allocation, commitment) => {
    const path = join(directory, 'image');
    await create(path, list, 40 * GiB, format);
    const stat = statSync(path);
    expect([stat.size, stat.blocks * 512]).toEqual([length, allocation]);
    const measured = measureNew(format, 40 * GiB, parseCreateOptions(format, [list]));
    expect(measured).toMatchObject({ capacity: 42949672960, length, allocation });
    expect(Math.abs(measured.commitment - commitment)).toBeLessThanOrEqual(65536);
  });

  it.skipIf(!mayMount).each([
    ['raw', 42949672960, 42949672960],
    ['qcow2', 42956488704, 42956427264],
  ] as const)('%s, storage reserved by the system call', async (format, length, allocation) => {
    const measured = measureNew(format, 40 * GiB, parseCreateOptions(format, ['preallocation=falloc']));
    expect(measured).toMatchObject({ capacity: 42949672960, length, allocation, commitment: allocation, expected: allocation });
    await using filesystem = await withFilesystem('ext4', 44 * GiB, ['-m', '0']);
    const path = join(filesystem.path, 'image');
    await create(path, 'preallocation=falloc', 40 * GiB, format);
    const stat = statSync(path);
    expect(stat.size).toBe(length);
    // ext4 charges its extent tree on top.
    expect(stat.blocks * 512 - allocation).toBeGreaterThanOrEqual(0);
    expect(stat.blocks * 512 - allocation).toBeLessThanOrEqual(65536);
  });
});

describe('createImage(), overlays', () => {
  beforeEach(async () => {
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', 'base.qcow2', '5M');
    await qemuIo({ path: join(directory, 'base.qcow2'), format: 'qcow2' }, ['write -q -P 17 1M 1M']);
    writeFileSync(join(directory, 'base.raw'), Buffer.alloc(1000, 3));
  });

  it('takes the capacity of its base, and QEMU reads through it', async () => {
    const path = join(directory, 'overlay');
    const made = await createImage({
      path,
      format: 'qcow2',
      options: parseCreateOptions('qcow2', []),
      backing: { name: 'base.qcow2', format: 'qcow2' },
    });
    expect(made.capacity).toBe(5 * MiB);
    await qemuIo({ path, format: 'qcow2' }, [
      'read -q -P 17 1M 1M',
      'write -q -P 5 1M 64k',
      'read -q -P 5 1M 64k',
      'read -q -P 17 1088k 64k',
      'read -q -P 0 0 1M',
    ]);
    expect(await qemuImg(directory, 'check', path)).toMatch(/No errors were found/);
  });

  it.each([
    '',
    'cluster_size=512',
    'cluster_size=4k,compat=0.10',
    'extended_l2=on,preallocation=metadata',
    'extended_l2=on,preallocation=full',
  ])('records the base as qemu-img does: "%s"', async (list) => {
    const words = list === '' ? [] : ['-o', list];
    await qemuImg(directory, 'create', '-q', '-f', 'qcow2', ...words, '-b', 'base.raw', '-F', 'raw', 'theirs');
    await createImage({
      path: join(directory, 'ours'),
      format: 'qcow2',
      options: parseCreateOptions('qcow2', [list]),
      backing: { name: 'base.raw', format: 'raw' },
    });
    expect(readFileSync(join(directory, 'ours')).equals(readFileSync(join(directory, 'theirs')))).toBe(true);
  });

  it('takes backing_file and backing_fmt as options too', async () => {
    await createImage({
      path: join(directory, 'ours'),
      format: 'qcow2',
      options: parseCreateOptions('qcow2', ['backing_file=base.raw,backing_fmt=raw']),
    });
    expect(await described(join(directory, 'ours'))).toMatchObject({
      'backing-filename': 'base.raw',
      'backing-filename-format': 'raw',
      'virtual-size': 1024,
    });
  });

  it.each([
    ['missing', { name: 'nothing.raw', format: 'raw' }, 'not-found', undefined],
    ['a directory', { name: '.', format: 'raw' }, 'refused', undefined],
    ['no qcow2', { name: 'base.raw', format: 'qcow2' }, 'corrupt', 'BACKING_FORMAT'],
    ['a protocol', { name: 'nbd:localhost:1', format: 'raw' }, 'usage', 'OPTION_VALUE'],
    ['a name of 1024 bytes', { name: `${'./'.repeat(507)}base.raw//`.replace(/\/\/$/, ''), format: 'raw' }, undefined, undefined],
    ['a name beyond 1023 bytes', { name: `${'./'.repeat(520)}base.raw`, format: 'raw' }, 'usage', 'CREATE_BACKING_NAME'],
  ] as const)('a base that is %s', async (_what, backing, kind, code) => {
    const making = createImage({
      path: join(directory, 'overlay'),
      format: 'qcow2',
      capacity: MiB,
      options: parseCreateOptions('qcow2', []),
      backing,
    });
    if (kind === undefined) return expect(making).resolves.toMatchObject({ capacity: MiB });
    await expect(making).rejects.toMatchObject({ kind, ...(code === undefined ? {} : { code }) });
    expect(readdirSync(directory).sort()).toEqual(['base.qcow2', 'base.raw']);
  });

  it('refuses a base for raw, and preallocation over a base', async () => {
    const backing = { name: 'base.raw', format: 'raw' } as const;
    await expect(create(join(directory, 'x'), '', MiB, 'raw', { backing })).rejects.toMatchObject({ kind: 'usage' });
    await expect(create(join(directory, 'x'), 'preallocation=metadata', MiB, 'qcow2', { backing })).rejects.toMatchObject({
      kind: 'usage',
      code: 'OPTION_CONFLICT',
    });
  });
});

describe('createImage(), on failure', () => {
  it('does not touch an existing file', async () => {
    const path = join(directory, 'precious');
    writeFileSync(path, 'mine');
    await expect(create(path, '', MiB)).rejects.toMatchObject({ kind: 'conflict' });
    expect(readFileSync(path, 'utf8')).toBe('mine');
    expect(readdirSync(directory)).toEqual(['precious']);
  });

  it('does not touch an existing data file, and creates no image beside it', async () => {
    writeFileSync(join(directory, 'd.raw'), 'mine');
    await expect(create(join(directory, 'image'), 'data_file=d.raw', MiB)).rejects.toMatchObject({ kind: 'conflict' });
    expect(readdirSync(directory)).toEqual(['d.raw']);
  });

  it.each(['raw', 'qcow2'] as const)('leaves nothing behind of an interrupted %s', async (format) => {
    const abort = new AbortController();
    const seen: number[] = [];
    const making = create(join(directory, 'image'), 'preallocation=full', 64 * MiB, format, {
      signal: abort.signal,
      onProgress: (done, total) => {
        expect(total).toBe(64 * MiB);
        seen.push(done);
        if (done >= 5 * MiB) abort.abort(new Error('enough'));
      },
    });
    await expect(making).rejects.toThrow('enough');
    expect(seen).toEqual([1, 2, 3, 4, 5].map((step) => step * MiB));
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves nothing behind of an interrupted image with a data file', async () => {
    const abort = new AbortController();
    const making = create(join(directory, 'image'), 'preallocation=full,data_file=d.raw', 8 * MiB, 'qcow2', {
      signal: abort.signal,
      onProgress: (done) => done === 8 * MiB && abort.abort(new Error('enough')),
    });
    await expect(making).rejects.toThrow('enough');
    expect(readdirSync(directory)).toEqual([]);
  });

  it.skipIf(!mayMount).each([
    ['preallocation=falloc', 'qcow2'],
    ['preallocation=full', 'qcow2'],
    ['preallocation=full', 'raw'],
    ['preallocation=falloc', 'raw'],
  ] as const)('refuses an image that does not fit before it writes: %s %s', async (list, format) => {
    await using filesystem = await withFilesystem('tmpfs', 4 * MiB);
    const path = join(filesystem.path, 'image');
    await expect(create(path, list, 16 * MiB, format)).rejects.toMatchObject({ kind: 'io', code: 'NO_ROOM', where: { image: path } });
    expect(readdirSync(filesystem.path)).toEqual([]);
  });

  it('leaves nothing behind when the filesystem is full', async () => {
    await using filesystem = await withFilesystem('tmpfs', 4 * MiB);
    const path = join(filesystem.path, 'image');
    // Metadata of 8 MiB.
    const making = create(path, 'preallocation=metadata', 64 * GiB);
    await expect(making).rejects.toMatchObject({ kind: 'io', code: 'IO_ENOSPC', where: { image: path } });
    expect(readdirSync(filesystem.path)).toEqual([]);
    expect(Number((await runTool('df', ['--output=used', '-B1', filesystem.path])).split('\n')[1])).toBe(0);
  });

  it('refuses encryption by name, and capacities beyond any table', async () => {
    const path = join(directory, 'image');
    await expect(create(path, 'encrypt.format=luks,encrypt.key-secret=s', MiB)).rejects.toMatchObject({
      kind: 'unsupported',
      code: 'CREATE_ENCRYPTED',
    });
    await expect(create(path, 'cluster_size=512', 200 * GiB)).rejects.toMatchObject({ kind: 'usage', code: 'CREATE_CAPACITY' });
    await expect(create(path, '', 3 * 1024 * TiB)).rejects.toMatchObject({ kind: 'usage', code: 'CREATE_CAPACITY' });
    await expect(create(path, '', 0.5)).rejects.toMatchObject({ kind: 'usage', code: 'CREATE_CAPACITY' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it.skipIf(!mayMount)('marks the file on btrfs for nocow=on', async () => {
    await using filesystem = await withFilesystem('btrfs', 128 * MiB);
    for (const [name, list] of [
      ['with', 'nocow=on'],
      ['without', 'nocow=off'],
    ] as const)
      await create(join(filesystem.path, name), list, 64 * K);
    expect((await runTool('lsattr', [join(filesystem.path, 'with')])).split(' ')[0]).toContain('C');
    expect((await runTool('lsattr', [join(filesystem.path, 'without')])).split(' ')[0]).not.toContain('C');
  });
});
