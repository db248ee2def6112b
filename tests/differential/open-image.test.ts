/** Images opened by the library: QEMU's conversion to raw is the judge of every byte. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MiB } from '#base';
import { openImage, type OpenedDisk, type OpenImageOptions } from '#sandbox';

const CAPACITY = 12 * MiB + 512;
const directory = mkdtempSync(join(tmpdir(), 'plimsoll-open-'));
const at = (name: string): string => join(directory, name);

function qemuImg(...words: readonly string[]): void {
  execFileSync('qemu-img', words, { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Writes patterns by QEMU: `writes` are qemu-io commands. */
function write(path: string, format: string, ...writes: readonly string[]): void {
  execFileSync('qemu-io', ['-f', format, ...writes.flatMap((one) => ['-c', one]), path], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function converted(path: string, format: string, ...options: readonly string[]): Buffer {
  const raw = at('judge.raw');
  qemuImg('convert', '-f', format, '-O', 'raw', ...options, path, raw);
  return readFileSync(raw);
}

async function contentOf(disk: OpenedDisk): Promise<Buffer> {
  const content = Buffer.alloc(disk.byteLength, 0xee);
  expect(await disk.read(content, 0)).toBe(disk.byteLength);
  return content;
}

/** Extents cover the disk, and what is not data reads as zeros. */
async function requireExtents(disk: OpenedDisk, content: Buffer): Promise<void> {
  let end = 0;
  for await (const extent of disk.extents(0, disk.byteLength)) {
    expect(extent.start).toBe(end);
    end = extent.end;
    if (extent.status !== 'data') expect(content.subarray(extent.start, end).every((byte) => byte === 0)).toBe(true);
  }
  expect(end).toBe(disk.byteLength);
}

/** Pids of bubblewraps below this process. */
function workers(): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/status`, 'latin1').includes(`Name:\tbwrap\n`) && isOwn(pid);
    } catch {
      return false;
    }
  });
}

function isOwn(pid: string): boolean {
  return readFileSync(`/proc/${pid}/status`, 'latin1').includes(`PPid:\t${process.pid}\n`);
}

beforeAll(() => {
  writeFileSync(at('base.raw'), Buffer.alloc(5 * MiB + 1000, 7));
  qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', at('middle.qcow2'), '8M');
  write(at('middle.qcow2'), 'qcow2', 'write -P 1 1M 700k', 'write -z 3M 1M', 'write -P 2 7M 64k');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', '-b', 'middle.qcow2', '-F', 'qcow2', at('top.qcow2'), String(CAPACITY));
  write(at('top.qcow2'), 'qcow2', 'write -P 3 1200k 3k', 'write -P 4 10M 1M');
  qemuImg('create', '-q', '-f', 'qed', '-b', 'base.raw', '-F', 'raw', at('over.qed'), '8M');
  write(at('over.qed'), 'qed', 'write -P 5 2M 300k', 'write -z 4M 64k');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', `data_file=${at('data.img')}`, at('external.qcow2'), '8M');
  write(at('external.qcow2'), 'qcow2', 'write -P 6 512k 1M', 'write -z 600k 64k');
  qemuImg('convert', '-c', '-f', 'qcow2', '-O', 'qcow2', at('top.qcow2'), at('compressed.qcow2'));
  qemuImg('create', '-q', '-f', 'qcow2', at('snapshots.qcow2'), '8M');
  write(at('snapshots.qcow2'), 'qcow2', 'write -P 8 0 1M');
  qemuImg('snapshot', '-c', 'before', at('snapshots.qcow2'));
  write(at('snapshots.qcow2'), 'qcow2', 'write -P 9 512k 1M');
  for (const format of ['vdi', 'vhdx', 'vpc', 'vmdk'])
    qemuImg('convert', '-f', 'qcow2', '-O', format, at('top.qcow2'), at(`disk.${format}`));
  qemuImg('convert', '-f', 'qcow2', '-O', 'vpc', '-o', 'subformat=fixed,force_size=on', at('middle.qcow2'), at('fixed.vpc'));
  for (const subformat of ['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat', 'streamOptimized'])
    qemuImg('convert', '-f', 'qcow2', '-O', 'vmdk', '-o', `subformat=${subformat}`, at('top.qcow2'), at(`${subformat}.vmdk`));
  manyExtents();
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A flat VMDK in 100 files, more than stay open. */
function manyExtents(): void {
  const lines = Array.from({ length: 100 }, (_, index) => {
    writeFileSync(at(`part-${index}`), Buffer.alloc(MiB / 8, index + 1));
    return `RW ${MiB / 8 / 512} FLAT "part-${index}" 0`;
  });
  const head = ['# Disk DescriptorFile', 'version=1', 'CID=fffffffe', 'parentCID=ffffffff', 'createType="twoGbMaxExtentFlat"'];
  writeFileSync(at('many.vmdk'), [...head, ...lines, 'ddb.adapterType = "ide"', ''].join('\n'));
}

const IMAGES: readonly (readonly [name: string, qemuFormat: string, options: OpenImageOptions])[] = [
  ['top.qcow2', 'qcow2', {}],
  ['middle.qcow2', 'qcow2', { format: 'qcow2' }],
  ['external.qcow2', 'qcow2', {}],
  ['compressed.qcow2', 'qcow2', {}],
  ['snapshots.qcow2', 'qcow2', {}],
  ['over.qed', 'qed', {}],
  ['base.raw', 'raw', { format: 'raw' }],
  ['disk.vdi', 'vdi', {}],
  ['disk.vhdx', 'vhdx', {}],
  ['disk.vpc', 'vpc', {}],
  ['fixed.vpc', 'vpc', {}],
  ['disk.vmdk', 'vmdk', {}],
  ['monolithicFlat.vmdk', 'vmdk', {}],
  ['twoGbMaxExtentSparse.vmdk', 'vmdk', {}],
  ['twoGbMaxExtentFlat.vmdk', 'vmdk', {}],
  ['streamOptimized.vmdk', 'vmdk', {}],
  ['many.vmdk', 'vmdk', {}],
];

describe.each([
  ['in a confined process', {}],
  ['in this process', { unconfined: true }],
])('openImage() %s', (_, way) => {
  it.each(IMAGES)('reads %s as QEMU does', async (name, qemuFormat, options) => {
    await using disk = await openImage(at(name), { ...options, ...way });
    const content = await contentOf(disk);
    expect(content.equals(converted(at(name), qemuFormat))).toBe(true);
    await requireExtents(disk, content);
  });

  it('reads an internal snapshot by its name', async () => {
    await using disk = await openImage(at('snapshots.qcow2'), { snapshot: 'before', ...way });
    expect((await contentOf(disk)).equals(converted(at('snapshots.qcow2'), 'qcow2', '-l', 'snapshot.name=before'))).toBe(true);
  });

  it('answers reads that run at the same time, while extents are walked', async () => {
    await using disk = await openImage(at('top.qcow2'), way);
    const whole = await contentOf(disk);
    const pieces = Array.from({ length: 40 }, (_one, index) => ({ offset: (index * 311_111) % CAPACITY, piece: Buffer.alloc(50_000) }));
    for await (const { start } of disk.extents(0, disk.byteLength)) {
      const target = Buffer.alloc(10);
      const count = await disk.read(target, start);
      expect(target.subarray(0, count).equals(whole.subarray(start, start + count))).toBe(true);
    }
    const counts = await Promise.all(pieces.map(({ offset, piece }) => disk.read(piece, offset)));
    for (const [index, { offset, piece }] of pieces.entries()) {
      const count = counts[index] ?? 0;
      expect(count).toBe(Math.min(piece.byteLength, CAPACITY - offset));
      expect(piece.subarray(0, count).equals(whole.subarray(offset, offset + count))).toBe(true);
    }
  });

  it('refuses a backing file outside of the directory, and opens it where that is allowed', async () => {
    mkdirSync(at('elsewhere'), { recursive: true });
    const path = join(directory, 'elsewhere', 'over.qcow2');
    qemuImg('create', '-q', '-f', 'qcow2', '-b', at('base.raw'), '-F', 'raw', path);
    await expect(openImage(path, way)).rejects.toMatchObject({ kind: 'refused', code: 'REFERENCE_OUTSIDE' });
    await using disk = await openImage(path, { allowDirectories: [directory], ...way });
    expect((await contentOf(disk)).equals(converted(path, 'qcow2'))).toBe(true);
  });

  it('refuses loops, missing files, missing snapshots and encryption by their codes', async () => {
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'loop.qcow2', '-F', 'qcow2', at('loop.qcow2'), '1M');
    await expect(openImage(at('loop.qcow2'), way)).rejects.toMatchObject({ kind: 'refused', code: 'CHAIN_LOOP' });
    qemuImg('create', '-q', '-f', 'qcow2', '-u', '-b', 'nowhere.qcow2', '-F', 'qcow2', at('orphan.qcow2'), '1M');
    await expect(openImage(at('orphan.qcow2'), way)).rejects.toMatchObject({ kind: 'not-found' });
    await expect(openImage(at('top.qcow2'), { snapshot: 'none', ...way })).rejects.toMatchObject({ code: 'QCOW2_SNAPSHOT_UNKNOWN' });
    const secret = ['--object', 'secret,id=s,data=abc', '-o', 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10'];
    qemuImg('create', '-q', '-f', 'qcow2', ...secret, at('locked.qcow2'), '1M');
    await expect(openImage(at('locked.qcow2'), way)).rejects.toMatchObject({ kind: 'unsupported', code: 'QCOW2_ENCRYPTED' });
    await expect(openImage(at('top.qcow2'), { format: 'zip' as 'raw', ...way })).rejects.toMatchObject({ code: 'LIBRARY_ARGUMENT' });
  });

  it('rejects a read whose signal is aborted, and reads on', async () => {
    await using disk = await openImage(at('top.qcow2'), way);
    const target = Buffer.alloc(CAPACITY, 0xee);
    const controller = new AbortController();
    const reading = disk.read(target, 0, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    expect((await contentOf(disk)).equals(converted(at('top.qcow2'), 'qcow2'))).toBe(true);
  });
});

describe('the worker of an opened image', () => {
  it('ends with the image', async () => {
    const disk = await openImage(at('top.qcow2'));
    expect(workers()).toHaveLength(1);
    await disk[Symbol.asyncDispose]();
    expect(workers()).toEqual([]);
    await expect(disk.read(Buffer.alloc(1), 0)).rejects.toMatchObject({ kind: 'bug', code: 'WORKER_ENDED' });
  });

  it('that was killed makes reads fail by a typed error', async () => {
    await using disk = await openImage(at('top.qcow2'));
    execFileSync('kill', ['-9', ...workers()]);
    await expect(contentOf(disk)).rejects.toMatchObject({ name: 'PlimsollError', code: expect.stringMatching(/^WORKER_/) });
  });
});
